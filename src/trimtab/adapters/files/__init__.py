"""The deployment directory and the log directory on a file system."""

from trimtab.adapters.files.logs import ParquetLogReader
from trimtab.adapters.files.target import DirectoryTarget

__all__ = ["DirectoryTarget", "ParquetLogReader"]
