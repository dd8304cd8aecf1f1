"""When files of the log are merged: looked at now and then by one worker of a server, done by a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from trimtab.logs import is_merged
from trimtab.serving.record.files import HOUR_S
from trimtab.serving.record.merge import FILES_MIN, scan
from trimtab.serving.record.retention import KINDS, OPEN_S, hour_of

EVERY_S = 60.0
AT_ONCE = 100
"""Partitions for one process; a log that was never merged takes several rounds."""
ALL_ROUNDS = 60
"""Every so many rounds all hours are looked at, otherwise those of the last day."""
DAY_S = 86_400.0

_log = logging.getLogger("trimtab.serving")


class Merging:
    """Finds hours with many files and has them merged."""

    def __init__(self, logs: Path, wanted: bool, every_s: float = EVERY_S) -> None:
        self._logs = logs
        self._wanted = wanted
        self._every_s = every_s
        self._round = 0
        self._left: dict[str, int] = {}
        """Files of an hour that is over, as the last merging left them: nothing is to be done while it stays so."""

    def due(self, now: float) -> list[str]:
        """Partitions with files to merge, newest first.

        Raises:
            OSError: a folder cannot be read.
        """
        since = now - DAY_S if self._round % ALL_ROUNDS else 0.0
        self._round += 1
        found = []
        for kind in KINDS:
            for folder in (self._logs / kind).glob("date=*/hour=*"):
                start = hour_of(folder)
                if start is not None and start >= since and self._has_many(folder, start + HOUR_S + OPEN_S <= now):
                    found.append((start, folder.relative_to(self._logs).as_posix()))
        return [name for _, name in sorted(found, reverse=True)][:AT_ONCE]

    def _has_many(self, folder: Path, over: bool) -> bool:
        names = [source.name for source in scan(folder)]
        if not over:
            return sum(not is_merged(name) for name in names) >= FILES_MIN
        return len(names) > 1 and self._left.get(folder.relative_to(self._logs).as_posix()) != len(names)

    def note(self, partitions: list[str]) -> None:
        """They were merged as far as they go."""
        for partition in partitions:
            self._left[partition] = len(scan(self._logs / partition))

    async def watch(self, clock: Callable[[], float]) -> None:
        """Look now and then, until cancelled."""
        loop = asyncio.get_running_loop()
        while self._wanted:
            await asyncio.sleep(self._every_s)
            try:
                partitions = await loop.run_in_executor(None, self.due, clock())
                if partitions and await self._merge(partitions):
                    await loop.run_in_executor(None, self.note, partitions)
            except OSError as error:
                _log.error("files of the log are not merged: %s", error)

    async def _merge(self, partitions: list[str]) -> bool:
        command = [sys.executable, "-P", "-m", "trimtab.serving.record.merge", str(self._logs), *partitions]
        process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL)
        try:
            return await process.wait() == 0
        except asyncio.CancelledError:  # the worker ends; what was begun is done again by the next
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            raise
