"""The drift check of two tables: what ``trimtab.drift`` and ``trimtab drift`` do. The current rows are streamed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.core.domain.errors import DataError
from trimtab.core.domain.times import DAY_S
from trimtab.core.drift.check import check
from trimtab.core.drift.family import shares_of, with_slices
from trimtab.core.drift.result import DriftResult
from trimtab.core.profiles import Baseline, Categorical, Column, Evaluation, Numbers, Profile, rows_of, take_rows
from trimtab.core.profiles.layout import as_text
from trimtab.core.profiles.timeline import Timeline, empty_timeline, timeline_of
from trimtab.frames import batches, read
from trimtab.frames.convert import missing_text
from trimtab.offline.times import times_in

SLICE_ROWS_MIN = 100
"""Rows of the reference from which a level is looked at as a slice."""
SLICES_MAX = 32
"""Slices of one column: its most frequent levels."""
DISTINCT_MAX = 200
"""Distinct values of a number that may still name slices."""
BLOCKS = 400
"""Blocks that the reference is cut into, about."""


@dataclass(frozen=True, slots=True)
class DriftQuestion:
    """What is asked of two tables."""

    alpha: float = 0.01
    time: str | None = None
    ignore: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()
    """Columns by whose levels the check is made, too."""
    scores: tuple[str, ...] = ()
    """Columns of what the model answered: one of each class, or one value."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What one check looked at, for pictures."""

    baseline: Baseline
    profile: Profile
    timeline: Timeline | None


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """The result and what it rests on."""

    result: DriftResult
    whole: View
    slices: Mapping[str, View] = field(default_factory=dict)


@dataclass(slots=True)
class _Watch:
    """Adds up the current rows of all, or of one slice."""

    baseline: Baseline
    total: Profile = field(init=False)
    timeline: Timeline = field(init=False)

    def __post_init__(self) -> None:
        self.total, self.timeline = self.baseline.empty(), empty_timeline(self.baseline.layout)

    def add(self, columns: Mapping[str, Column], scores: Numbers | None, time: Numbers | None) -> None:
        profile = self.baseline.profile(columns, scores)
        self.total = self.total + profile
        if time is not None:
            counted = {**columns, **self.baseline.answers(scores)} if scores is not None else columns
            self.timeline = self.timeline + timeline_of(self.baseline.layout, counted, time)

    def view(self, *, timed: bool) -> View:
        return View(self.baseline, self.total, self.timeline if timed else None)


def compare_tables(reference: Any, current: Any, question: DriftQuestion) -> Comparison:
    """See ``trimtab.api.drift``."""
    then = _Table.of(dict(read(reference)), question)
    _named(question, then)
    block_s = _block_s(then.time)
    kinds = {name: _kind(column) for name, column in then.columns.items()} | dict.fromkeys(question.scores, "number")
    cuts = {name: _Cut.of(name, then.columns[name]) for name in question.slices}
    whole = _Watch(then.baseline(block_s))
    parts = {
        f"{name}={level}": _Watch(then.rows(cut.codes(then.columns[name]) == at).baseline(block_s))
        for name, cut in cuts.items()
        for at, level in enumerate(cut.levels)
    }
    del then
    first, last = np.inf, -np.inf
    for batch in batches(current, _wanted(kinds, question.time)):
        now = _Table.of(batch, question)
        if now.time is not None:
            first, last = min(first, now.time.min(initial=np.inf)), max(last, now.time.max(initial=-np.inf))
        whole.add(now.columns, now.scores, now.time)
        for name, cut in cuts.items():
            codes = cut.codes(now.columns[name])
            for at, level in enumerate(cut.levels):
                part = now.rows(codes == at)
                parts[f"{name}={level}"].add(part.columns, part.scores, part.time)
    if not whole.total.rows:
        raise DataError("the current table has no rows")
    span = max(float(last - first), block_s) if question.time else None
    return _judged(whole, parts, question, span)


