"""Diagnosis of two tables: a model, a baseline and blocks, as the loop would have made them from traffic."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trimtab.core.diagnosis import Block
from trimtab.core.domain.errors import DataError
from trimtab.core.profiles import Baseline, Categorical, Column, Evaluation, Numbers, rows_of, take_rows
from trimtab.frames import read
from trimtab.frames.convert import missing_text
from trimtab.offline.times import times_in as _numbers

if TYPE_CHECKING:
    import pandas as pd

LEVELS_MAX = 200
"""Levels of a category that a model of ours tells apart."""
CLASSES_MAX = 20
"""Distinct values of a number up to which a target is a class."""


@dataclass(frozen=True, slots=True)
class Delay:
    """When labels become known."""

    column: str | None = None
    """Column of the time at which the label became known."""
    delay_s: float | None = None
    """Rows younger than this are not judged."""

    def old_enough(self, label_times: Numbers | None, times: Numbers, usual_s: float) -> NDArray[np.bool_]:
        """(n,) rows whose label was known at the newest event time, of cohorts that are old enough."""
        now = float(times.max(initial=-np.inf))
        known = np.ones(len(times), dtype=np.bool_)
        if label_times is not None:
            known &= ~(label_times > now)
        return known & (times <= now - (usual_s if self.delay_s is None else self.delay_s))

    def usual_s(self, label_times: Numbers | None, times: Numbers) -> float:
        """Nine tenths of the reference's labels came within this; 0 where nothing is known of it."""
        if label_times is None:
            return 0.0
        delays = (label_times - times)[np.isfinite(label_times)]
        return float(np.quantile(delays, 0.9)) if delays.size else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class OfflineModel:
    """The reference in order of time, and a model that did not see its newest fifth."""

    features: dict[str, Column]
    times: Numbers
    labels: Numbers
    classes: tuple[str, ...]
    """Empty for a number."""
    fitted: Any
    target: str
    time: str
    delay: Delay = Delay()
    usual_delay_s: float = 0.0
    given: bool = False
    """The model came from outside and takes every level; one of ours takes the ``LEVELS_MAX`` most frequent."""

    @classmethod
    def fit(
        cls, reference: Any, target: str, time: str, ignore: tuple[str, ...], model: Any, delay: Delay
    ) -> OfflineModel:
        """Raises DataError for missing columns, missing times, or a target of a single value."""
        columns = dict(read(reference))
        if not rows_of(columns):
            raise DataError("the reference table has no rows")
        times = _numbers(columns, time)
        order = np.argsort(times, kind="stable")
        columns = take_rows(columns, order)
        label = _pop(columns, target)
        classes = _classes(label, target)
        labels = encode(label, classes)
        taken = (*ignore, time, delay.column)
        usual = delay.usual_s(_numbers(columns, delay.column, gaps=True) if delay.column else None, times[order])
        features = {name: column for name, column in columns.items() if name not in taken}
        if not features:
            raise DataError("no feature is left besides target, time and ignored columns")
        offline = cls(features, times[order], labels, classes, model, target, time, delay, usual)
        return replace(offline, given=True) if model is not None else replace(offline, fitted=offline.trained())

    @property
    def cut(self) -> int:
        """First row of the newest fifth."""
        return int(0.8 * len(self.times))

    def trained(self) -> Any:
        """A gradient boosting on the oldest four fifths."""
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        kind = HistGradientBoostingClassifier if self.classes else HistGradientBoostingRegressor
        known = np.isfinite(self.labels[: self.cut])
        rows = np.flatnonzero(known)
        if len(np.unique(self.labels[rows])) < 2:
            raise DataError(
                f"target '{self.target}' has fewer than two values in the oldest four fifths of the reference, "
                "from which the model learns"
            )
        estimator = kind(categorical_features="from_dtype", random_state=0)
        with calm(len(rows)):
            return estimator.fit(fittable(self.frame(take_rows(self.features, rows))), self.labels[rows])

    def frame(self, columns: Mapping[str, Column]) -> pd.DataFrame:
        """The features as the model takes them; levels that training did not have are missing."""
        import pandas as pd

        out: dict[str, Any] = {}
        for name, trained in self.features.items():
            if name not in columns:
                continue
            column = columns[name]
            if isinstance(trained, Categorical) and isinstance(column, Categorical):
                values = pd.Categorical.from_codes(column.codes, categories=pd.Index(column.levels, dtype=object))
                out[name] = values.set_categories(list(trained.levels if self.given else frequent(trained)))
            else:
                out[name] = column
        return pd.DataFrame(out)

    def scores(self, columns: dict[str, Column]) -> Numbers:
        """(n, K) class scores or (n,) values."""
        frame = self.frame(columns)
        with calm(len(frame)):
            found = self.fitted.predict_proba(frame) if self.classes else self.fitted.predict(frame)
        scores = np.asarray(found, dtype=np.float64)
        if not self.classes:
            return scores
        if not self.given and len(scores) and scores.shape[1] < len(self.classes):
            own = np.asarray(self.fitted.classes_, dtype=np.intp)  # a class that only the newest fifth has
            every = np.zeros((len(scores), len(self.classes)))
            every[:, own] = scores
            return every
        return scores[:, self._order(scores.shape[1])]

    def _order(self, scored: int) -> list[int]:
        """Where the model's scores of our classes stand."""
        own = getattr(self.fitted, "classes_", None)
        if own is None or not len(own) or self._is_ours(own):
            names = list(self.classes)
        else:
            names = [each if isinstance(each, str) else f"{float(each):g}" for each in own]
        if scored != len(names) or set(names) != set(self.classes):
            raise DataError(
                f"the model scores the classes {', '.join(names)}, the target has {', '.join(self.classes)}"
            )
        return [names.index(name) for name in self.classes]

    def _is_ours(self, own: Any) -> bool:
        """A model of ours was trained on the indices of the classes."""
        return not isinstance(own[0], str) and [float(each) for each in own] == [*range(len(self.classes))]

    def baseline(self, block_s: float, importance: Mapping[str, float] | None = None) -> Baseline:
        """The baseline in blocks of that length."""
        newest = slice(self.cut, None)
        evaluation = Evaluation(self.tail_scores(), self.labels[newest], self.times[newest], self.classes)
        return Baseline.fit(
            self.features, time=self.times, block_s=block_s, evaluation=evaluation, importance=importance
        )

    def tail_scores(self) -> Numbers:
        """Scores of the newest fifth."""
        return self.scores(take_rows(self.features, slice(self.cut, None)))


