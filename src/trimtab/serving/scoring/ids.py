"""Prediction ids: unique over servers and restarts, and sorted by time."""

from __future__ import annotations


class IdSource:
    """Ids of one worker: 12 hex digits of milliseconds, 6 of a counter, and the worker's own random tag.

    The milliseconds never go back, even when the wall clock does. The counter wraps after 16 million ids, far more than
    a worker can give in a millisecond, so an id cannot occur twice.
    """

    __slots__ = ("_count", "_ms", "_prefix", "_suffix")

    def __init__(self, tag: str) -> None:
        self._suffix = f"-{tag}"
        self._ms = 0
        self._prefix = "0" * 12
        self._count = 0

    def next(self, now: float) -> str:
        """An id for a request that arrived at ``now`` (seconds since the epoch)."""
        ms = int(now * 1000.0)
        if ms > self._ms:
            self._ms, self._prefix = ms, f"{ms:012x}"
        self._count = count = (self._count + 1) & 0xFFFFFF
        return f"{self._prefix}{count:06x}{self._suffix}"

    def take(self, count: int, now: float) -> list[str]:
        """Ids for the rows of a batch, in order."""
        return [self.next(now) for _ in range(count)]
