"""What batch scoring writes: the output file, and the rows' log records, all of it there at the end or nothing.

The output is written aside and renamed; log files are written into a staging folder of the log directory and moved
when the output is in place. A run that is killed leaves its aside file and its staging folder, which the next run for
the same output removes; one that is killed after it had finished is finished by the next.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

import pyarrow as pa

from trimtab.core.domain.errors import ConflictError, ExternalError, UserError
from trimtab.serving.batch.read import format_of
from trimtab.serving.record.files import sync_directory

GROUP_ROWS = 262_144
"""Rows of a row group of the output; so many are held in memory."""
FINISHED = "finished"


class _Writer(Protocol):
    def write_table(self, table: pa.Table) -> None: ...

    def close(self) -> None: ...


class Output:
    """The output file while it is being made. ``with`` it: left by an error, nothing remains."""

    def __init__(self, path: Path, *, overwrite: bool, logs: Path | None) -> None:
        self.path = path
        self._format = format_of(path)
        self._aside = path.with_name(f".{path.name}.partial")
        self._lock = path.with_name(f".{path.name}.lock")
        self._overwrite = overwrite
        key = blake2b(str(path.absolute()).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
        self._logs = logs
        self.staging = None if logs is None else logs / f".score-{key}"
        self._held: IO[bytes] | None = None
        self._file: IO[bytes] | None = None
        self._packed: Any = None
        self._writer: _Writer | None = None
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0

    def __enter__(self) -> Self:
        """Take the place: nobody else writes this output now.

        Raises:
            UserError: the output exists, or its folder does not.
            ConflictError: another run is writing it.
        """
        if not self.path.parent.is_dir():
            raise UserError(f"there is no folder {self.path.parent} for {self.path.name}")
        self._held = _locked(self._lock, self.path)
        try:
            finished = self._finish_earlier()
            self._check_free(finished)
            with _translated(self.path):
                self._file = self._aside.open("wb")
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        if kind is not None:
            self._aside.unlink(missing_ok=True)
            self._clear_staging()
        self._release()

    def _check_free(self, finished: bool) -> None:
        if self.path.exists() and not self._overwrite:
            which = "was finished by an earlier run" if finished else "exists already"
            raise UserError(f"{self.path} {which}; --overwrite makes it anew")

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows; all batches have one schema."""
        self._waiting.append(batch)
        self._rows += len(batch)
        if self._rows >= GROUP_ROWS:
            self._flush()

    def finish(self, schema: pa.Schema) -> None:
        """Put everything into its place, durable. ``schema``: of the file, should it have no row."""
        if self._writer is None and not self._waiting:
            self._add(schema.empty_table())
        self._flush()
        with _translated(self.path):
            for part in (self._writer, self._packed, self._file):
                if part is not None:
                    part.close()
            sync_directory(self._aside)  # a file is synced the same way
            if self.staging is not None:
                self.staging.mkdir(parents=True, exist_ok=True)
                (self.staging / FINISHED).write_bytes(b"")
                sync_directory(self.staging)
            self._put_in_place()

    def _flush(self) -> None:
        if self._waiting:
            self._add(pa.Table.from_batches(self._waiting).combine_chunks())
            self._waiting, self._rows = [], 0

    def _add(self, table: pa.Table) -> None:
        with _translated(self.path):
            if self._writer is None:
                sink: Any = self._file
                if self.path.name.lower().endswith(".gz"):
                    sink = self._packed = pa.CompressedOutputStream(self._file, "gzip")
                self._writer = _writer(self._format, sink, table.schema)
            self._writer.write_table(table)

    def _put_in_place(self) -> None:
        if self._aside.exists():
            self._aside.rename(self.path)
            sync_directory(self.path.parent)
        if self.staging is None or self._logs is None:
            return
        for staged in sorted(self.staging.rglob("*.parquet")):
            final = self._logs / staged.relative_to(self.staging)
            final.parent.mkdir(parents=True, exist_ok=True)
            staged.rename(final)
            sync_directory(final.parent)
        self._clear_staging()

    def _finish_earlier(self) -> bool:
        """An earlier run for this output was killed: finish it where all was written, else remove what it left."""
        if self.staging is not None and (self.staging / FINISHED).exists():
            with _translated(self.path):
                self._put_in_place()
            return True
        self._clear_staging()
        return False

    def _clear_staging(self) -> None:
        if self.staging is not None:
            shutil.rmtree(self.staging, ignore_errors=True)

    def _release(self) -> None:
        if self._held is not None:
            self._lock.unlink(missing_ok=True)
            self._held.close()
            self._held = None


def _locked(path: Path, output: Path) -> IO[bytes]:
    import fcntl

    with _translated(output):
        held = path.open("wb")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        held.close()
        raise ConflictError(f"another run is writing {output}") from None
    return held


def _writer(kind: str, file: Any, schema: pa.Schema) -> _Writer:
    if kind == "csv":
        import pyarrow.csv as csv

        made: _Writer = csv.CSVWriter(file, schema)
    elif kind == "ipc":
        made = pa.ipc.new_file(file, schema)
    else:
        import pyarrow.parquet as pq

        floats = {field.name for field in schema if pa.types.is_floating(field.type)}  # a dictionary of them is longer
        made = pq.ParquetWriter(file, schema, use_dictionary=[name for name in schema.names if name not in floats])
    return made


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        words = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ExternalError(f"{path} cannot be written: {words}") from error
