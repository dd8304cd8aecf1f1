"""What a diagnosis by rows looks at: a reference, the rows since, what the model answered and what came true.

Columns are cut into at most ``BINS`` cells that the reference decides: the levels of a category (and of a number with
few values), or quantiles of a number with a cell below, above and for missing. Everything that asks *when* works
on these cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trimtab.core.domain.errors import InvariantError
from trimtab.core.profiles.columns import Categorical, Column, Columns, Numbers

Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]

BINS = 24
LEVELS_KEPT = 40
"""Levels that get a cell of their own; the others of the reference share one."""
DISTINCT_MAX = 60
"""Distinct values up to which a number is cut by value."""


class Learner(Protocol):
    """Fits a quick model; what it is made of is the edge's business."""

    def classify(self, columns: Columns, positive: Flags) -> Callable[[Columns], Numbers]:
        """The probability of ``positive`` as a function of rows."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """One column in the reference's cells."""

    name: str
    size: int
    """Number of cells; the last three are: not seen in the reference (or below), rare (or above), missing."""
    by_level: bool
    reference: Codes
    """(n,) oldest first."""
    current: Codes
    """(m,) oldest first."""

    @property
    def unseen(self) -> int:
        return self.size - 3

    @property
    def missing(self) -> int:
        return self.size - 1

    def outside(self, codes: Codes) -> Flags:
        """Rows whose value the reference did not have: an unseen level, or out of its range."""
        found: Flags = codes == self.unseen
        return found if self.by_level else found | (codes == self.size - 2)


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """All that is known; rows in order of event time."""

    reference: Columns
    reference_times: Numbers
    reference_labels: Numbers
    """(n,) index of the class, or the value; NaN unknown."""
    reference_scores: Numbers
    """Of the newest ``len(reference_scores)`` rows of the reference, which the model did not learn from."""
    current: Columns
    times: Numbers
    labels: Numbers
    scores: Numbers
    """(m, K) class scores or (m,) values."""
    classes: tuple[str, ...]
    learner: Learner
    cells: Mapping[str, Cells] = field(default_factory=dict)
    importance: Mapping[str, float] = field(default_factory=dict)
    """Share of each feature in the model's skill; empty: unknown."""
    rivals: Mapping[str, Numbers] = field(default_factory=dict)
    """Scores of earlier versions for the current rows, by name: candidates for a rollback."""
    slices: tuple[str, ...] = ()
    """Columns by whose levels harm is asked for."""
    absent: tuple[str, ...] = ()
    """Features of the reference that current does not have at all."""
    extra: tuple[str, ...] = ()
    """Columns of current that the reference does not have."""
    misfits: Mapping[str, Flags] = field(default_factory=dict)
    """(m,) rows whose value was of another type than the reference's column and could not be read as it."""
    strange: Flags = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    """(m,) rows with a label that is none of the reference's classes; empty: none."""

    @property
    def rows(self) -> int:
        return len(self.times)

    def at(self, row: int) -> float:
        """Event time of a row of current."""
        return float(self.times[min(row, self.rows - 1)])

    def weight(self, name: str) -> float:
        """The feature's importance relative to a fair share; 1 where unknown."""
        return self.importance.get(name, 0.0) * len(self.importance) if self.importance else 1.0


def numbers(column: Column) -> Numbers:
    """The column as numbers.

    Raises:
        InvariantError: it is a category; the edge gives both tables the same kinds.
    """
    if isinstance(column, Categorical):
        raise InvariantError("a number was expected, found a category: both tables must have the reference's kinds")
    return column


def category(column: Column) -> Categorical:
    """The column as a category; raises InvariantError likewise."""
    if not isinstance(column, Categorical):
        raise InvariantError("a category was expected, found a number: both tables must have the reference's kinds")
    return column


def cells_of(name: str, reference: Column, current: Column) -> Cells:
    """Cut a column; the current one must be of the same kind."""
    if isinstance(reference, Categorical) and isinstance(current, Categorical):
        before, now = _joint_levels(reference, current)
        return _by_level(name, before, now)
    reference, current = numbers(reference), numbers(current)
    known = reference[np.isfinite(reference)]
    values = np.unique(known)
    if len(values) <= DISTINCT_MAX:
        return _by_level(name, _value_codes(values, reference), _value_codes(values, current))
    inner = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1]))
    low, high = float(values[0]), float(values[-1])
    return Cells(
        name,
        len(inner) + 4,
        False,
        _number_codes(reference, inner, low, high),
        _number_codes(current, inner, low, high),
    )


def _number_codes(values: Numbers, inner: Numbers, low: float, high: float) -> Codes:
    codes = np.searchsorted(inner, values, side="right").astype(np.int64)
    size = len(inner) + 1
    codes[values < low] = size
    codes[values > high] = size + 1
    codes[~np.isfinite(values)] = size + 2
    return codes


def _value_codes(values: Numbers, column: Numbers) -> Codes:
    """Index among the values; ``len(values)``: another one; -1: missing."""
    place = np.searchsorted(values, column)
    found = place < len(values)
    if len(values):
        found &= values[np.minimum(place, len(values) - 1)] == column
    return np.where(~np.isfinite(column), -1, np.where(found, place, len(values))).astype(np.int64)


def _joint_levels(reference: Categorical, current: Categorical) -> tuple[Codes, Codes]:
    used = np.bincount(reference.codes[reference.codes >= 0], minlength=len(reference.levels)) > 0
    index = {level: at for at, level in enumerate(reference.levels) if used[at]}
    place = {level: at for at, level in enumerate(index)}
    own = np.array([place.get(level, 0) for level in reference.levels] + [-1], dtype=np.int64)
    other = np.array([place.get(level, len(place)) for level in current.levels] + [-1], dtype=np.int64)
    return own[reference.codes], other[current.codes]


def _by_level(name: str, reference: Codes, current: Codes) -> Cells:
    """From codes where -1 is missing and the largest code of current may be 'unseen'."""
    size = int(reference.max(initial=-1)) + 1
    counts = np.bincount(reference[reference >= 0], minlength=max(size, 1))
    order = np.argsort(-counts, kind="stable")[:LEVELS_KEPT]
    kept = len(order)
    table = np.full(len(counts) + 2, kept + 1, dtype=np.int64)  # rare
    table[order] = np.arange(kept)
    table[size] = kept  # unseen
    table[-1] = kept + 2  # missing
    return Cells(name, kept + 3, True, table[reference], table[np.minimum(current, size)])
