"""Does a column still belong to the other columns of its row?

The column is cut in two (at its median, or its levels into two groups), and a classifier learns on the reference to
tell the half from the *other* columns. The log probability of the half that is really there, less that without knowing
the others, is the information of a row about its column: its mean is the mutual information. A shift of the population
leaves most of it; a column that is broken, swapped or in another unit loses it, and a repair that is right brings it
back. Where the column has nothing to do with the others, the answer is that nothing can be said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trimtab.core.diagnosis.rows.case import Case
from trimtab.core.profiles.columns import Categorical, Column, Columns, Numbers, take_rows

ROWS = 6000
"""Rows of the reference that teach."""
FLOOR = 0.02
"""Probabilities are kept this far from 0: one impossible row is not ten."""
INFORMATION_MIN = 0.05
"""Mutual information below which the column counts as independent of the others, nats."""


@dataclass(frozen=True, slots=True)
class Bond:
    """The tie of one column to the others."""

    usual: float
    """Mean information on the newest rows of the reference, which were not learned from, nats: ties that loosen with
    time by nature are loose here, too."""
    deviation: float
    """Of a row's information."""
    measure: Callable[[Columns], Numbers]
    """(n,) information of rows."""

    @property
    def tells(self) -> bool:
        return self.usual >= INFORMATION_MIN

    def kept(self, columns: Columns) -> float:
        """Share of the tie that these rows have: 1 as in the reference, 0 none, below 0 against it."""
        return float(self.measure(columns).mean()) / self.usual

    def lost(self, columns: Columns) -> tuple[float, float]:
        """(share that is left, standard errors by which the mean lies below the usual)."""
        found = self.measure(columns)
        error = self.deviation * np.sqrt(1 / max(len(found), 1) + 3 / ROWS)
        return float(found.mean()) / self.usual, float((self.usual - found.mean()) / max(error, 1e-9))


def bond(case: Case, name: str) -> Bond:
    """Learn it."""
    total = len(case.reference_times)
    cut = int(0.8 * total)
    upper = halves(case.reference[name])
    teach = take_rows(case.reference, np.unique(np.linspace(0, cut - 1, min(cut, ROWS)).astype(np.intp)))
    newest = np.unique(np.linspace(cut, total - 1, min(total - cut, ROWS // 2)).astype(np.intp))
    check = take_rows(case.reference, newest)
    half = upper(teach[name])
    positive = half > 0.5
    share = float(np.clip(positive.mean(), FLOOR, 1 - FLOOR))
    ask = case.learner.classify({key: column for key, column in teach.items() if key != name}, positive)

    def measure(columns: Columns) -> Numbers:
        p = np.clip(ask({key: column for key, column in columns.items() if key != name}), FLOOR, 1 - FLOOR)
        side = upper(columns[name])
        told = np.where(side > 0.5, np.log(p / share), np.log((1 - p) / (1 - share)))
        return np.where(np.isnan(side), 0.0, told)

    usual = measure(check) if positive.any() and not positive.all() else np.zeros(1)
    return Bond(float(usual.mean()), float(usual.std()), measure)


def halves(reference: Column) -> Callable[[Column], Numbers]:
    """1 in the upper half of the reference, 0 in the lower, NaN unknown.

    Levels: every second one by frequency, so that the halves are as equal as can be.
    """
    if isinstance(reference, Categorical):
        counts = np.bincount(reference.codes[reference.codes >= 0], minlength=len(reference.levels))
        ordered, sums, group = np.argsort(-counts, kind="stable"), [0, 0], {}
        for at in ordered:
            side = int(sums[1] < sums[0])
            group[reference.levels[at]] = float(side)
            sums[side] += int(counts[at])

        def by_level(column: Column) -> Numbers:
            if not isinstance(column, Categorical):
                return np.full(len(column), np.nan)
            table = np.array([group.get(level, np.nan) for level in column.levels] + [np.nan])
            found: Numbers = table[column.codes]
            return found

        return by_level
    known = reference[np.isfinite(reference)]
    middle = float(np.median(known)) if known.size else 0.0
    strict = float((known > middle).mean()) > 0.1 if known.size else True

    def by_value(column: Column) -> Numbers:
        if isinstance(column, Categorical):
            return np.full(len(column), np.nan)
        above = column > middle if strict else column >= middle
        return np.where(np.isfinite(column), above.astype(np.float64), np.nan)

    return by_value
