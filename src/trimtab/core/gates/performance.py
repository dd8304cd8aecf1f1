"""The performance gate: is the candidate at least as good as what it would replace, on the same rows?

Both are measured on the same evaluation rows and subtracted (paired, so that hard and easy rows cancel out); the
difference gets a confidence interval. Non-inferiority has three answers:

    successful     the whole interval lies at or under the allowance: at most this much worse, with confidence
    failed         the whole interval lies above it: worse by more than was allowed
    inconclusive   the interval covers it: more rows are needed

Two-sided 95 %: a candidate that is worse by exactly the allowance passes in 2.5 % of cases.
Method: non-inferiority by confidence interval, e.g. ICH E9 "Statistical Principles for Clinical Trials" (1998), 3.3.2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.core.domain.gate import GateResult
from trimtab.core.domain.verdict import Verdict
from trimtab.core.gates.intervals import Interval, jackknife_interval
from trimtab.core.gates.metrics import HIGHER_IS_BETTER, LABELS, Answers, measure

GATE = "performance"


@dataclass(frozen=True, slots=True)
class Reference:
    """What the candidate is held against."""

    name: str
    """For people: ``champion v7``, ``the base rate``."""
    answers: Answers
    """On the same rows, in the same order, as the candidate's."""
    unseen: NDArray[np.bool_] | None = None
    """Rows that the reference was not trained on; the others are left out, since it is too good there. None: all."""
    trivial: bool = False
    """A constant answer: the candidate has to be better, no allowance is given."""


def performance_gate(
    candidate: Answers,
    reference: Reference,
    *,
    metric: str,
    allowance: Callable[[float], float],
    rows_min: int = 30,
    level: float = 0.95,
) -> GateResult:
    """Compare candidate and reference by a metric, rows in time order.

    Args:
        candidate: its answers on n rows.
        reference: the champion's, or those of a constant when there is no champion.
        metric: a key of ``metrics.LABELS``.
        allowance: how much worse the candidate may be, in units of the metric, from the reference's own figure.
        rows_min: fewest rows; with fewer the answer is inconclusive.
        level: two-sided confidence of the interval.

    >>> truth = np.linspace(0.0, 1.0, 400)
    >>> old, new = Answers(truth, truth + 0.04), Answers(truth, truth + 0.02)
    >>> result = performance_gate(new, Reference("v7", old), metric="mae", allowance=lambda error: 0.01 * error)
    >>> result.text  # doctest: +ELLIPSIS
    'mean absolute error 0.02000 <= 0.04000 of v7 + 0.00040 (400 rows; difference -0.02000, 95 % interval ...)'
    """
    rows = np.ones(len(candidate.truth), bool) if reference.unseen is None else reference.unseen
    if (n := int(rows.sum())) < max(2, rows_min):
        return _too_few(n, len(rows), reference, rows_min)
    sign = -1.0 if metric in HIGHER_IS_BETTER else 1.0
    ours, theirs = measure(metric, _take(candidate, rows)), measure(metric, _take(reference.answers, rows))
    everything = np.ones(n, bool)
    own, other = ours(everything), theirs(everything)
    if not (np.isfinite(own) and np.isfinite(other)):
        text = f"{LABELS[metric]} is not defined on these {n:,} rows: {own} against {other} of {reference.name}"
        return GateResult(GATE, Verdict.FAILED if np.isinf(own) else Verdict.ERROR, text)
    limit = 0.0 if reference.trivial else allowance(other)
    interval = jackknife_interval(lambda keep: sign * (ours(keep) - theirs(keep)), n, level)
    verdict = non_inferiority(interval, limit, strict=reference.trivial)
    text = _text(metric, own, other, reference, interval, limit, verdict, n, len(rows) - n)
    return GateResult(GATE, verdict, text, interval.estimate, limit, LABELS[metric])


def non_inferiority(interval: Interval, limit: float, *, strict: bool = False) -> Verdict:
    """Three answers for 'the true difference is at most ``limit``' (``strict``: below it). NaN ends are inconclusive.

    >>> non_inferiority(Interval(0.0, -1.0, 2.0, 0.95, ""), 1.0)
    <Verdict.INCONCLUSIVE: 'inconclusive'>
    """
    if interval.high < limit or (interval.high == limit and not strict):
        return Verdict.SUCCESSFUL
    if interval.low > limit or (interval.low == limit and strict):
        return Verdict.FAILED
    return Verdict.INCONCLUSIVE


def _take(answers: Answers, rows: NDArray[np.bool_]) -> Answers:
    scores = None if answers.scores is None else answers.scores[rows]
    return Answers(answers.truth[rows], answers.predicted[rows], scores, answers.positive)


def _too_few(rows: int, of: int, reference: Reference, rows_min: int) -> GateResult:
    why = f" ({reference.name} was trained on the other {of - rows:,})" if rows < of else ""
    text = f"{rows:,} rows to compare on{why} < {rows_min:,} that are needed"
    return GateResult(GATE, Verdict.INCONCLUSIVE, text, float(rows), float(rows_min), "rows")


def _text(
    metric: str,
    own: float,
    other: float,
    reference: Reference,
    interval: Interval,
    limit: float,
    verdict: Verdict,
    rows: int,
    left_out: int,
) -> str:
    higher = metric in HIGHER_IS_BETTER
    ends = sorted([-interval.low, -interval.high] if higher else [interval.low, interval.high])
    a, b, room, difference, low, high = numbers([own, other, limit, own - other, *ends])
    sign = {Verdict.SUCCESSFUL: ">=" if higher else "<=", Verdict.FAILED: "<" if higher else ">"}.get(verdict, "around")
    allowed = f" {'-' if higher else '+'} {room}" if limit else ""
    omitted = f"; {left_out:,} rows that {reference.name} was trained on are left out" if left_out else ""
    return (
        f"{LABELS[metric]} {a} {sign} {b} of {reference.name}{allowed} ({rows:,} rows; difference {difference}, "
        f"{100 * interval.level:g} % interval {low} to {high}{omitted})"
    )


def numbers(values: list[float]) -> list[str]:
    """Figures with the same number of decimals: two significant in the smallest, at most four in the largest.

    >>> numbers([0.38, -0.0213]), numbers([12345.6, 3.2])
    (['0.380', '-0.021'], ['12,346', '3'])
    """
    sizes = [float(np.floor(np.log10(abs(value)))) for value in values if np.isfinite(value) and abs(value) > 1e-9]
    digits = int(np.clip(min(1 - min(sizes), 3 - max(sizes)), 0, 12)) if sizes else 1
    return [f"{value:,.{digits}f}" for value in values]
