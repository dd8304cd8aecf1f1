"""Files of rows for batch scoring: Parquet, CSV and Arrow IPC, batch by batch, in order and in constant memory."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from trimtab.core.domain.errors import DataError, NotFoundError
from trimtab.serving.package import Signature

CSV_BLOCK = 1 << 22
READ_BUFFER = 1 << 20
FORMATS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".csv.gz": "csv",
    ".arrow": "ipc",
    ".feather": "ipc",
    ".ipc": "ipc",
}
"""What a file is, by the end of its name."""


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive rows of a source."""

    batch: pa.RecordBatch
    first: int
    """Index of the first row in the file."""


class Source(Protocol):
    """An open file of rows."""

    @property
    def schema(self) -> pa.Schema:
        """Every column of the file."""
        ...

    @property
    def rows(self) -> int | None:
        """How many there are; None where only reading tells."""
        ...

    def parts(self, columns: Sequence[str], batch_rows: int) -> Iterator[Part]:
        """These columns, in batches of at most about so many rows.

        Raises:
            DataError: what cannot be read, with the place in the file.
        """
        ...

    def place(self, row: int) -> str:
        """Where a row stands, in the words of the format: ``row 70123 (row group 3)``."""
        ...


def format_of(path: Path) -> str:
    """``parquet``, ``csv`` or ``ipc``.

    Raises:
        DataError: another ending.
    """
    for ending in sorted(FORMATS, key=len, reverse=True):
        if path.name.lower().endswith(ending):
            return FORMATS[ending]
    raise DataError(f"{path}: expected a name that ends in {', '.join(sorted(FORMATS))}")


def open_source(path: Path, signature: Signature, texts: Sequence[str] = ()) -> Source:
    """Open a file of rows; nothing but its schema is read yet.

    Args:
        signature: CSV has no types of its own: inputs are read as the model takes them.
        texts: columns of a CSV file to leave as they are written, unless they are inputs.

    Raises:
        NotFoundError: there is no such file.
        DataError: it is not of its format.
    """
    kind = format_of(path)
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}")
    try:
        if kind == "parquet":
            return ParquetSource(path, signature)
        return CsvSource(path, signature, texts) if kind == "csv" else IpcSource(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as {kind}: {error}") from error


class ParquetSource:
    """Row group by row group; columns of text arrive as dictionaries."""

    def __init__(self, path: Path, signature: Signature) -> None:
        import pyarrow.parquet as pq

        self._path = path
        with pq.ParquetFile(path) as file:
            self.schema: pa.Schema = file.schema_arrow
        texts = [spec.name for spec in signature.inputs if spec.type == "string" and spec.name in self.schema.names]
        self._file = pq.ParquetFile(path, read_dictionary=texts, buffer_size=READ_BUFFER)
        metadata = self._file.metadata
        self.rows: int | None = metadata.num_rows
        self._ends = list(itertools.accumulate(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)))

    def parts(self, columns: Sequence[str], batch_rows: int) -> Iterator[Part]:
        first = 0
        try:
            for batch in self._file.iter_batches(batch_size=batch_rows, columns=list(columns)):
                yield Part(batch, first)
                first += len(batch)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self._path}: {self.place(first)} cannot be read: {error}") from error

    def place(self, row: int) -> str:
        return f"row {row} (row group {bisect_right(self._ends, row)})"


class CsvSource:
    """Block by block; a value that is not of its input's type ends it with the column and the row."""

    def __init__(self, path: Path, signature: Signature, texts: Sequence[str]) -> None:
        self._path = path
        types = {spec.name: pa.string() if spec.type == "string" else pa.float64() for spec in signature.inputs}
        bools = {spec.name: pa.bool_() for spec in signature.inputs if spec.type == "bool"}
        times = {spec.name for spec in signature.inputs if spec.type == "datetime"}
        self._types = {name: kind for name, kind in {**types, **bools}.items() if name not in times}
        self._types.update({name: pa.string() for name in texts if name not in types})
        with self._open(()) as reader:
            self.schema: pa.Schema = reader.schema
        self.rows: int | None = None

    def _open(self, columns: Sequence[str]) -> Any:
        import pyarrow.csv as csv

        convert = csv.ConvertOptions(
            strings_can_be_null=True, column_types=self._types, include_columns=list(columns) or None
        )
        return csv.open_csv(self._path, read_options=csv.ReadOptions(block_size=CSV_BLOCK), convert_options=convert)

    def parts(self, columns: Sequence[str], batch_rows: int) -> Iterator[Part]:
        first = 0
        try:
            with self._open(columns) as reader:
                for batch in reader:
                    for start in range(0, len(batch), batch_rows):
                        yield Part(batch.slice(start, batch_rows), first + start)
                    first += len(batch)
        except (pa.ArrowException, OSError) as error:
            words = str(error).replace("In CSV column", "column")
            raise DataError(f"{self._path}: after {self.place(first)}: {words}") from error

    def place(self, row: int) -> str:
        return f"row {row}"


class IpcSource:
    """Arrow's file or stream format, record batch by record batch."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows: int | None = None
        with self._batches() as (schema, _):
            self.schema = schema

    def _batches(self) -> Any:
        import contextlib

        @contextlib.contextmanager
        def opened() -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
            with pa.OSFile(str(self._path)) as file:
                try:
                    reader = pa.ipc.open_file(file)
                except pa.ArrowInvalid:  # not the file format: the stream format, which Arrow writes too
                    file.seek(0)
                    stream = pa.ipc.open_stream(file)
                    yield stream.schema, iter(stream)
                    return
                yield reader.schema, (reader.get_batch(index) for index in range(reader.num_record_batches))

        return opened()

    def parts(self, columns: Sequence[str], batch_rows: int) -> Iterator[Part]:
        first = 0
        try:
            with self._batches() as (_, batches):
                for batch in batches:
                    chosen = batch.select(list(columns))
                    for start in range(0, len(chosen), batch_rows):
                        yield Part(chosen.slice(start, batch_rows), first + start)
                    first += len(chosen)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self._path}: {self.place(first)} cannot be read: {error}") from error

    def place(self, row: int) -> str:
        return f"row {row}"
