"""Numbers of one worker that other processes can read at any time, also after its death: cells in a mapped file.

A file has a header and series; a series is a key (texts) and a row of float64 cells. The worker adds to the cells in
place, so what was counted before a kill -9 is there. A worker that takes a dead one's place takes its file too, and
counts on: sums over the files of a server never go back.

    "TTCOUNT1" | changes (8) | end (8) | series: length of key (4) | cells (4) | key, padded to 8 | cells (8 each) | …

``changes`` is odd while the worker rearranges; a reader then looks again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import mmap
import os
import shutil
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypeAlias

MAGIC = b"TTCOUNT1"
SIZE = 256 * 1024
"""Of a file; a fixed size, so that readers never see it grow."""
KEY_BYTES = 160
"""Room for a key; longer ones are cut."""
SUFFIX = ".counters"
PASSING = "passing"
"""A file in the folder of a server on a free port: nobody comes back to it but who takes its sockets over."""
TRIES = 50
WAIT_S = 0.01
_HEAD = 24
_SERIES = struct.Struct("<II")
_STRIDE_HEAD = _SERIES.size + KEY_BYTES

_log = logging.getLogger("trimtab.serving")

Key = tuple[str, ...]
Row: TypeAlias = "memoryview[float]"
"""Cells of a series; of format 'd'."""


class Counters:
    """The cells of this process; ``path`` None keeps them to itself."""

    def __init__(self, path: Path | None = None) -> None:
        self._file: BinaryIO | None = None
        self._memory: mmap.mmap | bytearray = bytearray(SIZE)
        if path is not None:
            self._file = _opened(path)
            self._memory = mmap.mmap(self._file.fileno(), SIZE)
        if self._memory[:8] != MAGIC:
            self._memory[:] = bytes(SIZE)
            self._memory[16:24] = _HEAD.to_bytes(8, "little")
            self._memory[:8] = MAGIC
        self._rows = {key: self._row(at, cells) for key, at, cells in _series(memoryview(self._memory))}
        self._starts = {key: at for key, at, _ in _series(memoryview(self._memory))}

    def row(self, key: Key, cells: int) -> Row | None:
        """The cells of a series, made on first use; None where the file is full."""
        known = self._rows.get(key)
        if known is not None:
            return known
        at = int.from_bytes(self._memory[16:24], "little")
        end = at + _STRIDE_HEAD + 8 * cells
        if end > SIZE:
            return None
        self._memory[at : at + _STRIDE_HEAD] = _SERIES.pack(KEY_BYTES, cells) + _encoded(key)
        self._memory[16:24] = end.to_bytes(8, "little")
        self._rows[key] = row = self._row(at, cells)
        self._starts[key] = at
        return row

    def replace(self, key: Key, into: Key, by: Key) -> Row:
        """Add the series ``key`` to ``into`` (of the same length), and give its place, emptied, to ``by``."""
        row, other = self._rows.pop(key), self._rows.get(into)
        with self._changing():
            for index, value in enumerate(row):
                if other is not None:
                    other[index] += value
                row[index] = 0.0
            at = self._starts.pop(key)
            self._memory[at + _SERIES.size : at + _STRIDE_HEAD] = _encoded(by)
        self._rows[by], self._starts[by] = row, at
        return row

    @property
    def known(self) -> tuple[Key, ...]:
        """The series there are."""
        return tuple(self._rows)

    def series(self) -> dict[Key, list[float]]:
        """The series and their cells as they are now."""
        return {key: list(row) for key, row in self._rows.items()}

    def close(self) -> None:
        """Give up the place; the numbers stay."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _row(self, at: int, cells: int) -> Row:
        start = at + _STRIDE_HEAD
        return memoryview(self._memory)[start : start + 8 * cells].cast("d")

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        changes = int.from_bytes(self._memory[8:16], "little")
        self._memory[8:16] = (changes + 1).to_bytes(8, "little")
        yield
        self._memory[8:16] = (changes + 2).to_bytes(8, "little")


