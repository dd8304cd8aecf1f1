"""``ParquetLogReader``: what the data plane wrote, read by file name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.core.domain.errors import ExternalError
from trimtab.ports import LogSlice

if TYPE_CHECKING:
    import pyarrow as pa

_KINDS = ("predictions", "labels")
_PROFILES = "profiles"
_NEEDED = {
    "predictions": ("prediction_id", "time"),
    "labels": ("prediction_id", "label", "time"),
    _PROFILES: ("baseline", "generation", "bucket", "profile"),
}
_RECENT_FILES_MAX = 16


class ParquetLogReader:
    """The ``LogReader`` port over ``<logs>/predictions`` and ``<logs>/labels``.

    Files appear by rename, so a name that is seen is complete; names that begin with ``.`` or ``_`` are not read.
    """

    def __init__(self, logs: Path, *, profiles: bool = False, marks: bool = False) -> None:
        """``profiles``: the servers' own sums are read too. ``marks``: old files are deleted once they were read."""
        self._logs = logs
        self._marks = marks
        self._marked: dict[str, frozenset[str]] = {}
        self._kinds = (*_KINDS, _PROFILES) if profiles else _KINDS

    def read(self, cursor: frozenset[str], limit: int = 256) -> LogSlice:
        """The rows of at most ``limit`` files that are not in ``cursor``, oldest partition first.

        Raises:
            ExternalError: a file cannot be read; the text names it.
        """
        from trimtab.logs import (
            PROFILE_COLUMNS,
            concatenate,
            empty_labels,
            empty_predictions,
            first_labels,
            reading_order,
        )

        names = reading_order(name for name in self._names() if name not in cursor)[:limit]
        tables: dict[str, list[pa.Table]] = {"predictions": [empty_predictions()], "labels": [empty_labels()]}
        tables[_PROFILES] = [PROFILE_COLUMNS.empty_table()]
        for name in names:
            tables[name.partition("/")[0]].append(self._table(name))
        labels, conflicting = first_labels(concatenate(tables["labels"]))
        return LogSlice(
            predictions=concatenate(tables["predictions"]),
            labels=labels,
            cursor=cursor | frozenset(names),
            conflicting=conflicting,
            profiles=concatenate(tables[_PROFILES]) if _PROFILES in self._kinds else None,
        )

    def mark(self, reader: str, cursor: frozenset[str]) -> None:
        """Leave a mark for the servers, which delete old files only when every reader has read them."""
        if not self._marks or self._marked.get(reader) == cursor:
            return
        from trimtab.serving.record.retention import MARKS, write_mark

        try:
            write_mark(self._logs, reader, cursor.intersection(self._names()), self._kinds)
        except OSError as error:
            if not (self._logs / MARKS / f"{reader}.json").exists():
                raise ExternalError(f"{self._logs}: the mark of what was read cannot be written: {error}") from error
            return  # the disk is full, say: files are kept longer than they must be, decisions are made all the same
        self._marked[reader] = cursor

    def recent(self, rows: int = 64) -> pa.Table:
        """The newest answered rows, at most ``rows``, oldest first, out of the newest few files.

        Raises:
            ExternalError: a file cannot be read; the text names it.
        """
        from trimtab.logs import answered_rows, empty_predictions, newest_rows

        tables: list[pa.Table] = []
        count = 0
        for name in islice(self._newest("predictions"), _RECENT_FILES_MAX):
            tables.append(answered_rows(self._table(name)))
            count += tables[-1].num_rows
            if count >= rows:
                break
        # An empty table is made only where it must be: making one imports pandas, for which a rollback has no time.
        return newest_rows(tables, rows) if tables else empty_predictions()

    def _newest(self, folder: str) -> Iterator[str]:
        """Files of the newest partition first, and in it the newest first; older partitions are not even listed."""
        try:
            found = sorted(os.scandir(self._logs / folder), key=lambda entry: entry.name, reverse=True)
            files = sorted(
                ((entry.stat().st_mtime, entry.name) for entry in found if _is_ready(entry.name)), reverse=True
            )
        except OSError as error:
            return _refuse(error)
        yield from (f"{folder}/{name}" for _, name in files)
        for entry in found:
            if entry.is_dir() and not entry.name.startswith((".", "_")):
                yield from self._newest(f"{folder}/{entry.name}")

    def _names(self) -> list[str]:
        names = []
        for kind in self._kinds:
            for folder, folders, files in os.walk(self._logs / kind, onerror=_refuse):
                folders[:] = [name for name in folders if not name.startswith((".", "_"))]
                relative = Path(folder).relative_to(self._logs).as_posix()
                names += [f"{relative}/{name}" for name in files if _is_ready(name)]
        return names

    def _table(self, name: str) -> pa.Table:
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self._logs / name
        try:
            # Not read_table: that would add the partition's folders as columns.
            with pq.ParquetFile(path) as file:
                missing = [
                    column for column in _NEEDED[name.partition("/")[0]] if column not in file.schema_arrow.names
                ]
                if missing:
                    raise ExternalError(f"{path} has no column '{missing[0]}', so no server wrote it: move it away")
                return file.read()
        except (pa.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise ExternalError(
                f"{path} cannot be read: {reason}; if it is damaged, move it out of the log directory"
            ) from error


def _is_ready(name: str) -> bool:
    return name.endswith(".parquet") and not name.startswith((".", "_"))


def _refuse(error: OSError) -> None:
    """A folder that is not there yet has no files; any other failure is one."""
    if not isinstance(error, FileNotFoundError):
        raise ExternalError(f"{error.filename}: the log directory cannot be read: {error.strerror}") from error
