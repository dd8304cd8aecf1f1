"""At once or bit by bit: a step or a ramp, by least squares over segments of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trimtab.core.profiles.columns import Numbers

STEPS = 60


@dataclass(frozen=True, slots=True)
class Course:
    """How a change came."""

    first: int
    """Row."""
    gradual: bool
    ratio: float
    """Squared error of the ramp over that of the step."""


def course(values: Numbers) -> Course:
    """The onset in a series that lies around zero before and above it since; the step wins ties.

    Args:
        values: (n,) one for each row.
    """
    edges = np.unique(np.linspace(0, len(values), min(STEPS, max(len(values) // 5, 1)) + 1).astype(np.int64))
    counts = np.diff(edges).astype(np.float64)
    mean = np.add.reduceat(values, edges[:-1]) / counts if len(values) else np.zeros(0)
    steps = len(mean)
    if steps < 4:
        return Course(0, False, 1.0)
    at = np.arange(steps, dtype=np.float64)
    best = {True: (np.inf, 0), False: (np.inf, 0)}
    for first in range(steps - 1):
        for gradual in (False, True):
            shape = np.maximum(at - first + 0.5, 0.0) * (at >= first) if gradual else (at >= first).astype(np.float64)
            level = _fit(mean, counts, shape)
            if level < best[gradual][0]:
                best[gradual] = (level, first)
    ratio = best[True][0] / max(best[False][0], 1e-300)
    gradual = ratio < 0.97 and steps - best[True][1] >= 6
    first = int(edges[best[gradual][1]])
    return Course(first if gradual else _to_the_row(values, first, int(edges[1])), gradual, ratio)


def _fit(mean: Numbers, counts: Numbers, shape: Numbers) -> float:
    """Weighted squared error of an offset plus the shape."""
    design = np.stack([np.ones_like(shape), shape], axis=1) * np.sqrt(counts)[:, None]
    target = mean * np.sqrt(counts)
    _, left, rank, _ = np.linalg.lstsq(design, target, rcond=None)
    return float(left[0]) if rank == 2 and left.size else float(((target - target.mean()) ** 2).sum())


def _to_the_row(values: Numbers, first: int, step: int) -> int:
    """Where the sum of (value less half of the step) begins to grow."""
    low, high = max(0, first - step), min(len(values), first + step)
    before = float(values[:first].mean()) if first else 0.0
    middle = (before + float(values[first:].mean())) / 2
    sums = np.concatenate([[0.0], np.cumsum(values[low:high] - middle)])
    return low + int(np.argmin(sums))