def _encoded(key: Key) -> bytes:
    text = json.dumps(key, separators=(",", ":")).encode()
    if len(text) > KEY_BYTES:
        longest = max(range(len(key)), key=lambda at: len(key[at]))
        cut = tuple(part[: len(part) // 2] if at == longest else part for at, part in enumerate(key))
        return _encoded(cut)
    return text.ljust(KEY_BYTES, b" ")


def _opened(path: Path) -> BinaryIO:
    """The file at ``path``, ours alone; another name beside it where a living process keeps it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("r+b") if path.exists() else path.open("w+b")
    for attempt in range(TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:  # a reader looks at it for a moment, or its process lives
            if attempt == TRIES - 1:
                file.close()
                return _opened(path.with_name(f"{path.stem}-{os.getpid()}{SUFFIX}"))
            time.sleep(WAIT_S)
    os.ftruncate(file.fileno(), SIZE)
    return file


def _series(memory: memoryview) -> Iterator[tuple[Key, int, int]]:
    """(key, where it begins, number of cells)"""
    at, end = _HEAD, int.from_bytes(memory[16:24], "little")
    while at < end:
        _, cells = _SERIES.unpack_from(memory, at)
        yield tuple(json.loads(bytes(memory[at + _SERIES.size : at + _STRIDE_HEAD]))), at, cells
        at += _STRIDE_HEAD + 8 * cells


def read_counters(path: Path) -> tuple[dict[Key, list[float]], bool]:
    """The series of a file, and whether the process that writes it lives.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no file of counters.
    """
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            lives = False
        except BlockingIOError:
            lives = True
        for _ in range(TRIES):
            content = os.pread(file.fileno(), SIZE, 0)
            again = os.pread(file.fileno(), 16, 0)
            if content[8:16] == again[8:16] and not int.from_bytes(content[8:16], "little") % 2:
                break
    if not any(content[:_HEAD]):  # its worker is just being started
        return {}, lives
    if content[:8] != MAGIC or len(content) != SIZE:
        raise ValueError(f"{path} is no file of counters")
    memory = memoryview(content)
    found = {}
    for key, at, cells in _series(memory):
        start = at + _STRIDE_HEAD
        found[key] = list(memory[start : start + 8 * cells].cast("d"))
    return found, lives


@contextlib.contextmanager
def counters_folder(lasting: Path, *, passing: bool = False, anew: bool = False) -> Iterator[Path | None]:
    """A folder for the counters of a server's workers, removed when the server ends; None where none can be made.

    ``lasting``: where it should be, so that whoever follows a supervisor that was killed counts on. It is not taken
    where another server that lives has it, or where nothing can be written. ``passing``: the port is a free one, so
    the folder may go when nobody lives who counts there; ``anew``: what stands there is of a server that had the same
    free port by chance.
    """
    with contextlib.ExitStack() as stack:
        folder = _taken(lasting, stack)
        if folder is not None:
            _sweep(folder)
            with contextlib.suppress(OSError):  # the disk is full: a folder is left over one day
                _prepare(folder, passing, anew)
        else:
            try:
                folder = Path(tempfile.mkdtemp(prefix="trimtab-counters-"))
            except OSError as error:
                _log.warning("each worker answers /metrics for itself alone: %s", error)
                yield None
                return
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _prepare(folder: Path, passing: bool, anew: bool) -> None:
    for left in folder.glob(f"*{SUFFIX}") if anew else ():
        left.unlink(missing_ok=True)
    if passing:
        (folder / PASSING).touch()
    else:
        (folder / PASSING).unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove what servers that were killed have left beside it."""
    for mark in folder.parent.glob(f"counters-*/{PASSING}"):
        other = mark.parent
        with contextlib.ExitStack() as stack:
            if other != folder and _taken(other, stack) is not None and not any(map(_lives, other.glob(f"*{SUFFIX}"))):
                shutil.rmtree(other, ignore_errors=True)


def _lives(path: Path) -> bool:
    """Whether the worker lives that writes these counters: its supervisor was killed, and another may follow."""
    try:
        return read_counters(path)[1]
    except (OSError, ValueError):
        return False


def _taken(folder: Path, stack: contextlib.ExitStack) -> Path | None:
    """The folder, ours until the stack closes or we are killed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = stack.enter_context((folder / "lock").open("ab"))
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return None
    return folder
