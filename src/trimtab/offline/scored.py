"""Rows that a model answered, with the labels that are known: from a prediction log, or from a table with columns of
one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.core.domain.errors import DataError, NotFoundError
from trimtab.core.profiles import Categorical, Column, Numbers, take_rows
from trimtab.frames.convert import column_of, columns_of, missing_text
from trimtab.offline.tables import encode

if TYPE_CHECKING:
    import pyarrow as pa

SCORE, INPUT, PREDICTION = "y.score.", "x.", "y.prediction"
LEVELS_MAX = 30
"""Levels of a slice column that are looked at one by one: the most frequent; all others are one slice, ``(other)``."""


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Answered rows, oldest first."""

    times: Numbers
    """(n,) event times, seconds since the epoch."""
    labels: Numbers
    """(n,) index of the class, or the value; NaN where not known yet."""
    scores: Numbers
    """(n, K) class scores, or (n,) values."""
    classes: tuple[str, ...]
    """Empty for a number."""
    slices: Mapping[str, Categorical]
    """Columns by whose levels is looked."""

    def __len__(self) -> int:
        return len(self.times)


def scored_of_log(
    predictions: pa.Table, labels: pa.Table, slices: Sequence[str] = (), version: int | None = None
) -> Scored:
    """From the tables of a log directory (docs/formats.md).

    Args:
        predictions: answered and shadow rows; the latter are left out.
        labels: first label of each prediction id.
        slices: names of inputs.
        version: only its answers; None: of all versions that answered.

    Raises:
        NotFoundError: there is no answered row (of that version).
        DataError: a slice that was not logged, or answers without scores or values.
    """
    import pyarrow.compute as pc

    from trimtab.logs import answered_rows

    rows = answered_rows(predictions)
    if version is not None:
        rows = rows.filter(pc.equal(rows.column("version"), version))
    if not rows.num_rows:
        raise NotFoundError("the log has no answered row" + (f" of version {version}" if version is not None else ""))
    names = [name for name in rows.column_names if name.startswith(SCORE)]
    known = dict(zip(labels.column("prediction_id").to_pylist(), labels.column("label").to_pylist(), strict=True))
    found = [known.get(each) for each in rows.column("prediction_id").to_pylist()]
    if names:
        classes = tuple(name.removeprefix(SCORE) for name in names)
        scores = np.column_stack([_numbers(name, rows.column(name)) for name in names])
        index = {text: float(at) for at, text in enumerate(classes)}
        truth = np.array([np.nan if each is None else index.get(str(each), np.nan) for each in found])
    else:
        if PREDICTION not in rows.column_names:
            raise DataError(f"the log has neither '{SCORE}*' nor '{PREDICTION}': nothing to judge")
        answers = column_of(PREDICTION, rows.column(PREDICTION))
        if isinstance(answers, Categorical):
            classes, scores = _certain(answers, found)
            index = {text: float(at) for at, text in enumerate(classes)}
            truth = np.array([np.nan if each is None else index[str(each)] for each in found])
        else:
            classes, scores = (), answers
            truth = np.array([np.nan if each is None else float(each) for each in found])
    logged = {name.removeprefix(INPUT): name for name in rows.column_names if name.startswith(INPUT)}
    for name in slices:
        if name not in logged:
            raise DataError(f"--slices: {missing_text(name, list(logged))}")
    cut = {name: _levels(column_of(name, rows.column(logged[name]))) for name in slices}
    return _sorted(_numbers("event_time", rows.column("event_time")), truth, scores, classes, cut)


def scored_of_table(
    table: Any,
    target: str,
    time: str,
    scores: Sequence[str],
    slices: Sequence[str] = (),
    classes: Sequence[str] = (),
) -> Scored:
    """From any table.

    Args:
        table: a frame, or the path of a file.
        target: column of the label; missing where not known yet.
        time: column of event times.
        scores: one column: the score of the second class, or the predicted value of a number. Several: the scores of
            the classes, in their order.
        slices: columns by whose levels is looked.
        classes: texts of the classes in the order of the scores; empty: the target's values in order, where it has as
            many as there are scores (two for a single score that lies in [0, 1]).

    Raises:
        DataError: a column that is not there, or classes that do not fit the scores.
    """
    from pathlib import Path

    from trimtab.frames import read
    from trimtab.offline.times import times_in

    columns: dict[str, Column] = dict(read(table)) if isinstance(table, str | Path) else columns_of(table)
    for name in (target, time, *scores, *slices):
        if name not in columns:
            raise DataError(missing_text(name, list(columns)))
    times = times_in(columns, time, gaps=True)
    if not np.isfinite(times).all():
        raise DataError(f"column '{time}': {int((~np.isfinite(times)).sum())} of {len(times)} times are missing")
    values = []
    for name in scores:
        column = columns[name]
        if isinstance(column, Categorical):
            raise DataError(f"column '{name}' must hold scores, found text such as {column.levels[:1]}")
        values.append(column)
    label = columns[target]
    names = tuple(classes) or _found_classes(label, values)
    if names and len(values) == 1:
        matrix = np.column_stack([1.0 - values[0], values[0]])
    elif names:
        matrix = np.column_stack(values)
    else:
        matrix = values[0]
    if names and len(names) != matrix.shape[1]:
        raise DataError(f"{len(values)} columns of scores, but there are the classes {', '.join(names)}")
    cut = {name: _levels(columns[name]) for name in slices}
    return _sorted(times, encode(label, names), matrix, names, cut)


