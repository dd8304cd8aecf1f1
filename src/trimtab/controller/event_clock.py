"""The newest event time that can be believed: one row from the year 9999 is a slip, twenty rows of next month are the
world going on after a pause.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trimtab.core.domain.times import DAY_S

Times = NDArray[np.float64]

AHEAD_S = 7 * DAY_S
"""How far a row may lie ahead of the clock and move it by itself."""
SUPPORT = 20
"""So many rows within ``AHEAD_S`` of each other move the clock however far ahead they lie."""
KEPT = 1_000
"""Rows ahead that are remembered while they wait for others; the newest go first."""


@dataclass(slots=True)
class EventClock:
    """Never runs back. In whatever order and pieces the same rows come, it ends at the same time, but for pieces of a
    first read that holds no ``SUPPORT`` rows close to each other."""

    now: float | None = None
    _ahead: Times = field(default_factory=lambda: np.empty(0))

    @property
    def ahead(self) -> int:
        """Rows that lie too far ahead to move the clock; at most ``KEPT`` are counted."""
        return len(self._ahead)

    def see(self, times: Times, arrived: float = np.inf) -> None:
        """Event times of new rows, seconds since the epoch, in any order.

        Args:
            times: shape (rows,).
            arrived: when the newest of them arrived; the first rows of all are not believed to come from after that.
        """
        waiting = np.sort(np.concatenate([self._ahead, times[np.isfinite(times)]]))
        if self.now is None:
            first = waiting[waiting <= arrived + AHEAD_S]
            self.now = _supported(waiting) or (float(np.median(first)) if first.size else None)
        while self.now is not None and waiting.size:
            near = waiting[waiting <= self.now + AHEAD_S]
            waiting = waiting[near.size :]
            newest = max(self.now, float(near[-1]) if near.size else self.now)
            if newest == self.now:
                newest = max(newest, _supported(waiting) or newest)
            if newest == self.now:
                break
            self.now = newest
        self._ahead = waiting[:KEPT]


def _supported(times: Times) -> float | None:
    """The newest of these (ascending) with ``SUPPORT`` rows, itself among them, in the ``AHEAD_S`` up to it."""
    if times.size < SUPPORT:
        return None
    close = times[SUPPORT - 1 :] - times[: times.size - SUPPORT + 1] <= AHEAD_S
    return float(times[SUPPORT - 1 :][close][-1]) if close.any() else None
