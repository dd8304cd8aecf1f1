"""How long the log is kept: whole hours go, the oldest first, by age and by size, and only once they were read.

Readers that need the log (the controller, the collection for training) leave a mark: how many files of each hour they
have read. An hour is read when every mark names at least as many files as are there. Where no reader left a mark,
nobody needs the log, and age and size rule alone. ``bytes_hard`` deletes unread hours too, and says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import msgspec

from trimtab.logs import files_in, is_merged
from trimtab.serving.record.files import HOUR_S, LABELS, PREDICTIONS, PROFILES, TRAFFIC
from trimtab.serving.record.settings import LogSettings

KINDS = (PREDICTIONS, LABELS, PROFILES, TRAFFIC)
MARKS = "readers"
"""Folder of the marks in the log directory."""
EVERY_S = 60.0
OPEN_S = 900.0
"""An hour may still get files for this long after its end: rows that waited for a disk."""

_log = logging.getLogger("trimtab.serving")


@dataclass(slots=True)
class Hour:
    """The files of one hour of arrival. One into which others were merged counts as these (``logs.files_in``)."""

    start_s: float
    folders: list[Path] = field(default_factory=list)
    files: int = 0
    size: int = 0
    unread: int = 0
    """Files that some reader has not read."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep deleted."""

    files: int = 0
    unread: int = 0


def write_mark(logs: Path, reader: str, names: Iterable[str], kinds: Iterable[str]) -> None:
    """Say which files a reader has read (names relative to ``logs``) and which kinds it reads at all.

    Raises:
        OSError: the mark cannot be written.
    """
    counts: Counter[str] = Counter()
    for name in names:
        counts[name.rpartition("/")[0]] += files_in(name)
    content = msgspec.json.encode({"reader": reader, "kinds": sorted(kinds), "read": dict(sorted(counts.items()))})
    folder = logs / MARKS
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".{reader}.{os.getpid()}.tmp"
    try:
        aside.write_bytes(content)
        aside.replace(folder / f"{reader}.json")
    except OSError:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise


def remove_mark(logs: Path, reader: str) -> None:
    """Nothing waits for this reader any more."""
    (logs / MARKS / f"{reader}.json").unlink(missing_ok=True)


class _Mark(msgspec.Struct):
    reader: str
    kinds: list[str]
    read: dict[str, int]
    """Partition (``predictions/date=…/hour=…``) to the number of its files that were read."""


class Retention:
    """Sweeps the log directory of a server."""

    def __init__(self, logs: Path, settings: LogSettings) -> None:
        self._logs = logs
        self._settings = settings
        self.deleted = 0
        """Files deleted so far."""
        self.deleted_unread = 0
        """Of these, files that a reader had not read."""

    @property
    def bounded(self) -> bool:
        """Whether anything is ever deleted."""
        settings = self._settings
        return any(bound is not None for bound in (settings.age_s, settings.bytes_max, settings.bytes_hard))

    def sweep(self, now: float) -> Swept:
        """Delete what is too old or too much.

        Raises:
            OSError: a folder cannot be read or a file not deleted.
        """
        settings = self._settings
        hours = self._hours()
        total = sum(hour.size for hour in hours)
        files = unread = 0
        for hour in hours:
            if hour.start_s + HOUR_S + OPEN_S > now:
                break  # the oldest first: all that follow may still get files
            old = settings.age_s is not None and hour.start_s + HOUR_S + settings.age_s <= now
            large = settings.bytes_max is not None and total > settings.bytes_max
            too_large = settings.bytes_hard is not None and total > settings.bytes_hard
            if not too_large and (hour.unread or not (old or large)):
                continue
            self._delete(hour)
            total -= hour.size
            files, unread = files + hour.files, unread + hour.unread
            self.deleted += hour.files
            self.deleted_unread += hour.unread
        return Swept(files, unread)

    async def watch(self, clock: Callable[[], float], tell: Callable[[str], None]) -> None:
        """Sweep now and then, until cancelled; ``tell`` gets what people have to know."""
        loop = asyncio.get_running_loop()
        while self.bounded:
            try:
                swept = await loop.run_in_executor(None, self.sweep, clock())
            except (OSError, msgspec.MsgspecError) as error:
                _log.error("old files of the log are not deleted: %s", error)
                tell(f"old files are not deleted: {error}")
            else:
                if swept.unread:
                    words = f"{swept.unread} files that were not read yet are deleted: the log is over its hard size"
                    _log.error("%s", words)
                    tell(words)
            await asyncio.sleep(EVERY_S)

    def _hours(self) -> list[Hour]:
        """Oldest first."""
        marks = self._marks()
        hours: dict[float, Hour] = {}
        for kind in KINDS:
            readers = [mark.read for mark in marks if kind in mark.kinds]
            for folder in (self._logs / kind).glob("date=*/hour=*"):
                start = hour_of(folder)
                if start is None:
                    continue
                files, size = _count(folder)
                partition = folder.relative_to(self._logs).as_posix()
                hour = hours.setdefault(start, Hour(start))
                hour.folders.append(folder)
                hour.files += files
                hour.size += size
                missing = (files - read.get(partition, 0) for read in readers)
                hour.unread += max(0, max(missing, default=0))
        return [hours[start] for start in sorted(hours)]

    def _marks(self) -> list[_Mark]:
        return [
            msgspec.json.decode(path.read_bytes(), type=_Mark) for path in sorted((self._logs / MARKS).glob("*.json"))
        ]

    @staticmethod
    def _delete(hour: Hour) -> None:
        for folder in hour.folders:
            # What was merged goes last: files that a crash left beside it must not come to count again.
            for path in sorted(folder.iterdir(), key=lambda path: is_merged(path.name)):
                path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # a file came at this moment: it stays until the next sweep
                folder.rmdir()
                folder.parent.rmdir()


def _count(folder: Path) -> tuple[int, int]:
    """(files as servers wrote them, bytes)"""
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if entry.name.endswith(".parquet") and entry.name[0] != "."]
        return sum(files_in(entry.name) for entry in found), sum(entry.stat().st_size for entry in found)


def hour_of(folder: Path) -> float | None:
    """When the hour of a partition began, seconds since the epoch; None for a folder that is no hour."""
    try:
        at = datetime.strptime(f"{folder.parent.name} {folder.name} +0000", "date=%Y-%m-%d hour=%H %z")
    except ValueError:
        return None
    return at.timestamp()
