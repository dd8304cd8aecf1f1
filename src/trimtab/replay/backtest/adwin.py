"""ADWIN: a window of values that is cut where its older part had another mean (Bifet & Gavaldà, SIAM SDM 2007).

Values lie in [0, 1]. The window is kept in buckets of 1, 2, 4, ... values, at most five of each size, so that memory
and time grow with the logarithm of its length.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
BUCKETS = 5
"""Of one size, before the two oldest are merged."""
CLOCK = 32
"""Values between two looks for a cut."""
SHORTEST = 5
"""Values on either side of a cut."""


@dataclass(slots=True)
class Adwin:
    """Feed it with ``add_all``; ``delta`` bounds the chance of a false cut at each look."""

    delta: float = 0.002
    _counts: list[list[int]] = field(default_factory=lambda: [[]])
    _sums: list[list[float]] = field(default_factory=lambda: [[]])
    _squares: list[list[float]] = field(default_factory=lambda: [[]])
    _added: int = 0

    def add_all(self, values: Floats) -> tuple[float, float] | None:
        """Take in values in order.

        Returns:
            The means before and after the newest cut that they caused; None where there was none.
        """
        found = None
        for value in values:
            self._add(float(value))
            self._added += 1
            if self._added % CLOCK == 0:
                found = self._cut() or found
        return found

    def _add(self, value: float) -> None:
        self._insert(0, 1, value, 0.0)
        level = 0
        while len(self._counts[level]) > BUCKETS:
            n1, n2 = self._counts[level][:2]
            s1, s2 = self._sums[level][:2]
            q1, q2 = self._squares[level][:2]
            self._drop(level, 2)
            spread = n1 * n2 / (n1 + n2) * (s1 / n1 - s2 / n2) ** 2
            self._insert(level + 1, n1 + n2, s1 + s2, q1 + q2 + spread)
            level += 1

    def _insert(self, level: int, count: int, total: float, squares: float) -> None:
        if level == len(self._counts):
            self._counts.append([])
            self._sums.append([])
            self._squares.append([])
        self._counts[level].append(count)
        self._sums[level].append(total)
        self._squares[level].append(squares)

    def _drop(self, level: int, buckets: int) -> None:
        del self._counts[level][:buckets]
        del self._sums[level][:buckets]
        del self._squares[level][:buckets]

    def _cut(self) -> tuple[float, float] | None:
        """Drop the oldest bucket while some split of the window has two means."""
        found = None
        while True:
            means = self._split()
            if means is None:
                return found
            found = means
            top = max(level for level, counts in enumerate(self._counts) if counts)
            self._drop(top, 1)

    def _split(self) -> tuple[float, float] | None:
        levels = range(len(self._counts) - 1, -1, -1)
        counts = np.array([n for level in levels for n in self._counts[level]], dtype=np.float64)
        sums = np.array([s for level in levels for s in self._sums[level]])
        squares = np.array([q for level in levels for q in self._squares[level]])
        total, whole = counts.sum(), sums.sum()
        if total < 2 * SHORTEST:
            return None
        mean = whole / total
        variance = float((squares + counts * (sums / counts - mean) ** 2).sum() / total)
        old, old_sum = np.cumsum(counts)[:-1], np.cumsum(sums)[:-1]
        new, new_sum = total - old, whole - old_sum
        harmonic = 1.0 / (1.0 / old + 1.0 / new)
        log = float(np.log(2.0 * np.log(total) / self.delta))
        bound = np.sqrt(2.0 / harmonic * variance * log) + 2.0 / (3.0 * harmonic) * log
        before, after = old_sum / old, new_sum / new
        cut = (np.abs(before - after) > bound) & (old >= SHORTEST) & (new >= SHORTEST)
        if not cut.any():
            return None
        at = int(np.flatnonzero(cut)[0])
        return float(before[at]), float(after[at])