@dataclass(frozen=True, slots=True, eq=False)
class Live:
    """The rows since then, in order of time, in the reference's columns."""

    features: dict[str, Column]
    times: Numbers
    labels: Numbers
    """(m,) NaN where not known, or of a cohort that is too young."""
    scores: Numbers
    absent: tuple[str, ...]
    """Features that did not come: all missing in ``features``."""
    extra: tuple[str, ...]
    misfits: dict[str, NDArray[np.bool_]]
    """(m,) values that are of another type than the reference's."""
    strange: NDArray[np.bool_]
    """(m,) labels of a class that the reference does not have."""

    @classmethod
    def of(cls, model: OfflineModel, current: Any, ignore: tuple[str, ...]) -> Live:
        """Raises DataError for a time column that is not there or has gaps, and where no feature is there at all."""
        columns = dict(read(current))
        if not rows_of(columns):
            raise DataError("the current table has no rows")
        times = _numbers(columns, model.time)
        order = np.argsort(times, kind="stable")
        column = model.delay.column
        label_times = _numbers(columns, column, gaps=True) if column else None
        labels = np.full(len(times), np.nan)
        strange = np.zeros(len(times), dtype=np.bool_)
        if model.target in columns:
            label = columns.pop(model.target)
            labels = encode(label, model.classes)
            strange = ~np.isfinite(labels) & ~missing_in(label)
        old_enough = model.delay.old_enough(label_times, times, model.usual_delay_s)
        labels = np.where(old_enough, labels, np.nan)
        features, absent, misfits = _aligned(model.features, take_rows(columns, order))
        extra = tuple(name for name in columns if name not in (*model.features, *ignore, model.time, column))
        scores = model.scores(features)
        return cls(features, times[order], labels[order], scores, absent, extra, misfits, strange[order])


def _aligned(
    reference: Mapping[str, Column], columns: Mapping[str, Column]
) -> tuple[dict[str, Column], tuple[str, ...], dict[str, NDArray[np.bool_]]]:
    """The reference's columns in its types; what does not come or does not fit is missing."""
    rows = rows_of(columns)
    out: dict[str, Column] = {}
    absent, misfits = [], {}
    for name, trained in reference.items():
        column = columns.get(name)
        text = isinstance(trained, Categorical)
        if column is None:
            absent.append(name)
            none = np.full(rows, -1, dtype=np.int32)
            out[name] = Categorical(none, ()) if text else np.full(rows, np.nan)
        elif isinstance(column, Categorical) == text:
            out[name] = column
        elif isinstance(column, Categorical):
            out[name], bad = parsed(column)
            if bad.any():
                misfits[name] = bad
        else:
            out[name] = as_text(column)
    if len(absent) == len(reference):
        raise DataError(missing_text(absent[0], list(columns)))
    return out, tuple(absent), misfits