def _found_classes(label: Column, scores: Sequence[Numbers]) -> tuple[str, ...]:
    """The target's values, where there are as many as the scores say; empty: the target is a number."""
    if isinstance(label, Categorical):
        found = tuple(sorted({label.levels[code] for code in np.unique(label.codes) if code >= 0}))
    else:
        values = np.unique(label[np.isfinite(label)])
        found = tuple(f"{value:g}" for value in values[:21])
    wanted = max(len(scores), 2)
    shares = len(scores) > 1 or bool(np.nanmin(scores[0]) >= 0 and np.nanmax(scores[0]) <= 1)
    if len(found) == wanted and shares:
        return found
    if isinstance(label, Categorical) or len(scores) > 1:
        raise DataError(
            f"the target has {len(found)} values ({', '.join(found[:6])}), but there are {len(scores)} columns of "
            "scores; name the classes in the order of their scores with --classes"
        )
    return ()


def _levels(column: Column) -> Categorical:
    """A slice column: the frequent levels by name; a number with many values as quarters."""
    if not isinstance(column, Categorical):
        values = np.unique(column[np.isfinite(column)])
        if len(values) > LEVELS_MAX:
            return _quarters(column)
        codes = np.where(np.isfinite(column), np.searchsorted(values, np.nan_to_num(column)), -1).astype(np.int32)
        column = Categorical(codes, tuple(f"{value:g}" for value in values))
    counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.levels))
    if len(counts) <= LEVELS_MAX:
        return column
    kept = np.sort(np.argsort(-counts, kind="stable")[: LEVELS_MAX - 1])
    place = np.full(len(counts) + 1, len(kept), dtype=np.int32)
    place[kept] = np.arange(len(kept), dtype=np.int32)
    place[-1] = -1
    return Categorical(place[column.codes], (*(column.levels[each] for each in kept), "(other)"))


def _quarters(column: Numbers) -> Categorical:
    edges = np.unique(np.nanquantile(column, [0.25, 0.5, 0.75]))
    texts = [f"< {edges[0]:g}", *(f"{a:g} to {b:g}" for a, b in pairwise(edges))]
    codes = np.where(np.isfinite(column), np.searchsorted(edges, np.nan_to_num(column), side="right"), -1)
    return Categorical(codes.astype(np.int32), (*texts, f">= {edges[-1]:g}"))


def _certain(answers: Categorical, labels: list[Any]) -> tuple[tuple[str, ...], Numbers]:
    """Classes without scores: 1 for the class that was answered, 0 for all others."""
    classes = tuple(sorted({*answers.levels, *(str(each) for each in labels if each is not None)}))
    if len(classes) < 2:
        raise DataError(f"all answers and labels are {classes[0]!r}: there is nothing to tell apart")
    place = np.array([classes.index(level) for level in answers.levels] + [-1])
    chosen = place[answers.codes]
    scores = (chosen[:, None] == np.arange(len(classes))).astype(np.float64)
    scores[chosen < 0] = np.nan
    return classes, scores


def _numbers(name: str, column: Any) -> Numbers:
    found = column_of(name, column, "number")
    assert not isinstance(found, Categorical)  # noqa: S101  asked for as a number
    return found


def _sorted(
    times: Numbers, labels: Numbers, scores: Numbers, classes: tuple[str, ...], slices: dict[str, Categorical]
) -> Scored:
    sound = np.isfinite(scores.reshape(len(scores), -1).sum(axis=1))
    order = np.argsort(times, kind="stable")
    order = order[sound[order]]
    cut = {name: column for name, column in take_rows(slices, order).items() if isinstance(column, Categorical)}
    return Scored(times[order], labels[order], scores[order], classes, cut)
