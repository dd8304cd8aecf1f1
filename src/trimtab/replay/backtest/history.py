"""A labelled history in order of time, cut into what there was at the beginning and equal batches after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trimtab.core.domain.errors import DataError, UserError
from trimtab.core.profiles.columns import Categorical, Column, Numbers, take_rows
from trimtab.frames import read
from trimtab.frames.convert import missing_text

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]
CLASSES_MAX = 20
"""Distinct whole numbers up to which a target is a class."""
ROWS_MIN = 5
"""Fewest rows of a batch."""


@dataclass(frozen=True, slots=True)
class Question:
    """Which columns mean what, and how the history is cut."""

    target: str
    time: str
    label_time: str | None = None
    label_delay_s: float | None = None
    label_batches: int | None = None
    ignore: tuple[str, ...] = ()
    initial: float = 0.15
    batches: int = 34
    metric: str | None = None
    label_maturity: float = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Rows in order of time; categories are codes in the order of their names."""

    question: Question
    frame: pd.DataFrame
    """(n, features) float64; missing is NaN."""
    coded: tuple[str, ...]
    """Columns of ``frame`` that are categories."""
    classes: tuple[str, ...]
    """Of the target, sorted; empty for a number."""
    truth: Floats
    """(n,) position of the class, or the value."""
    at: Floats
    """(n,) event time, seconds since the epoch."""
    known_at: Floats | None
    """(n,) when each label became known, where that differs by row or is a duration."""
    cut: npt.NDArray[np.int64]
    """(batches + 1,) first row of each batch, and the end. What comes before is what there was at the beginning."""

    @property
    def batches(self) -> int:
        return len(self.cut) - 1

    @property
    def initial_rows(self) -> int:
        return int(self.cut[0])

    def rows_of(self, batch: int) -> slice:
        """The rows of a batch."""
        return slice(int(self.cut[batch]), int(self.cut[batch + 1]))

    def starts(self, batch: int) -> float:
        """Event time of the first row of a batch."""
        return float(self.at[self.cut[batch]])


def load(source: str | Path | Any, question: Question) -> History:
    """Read a history.

    Args:
        source: Parquet or CSV file, a folder of Parquet files, or a table.

    Raises:
        DataError: a column or value is not what it should be.
        UserError: options that contradict each other or do not fit the data.
    """
    _check(question)
    columns: dict[str, Column] = dict(read(source))
    named = [question.target, question.time, *([question.label_time] if question.label_time else []), *question.ignore]
    for name in named:
        if name not in columns:
            raise DataError(missing_text(name, list(columns)))
    times = _numbers(columns, question.time)
    order = np.argsort(times, kind="stable")
    columns = take_rows(columns, order)
    truth, classes = _truth(columns[question.target], question)
    known = None if question.label_time is None else _numbers(columns, question.label_time)
    at = times[order]
    labelled = np.isfinite(truth) if known is None else np.isfinite(truth) & np.isfinite(known)
    if not labelled.all():
        columns, truth, at = take_rows(columns, labelled), truth[labelled], at[labelled]
        known = None if known is None else known[labelled]
    if question.label_delay_s is not None:
        known = at + question.label_delay_s
    frame, coded = _features(source, columns, {question.target, question.time, question.label_time, *question.ignore})
    cut = np.round(np.linspace(round(len(at) * question.initial), len(at), question.batches + 1)).astype(np.int64)
    if int(np.diff(cut).min()) < ROWS_MIN:
        raise UserError(
            f"{len(at):,} labelled rows are too few for {question.batches} batches after the first "
            f"{100 * question.initial:g} %: take fewer --batches"
        )
    if classes and len(np.unique(truth[: cut[0]])) < 2:
        raise DataError(
            f"column '{question.target}' has a single class in the first {cut[0]:,} rows: take a larger --initial"
        )
    return History(question, frame, coded, classes, truth, at, known, cut)


def _check(question: Question) -> None:
    ways = [question.label_time, question.label_delay_s, question.label_batches]
    if sum(way is not None for way in ways) > 1:
        raise UserError("give only one of --label-time, --label-delay and --label-batches")
    if not 0.01 <= question.initial <= 0.9:
        raise UserError(f"--initial must be a share from 0.01 to 0.9, found {question.initial:g}")
    if not 2 <= question.batches <= 1000:
        raise UserError(f"--batches must be from 2 to 1000, found {question.batches}")
    if question.label_batches is not None and question.label_batches < 0:
        raise UserError(f"--label-batches must be 0 or more, found {question.label_batches}")


def _numbers(columns: dict[str, Column], name: str) -> Numbers:
    column = columns[name]
    if isinstance(column, Categorical):
        raise DataError(f"column '{name}' must hold times, found text such as {column.levels[:1]}")
    missing = int((~np.isfinite(column)).sum())
    if missing and missing == len(column):
        raise DataError(f"column '{name}' has no value")
    return column


def _truth(column: Column, question: Question) -> tuple[Floats, tuple[str, ...]]:
    """Class positions and the classes in sorted order, or values and no class."""
    numeric = question.metric in ("mae", "rmse")
    if isinstance(column, Categorical):
        if numeric:
            raise UserError(f"--metric {question.metric} needs a number, and column '{question.target}' is text")
        used = sorted({column.levels[code] for code in np.unique(column.codes) if code >= 0})
        place = {level: float(at) for at, level in enumerate(used)}
        table = np.array([place.get(level, np.nan) for level in column.levels] + [np.nan])
        return _two(table[column.codes], tuple(used), question.target)
    values = np.unique(column[np.isfinite(column)])
    whole = bool(np.equal(np.mod(values, 1), 0).all())
    if numeric or (question.metric is None and not (whole and len(values) <= CLASSES_MAX)):
        return column, ()
    if len(values) > 1000:
        raise UserError(f"--metric {question.metric} needs classes, and '{question.target}' has {len(values):,} values")
    codes = np.where(np.isfinite(column), np.searchsorted(values, column), np.nan)
    return _two(codes, tuple(f"{value:g}" for value in values), question.target)


def _two(codes: Floats, classes: tuple[str, ...], target: str) -> tuple[Floats, tuple[str, ...]]:
    if len(classes) < 2:
        found = f"only the value {classes[0]!r}" if classes else "no value"
        raise DataError(f"target '{target}' has {found}; there is nothing to learn")
    return codes, classes


def _features(source: Any, columns: dict[str, Column], never: set[str | None]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The feature columns; times are left out, as the default estimator leaves them out."""
    import pandas as pd

    times = _times(source, list(columns))
    out: dict[str, Floats] = {}
    coded = []
    for name, column in columns.items():
        if name in never or name in times:
            continue
        if isinstance(column, Categorical):
            ranks = np.argsort(np.argsort(np.array(column.levels, dtype=object), kind="stable"), kind="stable")
            out[name] = np.append(ranks.astype(np.float64), np.nan)[column.codes]
            coded.append(name)
        else:
            out[name] = column
    if not out:
        raise DataError("no feature is left besides target, time and ignored columns")
    return pd.DataFrame(out), tuple(coded)


def _times(source: Any, names: Sequence[str]) -> set[str]:
    """Columns that hold moments: they never come back, so they tell a tree nothing."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    if isinstance(source, str | Path):
        path = Path(source)
        kind = "csv" if path.suffix.lower() == ".csv" else "parquet"
        schema = ds.dataset(path, format=kind).schema
    else:
        from trimtab.frames.convert import arrow_table

        schema = arrow_table(source).schema
    return {
        name
        for name in names
        if pa.types.is_timestamp(schema.field(name).type) or pa.types.is_date(schema.field(name).type)
    }
