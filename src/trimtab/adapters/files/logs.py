"""``ParquetLogReader``: what the data plane wrote, read by file name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from trimtab.core.domain.errors import ExternalError
from trimtab.ports import LogSlice

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

T = TypeVar("T")
Parts: TypeAlias = tuple[tuple[str, int, int], ...]
"""Of a merged file: (source, its first row, its rows)."""

_KINDS = ("predictions", "labels")
_PROFILES, _TRAFFIC = "profiles", "traffic"
_NEEDED = {
    "predictions": ("prediction_id", "time"),
    "labels": ("prediction_id", "label", "time"),
    _PROFILES: ("baseline", "generation", "bucket", "profile"),
    _TRAFFIC: ("version", "generation", "requests", "latency"),
}
_RECENT_FILES_MAX = 16
_ROWS_MAX = 1_000_000
"""Rows from which on a read takes no further file."""
_LOOKS = 20
"""How often a read begins again because files were merged under it."""


class ParquetLogReader:
    """The ``LogReader`` port over ``<logs>/predictions`` and ``<logs>/labels``.

    Files appear by rename, so a name that is seen is complete; names that begin with ``.`` or ``_`` are not read.
    """

    def __init__(self, logs: Path, *, profiles: bool = False, marks: bool = False) -> None:
        """``profiles``: the servers' own sums are read too. ``marks``: old files are deleted once they were read."""
        self._logs = logs
        self._marks = marks
        self._marked: dict[str, frozenset[str]] = {}
        self._parts: dict[str, Parts] = {}
        """Of the merged files in the partitions that had unread files at the last look."""
        self._kinds = (*_KINDS, _PROFILES, _TRAFFIC) if profiles else _KINDS

    def read(self, cursor: frozenset[str], limit: int = 256) -> LogSlice:
        """The rows of at most ``limit`` files that are not in ``cursor``, oldest partition first.

        Raises:
            ExternalError: a file cannot be read; the text names it.
        """
        from trimtab.logs import (
            PROFILE_COLUMNS,
            TRAFFIC_COLUMNS,
            concatenate,
            empty_labels,
            empty_predictions,
            first_labels,
            reading_order,
        )

        def read() -> LogSlice:
            parts, names = self._unread(cursor)
            tables: dict[str, list[pa.Table]] = {"predictions": [empty_predictions()], "labels": [empty_labels()]}
            tables |= {_PROFILES: [PROFILE_COLUMNS.empty_table()], _TRAFFIC: [TRAFFIC_COLUMNS.empty_table()]}
            taken, rows = [], 0
            for name in reading_order(names):
                taken.append(name)
                table = self._new_rows(name, parts.get(name, ()), cursor)
                if table is not None:
                    tables[name.partition("/")[0]].append(table)
                    rows += table.num_rows
                if len(taken) >= limit or rows >= _ROWS_MAX:
                    break
            labels, conflicting = first_labels(concatenate(tables["labels"]))
            return LogSlice(
                predictions=concatenate(tables["predictions"]),
                labels=labels,
                cursor=cursor.difference(*(_names_of(parts.get(name, ())) for name in taken)).union(taken),
                conflicting=conflicting,
                profiles=concatenate(tables[_PROFILES]) if _PROFILES in self._kinds else None,
                traffic=concatenate(tables[_TRAFFIC]) if _TRAFFIC in self._kinds else None,
            )

        return self._again_while_merged(read)

    def _unread(self, cursor: frozenset[str]) -> tuple[dict[str, Parts], list[str]]:
        """What the merged files of partitions with unread files are made of, and the unread files.

        A file that stands beside the merged one that holds its rows (a merging was killed) is read by neither name.
        """
        from trimtab.logs import is_merged

        present = self._names()
        fresh = [name for name in present if name not in cursor]
        partitions = {name.rpartition("/")[0] for name in fresh}
        merged = [name for name in present if is_merged(name) and name.rpartition("/")[0] in partitions]
        self._parts = {name: self._parts.get(name) or self._read_parts(name) for name in merged}
        elsewhere = {part[0] for parts in self._parts.values() for part in parts}
        return self._parts, [name for name in fresh if name not in elsewhere]

    def _read_parts(self, name: str) -> Parts:
        from trimtab.serving.record.merge import parts_of

        folder = name.rpartition("/")[0]
        with self._reading(name) as path:
            return tuple((f"{folder}/{source}", first, rows) for source, first, rows in parts_of(path))

    def _again_while_merged(self, read: Callable[[], T]) -> T:
        for _ in range(_LOOKS):
            try:
                return read()
            except (
                _GoneError
            ) as gone:  # merged into another file, or old, between our look at the folder and at the file
                name = str(gone)
        raise ExternalError(f"{self._logs / name} went while it was read, {_LOOKS} times; does something move files?")

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

        def read() -> list[pa.Table]:
            tables: list[pa.Table] = []
            count = 0
            for table in islice(self._newest_tables(), _RECENT_FILES_MAX):
                tables.append(answered_rows(table))
                count += tables[-1].num_rows
                if count >= rows:
                    break
            return tables

        tables = self._again_while_merged(read)
        # An empty table is made only where it must be: making one imports pandas, for which a rollback has no time.
        return newest_rows(tables, rows) if tables else empty_predictions()

    def _newest_tables(self) -> Iterator[pa.Table]:
        """Row groups of the newest files, the newest first: a merged file has many rows."""
        for name in self._newest("predictions"):
            with self._open(name) as file:
                for index in reversed(range(file.num_row_groups)):
                    yield file.read_row_group(index)

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

    def _new_rows(self, name: str, parts: Parts, cursor: frozenset[str]) -> pa.Table | None:
        """A file's rows but those that were read before they were merged into it; None for none."""
        known = [(first, first + rows) for source, first, rows in parts if source in cursor]
        if not known:
            return self._table(name)
        import numpy as np
        import pyarrow as pa

        unread = np.ones(max(first + rows for _, first, rows in parts), dtype=bool)
        for first, end in known:
            unread[first:end] = False
        return self._table(name).filter(pa.array(unread)) if unread.any() else None

    def _table(self, name: str) -> pa.Table:
        with self._open(name) as file:
            return file.read()

    @contextmanager
    def _open(self, name: str) -> Iterator[pq.ParquetFile]:
        import pyarrow.parquet as pq

        # Not read_table: that would add the partition's folders as columns.
        with self._reading(name) as path, pq.ParquetFile(path) as file:
            missing = [column for column in _NEEDED[name.partition("/")[0]] if column not in file.schema_arrow.names]
            if missing:
                raise ExternalError(f"{path} has no column '{missing[0]}', so no server wrote it: move it away")
            yield file

    @contextmanager
    def _reading(self, name: str) -> Iterator[Path]:
        """
        Raises:
            _GoneError: there is no such file any more.
            ExternalError: it cannot be read.
        """
        import pyarrow as pa

        path = self._logs / name
        try:
            yield path
        except FileNotFoundError as error:
            raise _GoneError(name) from error
        except (pa.ArrowException, OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ExternalError(
                f"{path} cannot be read: {reason}; if it is damaged, move it out of the log directory"
            ) from error


class _GoneError(Exception):
    """A file was there a moment ago."""


def _names_of(parts: Parts) -> set[str]:
    return {name for name, _, _ in parts}


def _is_ready(name: str) -> bool:
    return name.endswith(".parquet") and not name.startswith((".", "_"))


def _refuse(error: OSError) -> None:
    """A folder that is not there yet has no files; any other failure is one."""
    if not isinstance(error, FileNotFoundError):
        raise ExternalError(f"{error.filename}: the log directory cannot be read: {error.strerror}") from error
