"""Prediction logs of other servers, read into our log layout: KServe, Seldon/MLServer, SageMaker, plain tables."""

from trimtab.adapters.foreign.importer import Imported, Labels, Source, import_log

__all__ = ["Imported", "Labels", "Source", "import_log"]
