"""The log writer: rows go into a bounded queue, a thread turns them into Parquet files.

A request only appends to a deque. The thread turns rows into arrow batches early (small, and away from the garbage
collector) and writes a file every ``flush_s``: aside, synced, renamed. Where the disk fails, batches are kept and tried
again until the bound is reached; what is dropped is counted and shown, and answering goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from trimtab.serving.record.columns import booleans, microseconds
from trimtab.serving.record.files import HOUR_S, LABELS, PREDICTIONS, LogFiles
from trimtab.serving.record.health import LogHealth
from trimtab.serving.record.recorder import Recorder
from trimtab.serving.record.records import BlockRecord, LabelRecord, block_batches, label_batch

PART = 32_768
"""Rows turned into a batch at a time, at most: nearly always all that a flush finds. Each batch costs as much as a
thousand rows and leaves the event loop with cold caches; the interpreter lock is handed over all the while."""

_log = logging.getLogger("trimtab.serving")

Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]
FileKey = tuple[str, int, Any]
"""Folder, hour of arrival, layout: what may stand in one file."""


class LogWriter:
    """One writer per worker. ``add*`` is called by the event loop, everything below by the thread."""

    def __init__(
        self, directory: Path, worker: str, flush_s: float, limit_rows: int, recorder: Recorder | None = None
    ) -> None:
        self.recorder = recorder
        self._files = LogFiles(directory, worker)
        self._flush_s = flush_s
        self._limit = limit_rows
        self._blocks: deque[BlockRecord] = deque()
        self._labels: deque[list[LabelRecord]] = deque()
        self._waiters: deque[Waiter] = deque()
        self._pending: dict[FileKey, list[pa.RecordBatch]] = {}
        self._pending_rows = 0
        self._queued = 0
        """Rows ever put into ``_blocks`` (counted by the event loop) and taken out (by the thread)."""
        self._taken = 0
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="log-writer", daemon=True)
        self.health = LogHealth(flush_s)
        self.written = 0
        self.files = 0

    # --- called by the event loop -------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Rows not yet on disk."""
        return self._queued - self._taken + sum(map(len, list(self._labels))) + self._pending_rows

    @property
    def alarm(self) -> str | None:
        """What people have to be told of the log, in words; None where all is well."""
        return self.health.alarm(self.waiting, time.monotonic())

    def add(self, block: BlockRecord) -> None:
        """Queue rows, all or none."""
        n = len(block.ids)
        queued = self._queued - self._taken
        if queued + self._pending_rows + n > self._limit:
            self.health.drop(n, time.monotonic())
            return
        self._blocks.append(block)
        self._queued += n
        if queued + n >= PART and not self._wake.is_set():
            self._wake.set()

    def add_labels(self, labels: list[LabelRecord]) -> bool:
        """Queue labels, all or none; False when there is no room."""
        if self.waiting + len(labels) > self._limit:
            self.health.drop(len(labels), time.monotonic())
            return False
        self._labels.append(labels)
        return True

    def settled(self) -> asyncio.Future[None]:
        """Done when everything queued so far was written (or could not be: see ``health``)."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiters.append((loop, future))
        self._wake.set()
        return future

    def close(self) -> None:
        """Write what is queued and end the thread. Blocks."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        due = time.monotonic() + self._flush_s
        while True:
            self._wake.wait(max(0.0, due - time.monotonic()))
            self._wake.clear()
            stopping, waiters = self._stopping, self._take_waiters()
            flushing = stopping or bool(waiters) or time.monotonic() >= due
            self.health.begin(time.monotonic())
            try:
                self._convert()
                if flushing:
                    self._flush()
            except Exception as error:  # noqa: BLE001  the thread must outlive any defect, or all later rows are lost
                self._failed(error)
            self.health.end(time.monotonic())
            if flushing:
                due = time.monotonic() + self._flush_s
            for loop, future in waiters:
                with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
                    loop.call_soon_threadsafe(_resolve, future)
            if stopping:
                self._finish()
                return

    def _failed(self, error: Exception) -> None:
        why = str(error) or type(error).__name__
        if self.health.failed(why, time.monotonic()):
            _log.error("the log cannot be written, %d rows are kept for now: %s", self._pending_rows, why)

    def _take_waiters(self) -> list[Waiter]:
        return [self._waiters.popleft() for _ in range(len(self._waiters))]

    def _convert(self) -> None:
        for blocks, rows in self._parts():
            with self._counted(rows):
                for slot, batch in block_batches(blocks):
                    kept = batch if self.recorder is None else self.recorder.take(slot, batch)
                    if kept is not None:
                        self._hold(PREDICTIONS, slot.layout.key, kept)
        for _ in range(len(self._labels)):
            labels = self._labels.popleft()
            with self._counted(len(labels)):
                self._hold(LABELS, isinstance(labels[0].label, str), label_batch(labels))

    def _parts(self) -> Iterator[tuple[list[BlockRecord], int]]:
        """What is queued, about ``PART`` rows at a time."""
        part, rows = [], 0
        for _ in range(len(self._blocks)):
            block = self._blocks.popleft()
            part.append(block)
            rows += len(block.ids)
            if rows >= PART:
                yield part, rows
                self._taken += rows  # only now: what is being turned into columns still waits
                part, rows = [], 0
        if part:
            yield part, rows
            self._taken += rows

    @contextlib.contextmanager
    def _counted(self, rows: int) -> Iterator[None]:
        """What cannot be turned into a batch is counted as lost and does not end the thread."""
        try:
            yield
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            self.health.lose(rows, f"{rows} rows could not be recorded: {error}", time.monotonic())
            _log.exception("%d rows could not be recorded", rows)

    def _hold(self, folder: str, layout: Any, batch: pa.RecordBatch) -> None:
        """Keep the batch for the next file of its hour; a batch over the turn of an hour is split."""
        hours = microseconds(batch.column("time")) // (HOUR_S * 1_000_000)
        first, last = int(hours.min()), int(hours.max())
        self._pending_rows += len(batch)
        if first == last:
            self._pending.setdefault((folder, first, layout), []).append(batch)
            return
        for hour in range(first, last + 1):
            part = batch.filter(booleans(hours == hour))
            if len(part):
                self._pending.setdefault((folder, hour, layout), []).append(part)

    def _flush(self) -> None:
        for key in list(self._pending):
            table = pa.Table.from_batches(self._pending[key])
            folder, hour, _ = key
            try:
                self._files.write(folder, hour, table)
            except (OSError, pa.ArrowException) as error:
                self._failed(error)
                return
            del self._pending[key]
            self._pending_rows -= len(table)
            self.written += len(table)
            self.files += 1
            self.health.wrote()
        if self.recorder is not None:
            self._write_sums(self.recorder)

    def _write_sums(self, recorder: Recorder) -> None:
        for folder, table in recorder.due_sums(time.monotonic(), final=self._stopping):
            try:
                self._files.write(folder, recorder.hour, table)
            except (OSError, pa.ArrowException) as error:
                self._failed(error)
                return
            recorder.wrote(folder)
            self.health.wrote()

    def _finish(self) -> None:
        if self._pending_rows:
            why = f"{self._pending_rows} rows of the log were not written at the end: {self.health.last_error}"
            self.health.lose(self._pending_rows, why, time.monotonic())
            _log.error("%s", why)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
