"""Does a compiled model give the trained model's answers? On the evaluation rows, and on rows made to break it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trimtab.core.domain.errors import DataError, ExternalError, TrimtabError
from trimtab.serving.package import InputSpec
from trimtab.serving.runtimes.base import Columns, Outputs

if TYPE_CHECKING:
    from trimtab.serving.runtimes.base import Model

NEVER_SEEN = "a value that was never seen"
_BASE_ROWS = 3
_MANY_INPUTS = 200
_ROW_CHECKS, _NATIVE_ROW_CHECKS = 400, 20
_TIMED_ROWS = 200


@dataclass(frozen=True, slots=True)
class ParityResult:
    """How a compiled form compares with the fitted estimator."""

    runtime: str
    """``onnx``, ``treelite`` or ``native``."""
    form: str
    """Which way of making it: ``trees``, ``float64``, ``float32``, ``columns``, or empty."""
    rows: int
    """Rows compared: evaluation and hostile rows on which the estimator itself answers."""
    differing: int
    """Rows that differ by more than the tolerance."""
    largest: float
    """Largest difference of a score (of a value: relative above 1); inf where only one of the two answers."""
    left_out: int = 0
    """Rows on which the estimator itself raises."""
    row_us: float | None = None
    """Median time of one row through ``predict_row``, microseconds; None where it did not get that far."""
    error: str = ""
    """Why the estimator could not be converted or the form not executed, if so."""

    @property
    def passed(self) -> bool:
        return not self.error and self.differing == 0

    def __str__(self) -> str:
        return self.finding + (f", {self.row_us:.0f} us a row" if self.row_us is not None else "")

    @property
    def finding(self) -> str:
        """In words, without what depends on the machine: equal models get equal packages."""
        name = f"{self.runtime} ({self.form})" if self.form else self.runtime
        if self.error:
            return f"{name}: {self.error}"
        if self.differing:
            return f"{name}: {self.differing:,} of {self.rows:,} rows differ, by up to {self.largest:.3g}"
        return f"{name}: largest difference {self.largest:.2g} over {self.rows:,} rows"


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows in the server's form, in groups that belong together."""

    columns: Columns
    groups: tuple[tuple[str, int, int], ...]
    """(what they are, first, one past the last), in order and without gaps."""

    def __len__(self) -> int:
        return self.groups[-1][2] if self.groups else 0

    def part(self, start: int, stop: int) -> Columns:
        return {name: column[start:stop] for name, column in self.columns.items()}


@dataclass(frozen=True, slots=True)
class Answers:
    """What somebody answered to each row of ``Rows``."""

    answered: npt.NDArray[np.bool_]
    prediction: npt.NDArray[Any]
    """Objects; None where there is no answer."""
    scores: npt.NDArray[np.float64] | None
    """NaN where there is no answer."""
    error: str = ""
    """The first refusal's words."""


def hostile_rows(columns: Columns, inputs: Sequence[InputSpec]) -> Rows:
    """Each input missing, unknown, empty, zero, negated, rounded and huge, on a few real rows; then all at once."""
    n = len(next(iter(columns.values())))
    count = min(n, _BASE_ROWS if len(inputs) <= _MANY_INPUTS else 1)
    base = {name: column[np.linspace(0, n - 1, count).astype(int)] for name, column in columns.items()}
    groups: list[tuple[str, Columns]] = []
    for spec in inputs:
        for label, column in _hostile(base[spec.name], spec).items():
            groups.append((f"{label}:{spec.name}", {**base, spec.name: column}))
    for label in ("missing", "huge"):
        everything = {s.name: _hostile(base[s.name], s).get(label, base[s.name])[:1] for s in inputs}
        groups.append((f"{label}:", everything))
    return joined(groups)


def _hostile(column: npt.NDArray[Any], spec: InputSpec) -> dict[str, npt.NDArray[Any]]:
    if spec.type == "string":
        values: dict[str, str | None] = {"missing": None, "huge": NEVER_SEEN, "empty": ""}
        return {label: np.full(len(column), value, dtype=object) for label, value in values.items()}
    full = {"missing": np.full(len(column), np.nan)}
    if spec.type == "bool":
        return {**full, "zero": np.zeros(len(column)), "one": np.ones(len(column))}
    full["zero"] = np.zeros(len(column))
    if spec.type == "datetime":
        return {**full, "huge": np.full(len(column), 4.0e9)}
    full |= {"negated": -column, "huge": np.full(len(column), 1e30), "tiny": np.full(len(column), -1e30)}
    return full | {"float32": column.astype(np.float32).astype(np.float64)} if spec.type == "float64" else full


def joined(groups: Sequence[tuple[str, Columns]]) -> Rows:
    """Groups one after another."""
    names = list(groups[0][1]) if groups else []
    columns = {name: np.concatenate([part[name] for _, part in groups]) for name in names}
    spans, start = [], 0
    for label, part in groups:
        stop = start + len(part[names[0]])
        spans.append((label, start, stop))
        start = stop
    return Rows(columns, tuple(spans))