def parsed(column: Categorical) -> tuple[Numbers, NDArray[np.bool_]]:
    """Text as numbers, and the rows that are none."""
    table, bad = np.full(len(column.levels) + 1, np.nan), np.zeros(len(column.levels) + 1, dtype=np.bool_)
    for at, level in enumerate(column.levels):
        try:
            table[at] = float(level)
        except ValueError:
            bad[at] = level.strip() != ""
    return table[column.codes], bad[column.codes]


def as_text(column: Numbers) -> Categorical:
    """Numbers as text, whole ones without a point."""
    values, codes = np.unique(column, return_inverse=True)
    levels = tuple(f"{value:.15g}" for value in values)
    return Categorical(np.where(np.isnan(column), -1, codes).astype(np.int32), levels)


def missing_in(column: Column) -> NDArray[np.bool_]:
    """(n,) rows without a value."""
    found: NDArray[np.bool_] = column.codes < 0 if isinstance(column, Categorical) else np.isnan(column)
    return found


def frequent(column: Categorical) -> tuple[str, ...]:
    """The ``LEVELS_MAX`` most frequent levels, in their order."""
    if len(column.levels) <= LEVELS_MAX:
        return column.levels
    counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.levels))
    kept = np.sort(np.argsort(-counts, kind="stable")[:LEVELS_MAX])
    return tuple(column.levels[at] for at in kept)


def blocks_of(live: Live, baseline: Baseline, block_s: float) -> list[Block]:
    """The live rows in blocks of event time, as profiles and scorecards."""
    index = np.floor((live.times - live.times[0]) / block_s).astype(np.int64)
    out = []
    for each in np.unique(index):
        first, end = np.searchsorted(index, [each, each + 1])
        rows = slice(int(first), int(end))
        start = float(live.times[0] + each * block_s)
        profile = baseline.profile(take_rows(live.features, rows), live.scores[rows])
        card = baseline.scorecard(live.scores[rows], live.labels[rows])
        out.append(Block(start, start + block_s, profile, card if card.rows else None))
    return out


def fittable(frame: pd.DataFrame) -> pd.DataFrame:
    """Numbers without any value as zeros: scikit-learn cannot bin a column that is all missing."""
    empty = [name for name in frame.columns if frame[name].dtype.kind == "f" and frame[name].isna().all()]
    return frame.assign(**dict.fromkeys(empty, 0.0)) if empty else frame


def calm(rows: int) -> AbstractContextManager[object]:
    """One thread for small tables: on a busy machine threads that wait for each other make a fit a hundred times
    slower.
    """
    from threadpoolctl import threadpool_limits

    limit: AbstractContextManager[object] = threadpool_limits(1 if rows < 200_000 else None, user_api="openmp")
    return limit


def encode(label: Column, classes: tuple[str, ...]) -> Numbers:
    """(n,) index of the class, or the value; NaN unknown."""
    if not classes:
        return label if not isinstance(label, Categorical) else np.full(len(label), np.nan)
    index = {name: float(at) for at, name in enumerate(classes)}
    if isinstance(label, Categorical):
        table = np.array([index.get(level, np.nan) for level in label.levels] + [np.nan])
        found: Numbers = table[label.codes]
        return found
    out = np.full(len(label), np.nan)
    for name, at in index.items():
        value = _value(name)
        if value is not None:
            out[label == value] = at
    return out


def _value(name: str) -> float | None:
    """The number that a class is called, if it is one."""
    try:
        return float(name)
    except ValueError:
        return None


def _classes(label: Column, target: str) -> tuple[str, ...]:
    if isinstance(label, Categorical):
        used = sorted({label.levels[code] for code in np.unique(label.codes) if code >= 0})
    else:
        values = np.unique(label[np.isfinite(label)])
        if values.size > CLASSES_MAX:
            return ()
        used = [f"{value:g}" for value in values]
    if len(used) < 2:
        raise DataError(
            f"target '{target}' has {'no value' if not used else f'only the value {used[0]!r}'} in the reference"
        )
    return tuple(used)


def _pop(columns: dict[str, Column], name: str) -> Column:
    if name not in columns:
        raise DataError(missing_text(name, list(columns)))
    return columns.pop(name)
