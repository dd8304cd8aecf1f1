"""When did it begin? The stretch of current rows whose cells differ most from all others, against the same search
inside the reference.

The gain of a stretch is the G statistic (twice the log likelihood ratio) of 'the stretch has shares of its own' against
'all rows share them'. Rows of a real stream wobble together, so a gain counts as a change only where it is above what
chance allows over all stretches plus ``NATURAL`` times what the reference's own runs have beyond chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from trimtab.core.diagnosis.rows.case import Codes
from trimtab.core.profiles.columns import Numbers

SEGMENTS = 40
"""Steps in which stretches are tried; the best one is then refined to the row."""
TRIES = 120.0
"""Independent tries that the 820 overlapping stretches are worth, plus 8 for each degree of freedom (G statistics of
short stretches have heavier tails than chi-squared). Measured: the largest gain of shuffled rows exceeds the bound of
5 % in 5 to 7 % of runs with 2 to 43 cells, that of 1 % in 0.3 to 1 %."""
NATURAL = 1.5
"""Times the reference's own excess over chance that are allowed."""


@dataclass(frozen=True, slots=True)
class Change:
    """A stretch of current rows that differs."""

    first: int
    end: int
    """Rows ``first`` … ``end - 1``; ``end`` is the number of rows where it lasts."""
    gain: float
    limit: float

    @property
    def ratio(self) -> float:
        return self.gain / self.limit

    @property
    def real(self) -> bool:
        return self.gain > self.limit


def scan(
    reference: Codes,
    current: Codes,
    size: int,
    given: tuple[Codes, Codes, int] | None = None,
    base: int | None = None,
    p: float = 1e-4,
) -> Change:
    """The stretch with the largest gain.

    Args:
        reference, current: (n,), (m,) cells of the rows in order.
        size: number of cells.
        given: cells (reference, current, number) of something that may change freely: the gain is then that of the
            cells *given* those. ``reference`` and ``current`` must be joint cells that determine them.
        base: newest rows of the reference that stand beside current. None: as many, at most a third.
        p: probability of a change by chance, all stretches accounted for.
    """
    base = base or min(len(current), max(len(reference) // 3, 1))
    gains, stretches = _gains(reference[-base:], current, size)
    if given is not None:
        gains = gains - _gains(given[0][-base:], given[1], given[2])[0]
    first, end = _best(gains, stretches)
    freedom = size - 1 if given is None else size - given[2]
    limit = chance(freedom, TRIES + 8 * freedom, p) + NATURAL * _natural(reference, len(current), size, freedom, given)
    gain = float(gains[(stretches[:, 0] == first) & (stretches[:, 1] == end)][0])
    edges = _edges(len(current))
    refined = _refine(reference[-base:], current, size, int(edges[first]), int(edges[end]), len(edges) - 1)
    return Change(refined, int(edges[end]), gain, limit)


def chance(freedom: int, tries: float, p: float = 1e-4) -> float:
    """What a chi-squared statistic reaches by chance with probability ``p`` over all tries (Wilson & Hilferty 1931).

    >>> round(chance(8, 1, 0.05), 1)
    15.5
    """
    free = max(freedom, 1)
    z = NormalDist().inv_cdf(1 - min(p / max(tries, 1.0), 0.5))
    ninth = 2 / (9 * free)
    return float(free * (1 - ninth + z * np.sqrt(ninth)) ** 3)


def _edges(rows: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, rows, min(SEGMENTS, max(rows, 1)) + 1).astype(np.int64))


def _gains(base: Codes, current: Codes, size: int) -> tuple[Numbers, NDArray[np.int64]]:
    """(W,) gain of each stretch and (W, 2) its first and last step (excluded)."""
    edges = _edges(len(current))
    steps = len(edges) - 1
    step = np.searchsorted(edges, np.arange(len(current)), side="right") - 1
    counts = np.bincount(step * size + current, minlength=steps * size).reshape(steps, size)
    sums = np.concatenate([np.zeros((1, size)), np.cumsum(counts, axis=0)])
    whole = sums[-1] + np.bincount(base, minlength=size)
    first, end = np.triu_indices(steps + 1, 1)
    kept = ((end - first) >= 2) | (end == steps)
    first, end = first[kept], end[kept]
    inside = sums[end] - sums[first]
    gains = 2 * (_likelihood(inside) + _likelihood(whole - inside) - _likelihood(whole[None, :]))
    return gains, np.stack([first, end], axis=1)


def _likelihood(counts: Numbers) -> Numbers:
    total = counts.sum(axis=1)
    cells = (counts * np.log(np.maximum(counts, 1.0))).sum(axis=1)
    found: Numbers = cells - total * np.log(np.maximum(total, 1.0))
    return found


def _best(gains: Numbers, stretches: NDArray[np.int64]) -> tuple[int, int]:
    """The best stretch that lasts to the end, unless one that ended is clearly better."""
    last = int(stretches[:, 1].max())
    lasting = stretches[:, 1] == last
    open_at = int(np.argmax(np.where(lasting, gains, -np.inf)))
    any_at = int(np.argmax(gains))
    chosen = any_at if gains[any_at] > 1.2 * gains[open_at] + 30 else open_at
    return int(stretches[chosen, 0]), int(stretches[chosen, 1])


def _natural(reference: Codes, rows: int, size: int, freedom: int, given: tuple[Codes, Codes, int] | None) -> float:
    """How far the largest gain of runs of the reference goes beyond chance, for runs as long as current."""
    run = min(rows, len(reference) // 2)
    base = max(min(rows, len(reference) // 3), 1)
    if run < SEGMENTS:
        return 0.0
    largest = 0.0
    for start in np.unique(np.linspace(base, len(reference) - run, 4).astype(np.int64)).tolist():
        before, now = slice(start - base, start), slice(start, start + run)
        gains, _ = _gains(reference[before], reference[now], size)
        if given is not None:
            gains = gains - _gains(given[0][before], given[0][now], given[2])[0]
        largest = max(largest, float(gains.max()))
    return max(largest - chance(freedom, TRIES + 8 * freedom, 0.05), 0.0) * max(1.0, rows / run)


def _refine(base: Codes, current: Codes, size: int, first: int, end: int, steps: int) -> int:
    """The row at which the evidence for the new shares begins to add up."""
    step = max(len(current) // steps, 1)
    inside = np.bincount(current[first:end], minlength=size) + 0.5
    outside = np.bincount(np.concatenate([base, current[:first], current[end:]]), minlength=size) + 0.5
    score = np.log(inside / inside.sum()) - np.log(outside / outside.sum())
    low, high = max(0, first - step), min(end, first + step)
    sums = np.concatenate([[0.0], np.cumsum(score[current[low:high]])])
    return low + int(np.argmin(sums)) if first or sums.size else first
