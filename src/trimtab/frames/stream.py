"""Tables larger than memory: Parquet and CSV files, folders of them, and tables in memory, as batches of core
columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.core.domain.errors import DataError
from trimtab.core.profiles.columns import Categorical, Column
from trimtab.frames.convert import arrow_table, column_of, columns_of, missing_text

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 131_072
BUFFER_BYTES = 1 << 20
"""Read at once of each column of a Parquet file."""


def batches(
    source: Any,
    columns: Sequence[str] | Mapping[str, str | None] | None = None,
    batch_rows: int = BATCH_ROWS,
) -> Iterator[dict[str, Column]]:
    """Stream a source as core columns, in order; memory holds one batch.

    Args:
        source: path of a Parquet or CSV file (``.csv``, ``.csv.gz``, ``.csv.zip`` is not read), of a folder of
            Parquet files
            (sorted by name), a table that ``columns_of`` takes, or an iterator or list of such tables.
        columns: which columns; a mapping gives their types as in ``columns_of``.
        batch_rows: rows of a batch, at most.

    Raises:
        DataError: no such file, not readable, a wanted column is not there. Names the file.
    """
    if batch_rows < 1:
        raise DataError(f"batch_rows must be at least 1, found {batch_rows}")
    schema = columns if isinstance(columns, Mapping) else None
    names = list(columns) if columns is not None else None
    if isinstance(source, str | Path):
        for path in _files(Path(source)):
            for batch in _read(path, names, batch_rows):
                yield _convert(path, batch, schema)
    elif isinstance(source, Iterator | list | tuple):
        for each in source:
            yield from batches(each, columns, batch_rows)
    else:
        yield from _slices(source, schema, names, batch_rows)


def _slices(
    source: Any, schema: Mapping[str, str | None] | None, names: list[str] | None, batch_rows: int
) -> Iterator[dict[str, Column]]:
    table = arrow_table(source)
    for name in names or ():
        if name not in table.column_names:
            raise DataError(missing_text(name, table.column_names))
    if names is not None:
        table = table.select(names)
    for start in range(0, table.num_rows, batch_rows):
        yield columns_of(table.slice(start, batch_rows), schema)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(each for each in path.rglob("*.parquet") if not each.name.startswith((".", "_")))
        if not found:
            raise DataError(f"the folder {path} holds no .parquet file")
        return found
    if not path.exists():
        raise DataError(f"there is no file {path}")
    return [path]


def _read(path: Path, names: list[str] | None, batch_rows: int) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    try:
        if path.suffix == ".parquet":
            yield from _parquet(path, names, batch_rows)
        elif path.suffix == ".csv" or path.name.endswith(".csv.gz"):
            yield from _csv(path, names)
        else:
            raise DataError(f"{path}: expected a .parquet, .csv or .csv.gz file")
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _parquet(path: Path, names: list[str] | None, batch_rows: int) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq
    import pyarrow.types as t

    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        for name in names or ():
            if name not in schema.names:
                raise DataError(f"{path}: {missing_text(name, schema.names)}")
        text = [each.name for each in schema if t.is_string(each.type) or t.is_large_string(each.type)]
    # a buffer, so that memory holds pages of a row group rather than all of its columns
    with pq.ParquetFile(path, read_dictionary=text, buffer_size=BUFFER_BYTES) as file:
        yield from file.iter_batches(batch_size=batch_rows, columns=names)


def _csv(path: Path, names: list[str] | None) -> Iterator[pa.RecordBatch]:
    """Arrow reads CSV in blocks of bytes: batches follow those, and types are those of the first block."""
    import pyarrow.csv as pc

    options = pc.ConvertOptions(strings_can_be_null=True, auto_dict_encode=False)
    with pc.open_csv(path, read_options=pc.ReadOptions(block_size=1 << 24), convert_options=options) as reader:
        for name in names or ():
            if name not in reader.schema.names:
                raise DataError(f"{path}: {missing_text(name, reader.schema.names)}")
        for batch in reader:
            yield batch.select(names) if names is not None else batch


def _convert(path: Path, batch: pa.RecordBatch, schema: Mapping[str, str | None] | None) -> dict[str, Column]:
    try:
        return {
            name: column_of(name, batch.column(name), schema.get(name) if schema else None)
            for name in batch.schema.names
        }
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def read(source: Any, columns: Sequence[str] | Mapping[str, str | None] | None = None) -> dict[str, Column]:
    """The whole source at once, as core columns: for references, whose order statistics need every row."""
    parts = list(batches(source, columns))
    if not parts:
        return {}
    return {name: _joined(name, [part[name] for part in parts]) for name in parts[0]}


def _joined(name: str, parts: list[Column]) -> Column:
    if len(parts) == 1:
        return parts[0]
    texts = [part for part in parts if isinstance(part, Categorical)]
    if not texts:
        return np.concatenate([part for part in parts if not isinstance(part, Categorical)])
    if len(texts) < len(parts):
        raise DataError(
            f"column '{name}' is text in one part of the data and a number in another; name its type in a schema"
        )
    index: dict[str, int] = {}
    codes = []
    for part in texts:
        table = np.array([index.setdefault(level, len(index)) for level in part.levels] + [-1], dtype=np.int32)
        codes.append(table[part.codes])
    return Categorical(np.concatenate(codes), tuple(index))
