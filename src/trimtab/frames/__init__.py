"""The only converter from pandas, polars and Arrow tables, and from Parquet and CSV files, to the core's columns."""

from trimtab.frames.convert import columns_of, kind_of
from trimtab.frames.stream import batches, read

__all__ = ["batches", "columns_of", "kind_of", "read"]