def answers(predict: Callable[[Columns], Outputs], rows: Rows, classes: int | None) -> Answers:
    """Ask for all rows; where that is refused, for each group, then for each row."""
    n = len(rows)
    out = Answers(
        np.zeros(n, dtype=bool),
        np.full(n, None, dtype=object),
        None if classes is None else np.full((n, classes), np.nan),
    )
    errors: list[str] = []

    def ask(start: int, stop: int) -> bool:
        try:
            outputs = predict(rows.part(start, stop))
        except (DataError, ExternalError) as error:
            errors.append(str(error))
            return False
        out.answered[start:stop] = True
        out.prediction[start:stop] = outputs.prediction
        if out.scores is not None and outputs.scores is not None:
            out.scores[start:stop] = outputs.scores
        return True

    if not ask(0, n):
        for _, start, stop in rows.groups:
            if not ask(start, stop):
                _bisect(ask, start, stop)
    return Answers(out.answered, out.prediction, out.scores, errors[0] if errors else "")


def _bisect(ask: Callable[[int, int], bool], start: int, stop: int) -> None:
    """Find the rows that are answered in a span that as a whole is not."""
    if stop - start <= 1:
        return
    middle = (start + stop) // 2
    for first, last in ((start, middle), (middle, stop)):
        if not ask(first, last):
            _bisect(ask, first, last)


def compare(model: Model, rows: Rows, reference: Answers, *, tolerance: float, runtime: str, form: str) -> ParityResult:
    """Batch and single rows of a compiled model against the estimator's own answers."""
    scores = reference.scores
    width = None if scores is None else scores.shape[1]
    found = answers(model.predict, rows, width)
    differences = _differences(found, reference, tolerance)
    sample = _NATIVE_ROW_CHECKS if model.signature.runtime.name == "native" else _ROW_CHECKS
    differences = np.maximum(differences, _row_differences(model, rows, reference, tolerance, sample))
    known = reference.answered
    bad = differences[known] > tolerance
    row_us = None if bad.any() else _row_us(model, rows, known)
    return ParityResult(
        runtime=runtime,
        form=form,
        rows=int(known.sum()),
        differing=int(bad.sum()),
        largest=float(differences[known].max(initial=0.0)),
        left_out=int((~known).sum()),
        row_us=row_us,
        error=found.error if not found.answered.any() else "",
    )


def _differences(found: Answers, reference: Answers, tolerance: float) -> npt.NDArray[np.float64]:
    """By row; inf where an answer is missing, is not finite, or names another class although the scores do not tie."""
    n = len(reference.answered)
    if reference.scores is None:
        a, b = (
            np.array([np.nan if value is None else float(value) for value in answer.prediction], dtype=np.float64)
            for answer in (found, reference)
        )
        with np.errstate(invalid="ignore"):
            out = np.abs(a - b) / np.maximum(1.0, np.abs(b))
        out[(a == b) | (np.isnan(a) & np.isnan(b) & found.answered)] = 0.0
    elif found.scores is None:
        return np.full(n, np.inf)
    else:
        with np.errstate(invalid="ignore"):
            out = np.abs(found.scores - reference.scores).max(axis=1, initial=0.0)
        two = np.sort(reference.scores, axis=1)[:, -2:]
        clear = (two[:, -1] - two[:, 0]) > 2 * tolerance if two.shape[1] == 2 else np.ones(n, dtype=bool)
        out[clear & (found.prediction != reference.prediction)] = np.inf
    out[np.isnan(out) | ~found.answered] = np.inf
    return out


def _row_differences(
    model: Model, rows: Rows, reference: Answers, tolerance: float, count: int
) -> npt.NDArray[np.float64]:
    """The same through ``predict_row``, on a sample of rows; 0 where it was not asked."""
    n = len(rows)
    sample = np.unique(np.linspace(0, n - 1, min(n, count)).astype(int))
    shape = None if reference.scores is None else np.full(reference.scores.shape, np.nan)
    found = Answers(np.zeros(n, dtype=bool), np.full(n, None, dtype=object), shape)
    for index in sample[reference.answered[sample]]:
        try:
            prediction, scores = model.predict_row(row_values(model, rows.columns, int(index)))
        except TrimtabError:
            continue
        found.answered[index], found.prediction[index] = True, prediction
        if found.scores is not None and scores is not None:
            found.scores[index] = scores
    asked = np.zeros(n, dtype=bool)
    asked[sample] = True
    return np.where(asked, _differences(found, reference, tolerance), 0.0)


def row_values(model: Model, columns: Columns, index: int) -> list[Any]:
    """One row as ``predict_row`` takes it."""
    return [columns[name][index : index + 1].tolist()[0] for name in model.signature.names]


def _row_us(model: Model, rows: Rows, answered: npt.NDArray[np.bool_]) -> float | None:
    good = np.flatnonzero(answered)
    if not len(good):
        return None
    values = row_values(model, rows.columns, int(good[0]))
    times: list[float] = []
    until = time.perf_counter() + 0.25
    while len(times) < _TIMED_ROWS and time.perf_counter() < until:
        start = time.perf_counter()
        model.predict_row(values)
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e6