def _judged(whole: _Watch, parts: Mapping[str, _Watch], question: DriftQuestion, span: float | None) -> Comparison:
    alpha, each_alpha = shares_of(question.alpha, len(parts))
    timed = question.time is not None

    def judge(watch: _Watch, level: float) -> DriftResult:
        dates = watch.timeline if timed else None
        return check(watch.baseline, watch.total, level, span_s=span, timeline=dates)

    results = {name: judge(watch, each_alpha) for name, watch in parts.items()}
    result = with_slices(judge(whole, alpha), results, question.alpha)
    views = {name: watch.view(timed=timed) for name, watch in parts.items()}
    return Comparison(result, whole.view(timed=timed), views)


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """Rows as the check takes them."""

    columns: dict[str, Column]
    scores: Numbers | None
    """(n, classes), or (n,) where there is one column."""
    time: Numbers | None
    classes: tuple[str, ...]

    @classmethod
    def of(cls, columns: dict[str, Column], question: DriftQuestion) -> _Table:
        time = None
        if question.time is not None:
            time = times_in(columns, question.time)
        scores = [_score(columns, name) for name in question.scores]
        taken = {*question.ignore, *question.scores, question.time}
        kept = {name: column for name, column in columns.items() if name not in taken}
        stacked = None if not scores else scores[0] if len(scores) == 1 else np.column_stack(scores)
        return cls(kept, stacked, time, question.scores if len(scores) > 1 else ())

    def rows(self, chosen: NDArray[np.bool_]) -> _Table:
        at = np.flatnonzero(chosen)
        scores, time = (None if each is None else each[at] for each in (self.scores, self.time))
        return _Table(take_rows(self.columns, at), scores, time, self.classes)

    def baseline(self, block_s: float) -> Baseline:
        answered = None
        if self.scores is not None:
            unknown = np.full(len(self.scores), np.nan)
            answered = Evaluation(self.scores, unknown, self.time, self.classes)
        return Baseline.fit(self.columns, time=self.time, block_s=block_s, evaluation=answered)


@dataclass(frozen=True, slots=True)
class _Cut:
    """A column whose levels are slices."""

    levels: tuple[str, ...]

    @classmethod
    def of(cls, name: str, column: Column) -> _Cut:
        """Raises DataError for a number of too many values, and where no level has rows enough."""
        if not isinstance(column, Categorical):
            distinct = len(np.unique(column[~np.isnan(column)]))
            if distinct > DISTINCT_MAX:
                raise DataError(
                    f"column '{name}' cannot name slices: it has {distinct} distinct numbers, {DISTINCT_MAX} are the "
                    "most; cut it into groups first"
                )
            column = as_text(column)
        counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.levels))
        order = [at for at in np.argsort(-counts, kind="stable") if counts[at] >= SLICE_ROWS_MIN][:SLICES_MAX]
        if not order:
            raise DataError(f"column '{name}' cannot name slices: none of its levels has {SLICE_ROWS_MIN} rows")
        return cls(tuple(column.levels[at] for at in order))

    def codes(self, column: Column) -> NDArray[np.intp]:
        """(n,) slice of each row; -1 for none."""
        text = column if isinstance(column, Categorical) else as_text(column)
        index = {level: at for at, level in enumerate(self.levels)}
        table = np.array([index.get(level, -1) for level in text.levels] + [-1], dtype=np.intp)
        found: NDArray[np.intp] = table[text.codes]
        return found


def _named(question: DriftQuestion, then: _Table) -> None:
    """Raises DataError for slices that are no columns, and where nothing is left to look at."""
    for name in question.slices:
        if name not in then.columns:
            raise DataError(f"slices: {missing_text(name, list(then.columns))}")
    if not then.columns:
        raise DataError("no column is left to look at besides the time, the scores and what is ignored")
    if not rows_of(then.columns):
        raise DataError("the reference has no rows")


def _score(columns: Mapping[str, Column], name: str) -> Numbers:
    if name not in columns:
        raise DataError(f"scores: {missing_text(name, list(columns))}")
    column = columns[name]
    if isinstance(column, Categorical):
        raise DataError(f"scores: column '{name}' must hold numbers, found text such as {column.levels[:1]}")
    return column


def _kind(column: Column) -> str:
    return "category" if isinstance(column, Categorical) else "number"


def _wanted(kinds: dict[str, str], time: str | None) -> Mapping[str, str | None]:
    """Types of the columns to read; times by their own type (CSV files hold them as text)."""
    return {**kinds, time: None} if time else kinds


def _block_s(time: Numbers | None) -> float:
    """About a ``BLOCKS``-th of the reference's span: a whole part of a day, or whole days."""
    span = float(time.max() - time.min()) if time is not None and len(time) else 0.0
    if span <= 0:
        return DAY_S
    least = span / BLOCKS
    return DAY_S / max(1, np.floor(DAY_S / least)) if least <= DAY_S else DAY_S * float(np.ceil(least / DAY_S))
