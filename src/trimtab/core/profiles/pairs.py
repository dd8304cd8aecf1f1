"""Rows that two versions scored, as sums: how often they predict otherwise, and by how much their scores differ."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trimtab.core.profiles.baseline import Baseline

ERROR_CAP = 5.0
"""Regression: an error of so many times the champion's mean absolute error counts as a loss of 1, larger ones too: the
tests of a rollout need bounded losses, and ``RolloutPlan.margin`` is in these units."""

_HALF_GRID = (0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
SHIFT_GRID: NDArray[np.float64] = np.array([*(-x for x in reversed(_HALF_GRID)), 0.0, *_HALF_GRID])
"""Where differences of scores are kept; finest near 0, where most lie."""


def shift_weights(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Differences in [-1, 1], shape (rows,), as weights on ``SHIFT_GRID``, shape (29,): each row is split between its
    two neighbours so that its mean stays. A fixed size for any traffic, and evidence from it is never stronger than
    from the rows themselves: the logarithm of a bet is concave, so it lies above its chord.

    >>> weights = shift_weights(np.array([0.0075, -1.0]))
    >>> float(weights.sum()), round(float(weights @ SHIFT_GRID), 6)
    (2.0, -0.9925)
    """
    place = np.clip(np.searchsorted(SHIFT_GRID, differences, side="right") - 1, 0, SHIFT_GRID.size - 2)
    upper = (differences - SHIFT_GRID[place]) / (SHIFT_GRID[place + 1] - SHIFT_GRID[place])
    size = SHIFT_GRID.size
    low, high = np.bincount(place, 1.0 - upper, size), np.bincount(place + 1, upper, size)
    return np.asarray(low + high, dtype=np.float64)


@dataclass(slots=True)
class Compared:
    """Sums over rows that both versions scored."""

    rows: int = 0
    disagreed: int = 0
    """Of these, rows with another class (regression: further apart than the champion's mean absolute error)."""
    shift: NDArray[np.float64] = field(default_factory=lambda: np.zeros(SHIFT_GRID.size))
    """``shift_weights`` of score differences, challenger - champion."""

    def add(self, other: Compared) -> None:
        """Further rows."""
        self.rows += other.rows
        self.disagreed += other.disagreed
        self.shift = self.shift + other.shift


@dataclass(frozen=True, slots=True)
class Differences:
    """Of each row, shape (rows,)."""

    disagreed: NDArray[np.bool_]
    shift: NDArray[np.float64]
    """Challenger - champion, in [-1, 1]."""

    def sum(self, chosen: NDArray[np.bool_]) -> Compared:
        """The sums of some of the rows."""
        return Compared(int(chosen.sum()), int(self.disagreed[chosen].sum()), shift_weights(self.shift[chosen]))


def differences(ours: NDArray[np.float64], theirs: NDArray[np.float64], scale: float | None) -> Differences:
    """How the challenger's answers (``theirs``) differ from the champion's (``ours``), both of shape (rows, classes).

    Args:
        scale: for regression (one column), the difference that counts as 1; None for classification.
    """
    if scale is None:
        return Differences(ours.argmax(axis=1) != theirs.argmax(axis=1), shifts(ours, theirs))
    gap = (theirs[:, 0] - ours[:, 0]) / scale if scale > 0 else np.zeros(len(ours))
    return Differences(np.abs(gap) > 1.0 / ERROR_CAP, np.clip(gap, -1.0, 1.0))


def loss_scale(baseline: Baseline) -> float:
    """What one unit of loss is in a comparison: 1 for classification, ``ERROR_CAP`` times the champion's mean absolute
    error out of sample for regression."""
    return 1.0 if baseline.classes else ERROR_CAP * baseline.evaluation.loss


def shifts(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Score differences, challenger - champion, in [-1, 1], shape (rows,), of scores of shape (rows, classes).

    Of two classes, the second's; of more, that of the class which the champion predicts.
    """
    if ours.shape[1] == 2:
        return np.clip(theirs[:, 1] - ours[:, 1], -1.0, 1.0)
    chosen = ours.argmax(axis=1)[:, None]
    gap = np.take_along_axis(theirs, chosen, axis=1) - np.take_along_axis(ours, chosen, axis=1)
    return np.clip(gap[:, 0], -1.0, 1.0)
