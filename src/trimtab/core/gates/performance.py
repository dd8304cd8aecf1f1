"""The performance gate: is the candidate at least as good as what it would replace, on the same rows?

The candidate's and the reference's losses on each evaluation row are subtracted (paired, so that hard and easy rows
cancel out), and the mean difference gets a confidence interval. Non-inferiority has three answers:

    successful     the whole interval lies at or under the tolerance: at most this much worse, with confidence
    failed         the whole interval lies above it: worse by more than the tolerance
    inconclusive   the interval covers it: more rows are needed

Two-sided 95 %: a candidate exactly at the tolerance passes in 2.5 % of cases.
Method: non-inferiority by confidence interval, e.g. ICH E9 "Statistical Principles for Clinical Trials" (1998), 3.3.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.core.domain.gate import GateResult
from trimtab.core.domain.verdict import Verdict
from trimtab.core.gates.intervals import Interval, mean_interval

GATE = "performance"
ROWS_MIN = 30


@dataclass(frozen=True, slots=True)
class Reference:
    """What the candidate is held against, by its losses on the evaluation rows."""

    name: str
    """For people: ``champion v7``, ``the base rate``."""
    losses: NDArray[np.float64]
    """One per row, same rows and order as the candidate's."""
    unseen: NDArray[np.bool_] | None = None
    """Rows that the reference was not trained on; others are left out, since its loss there is too good. None: all."""
    trivial: bool = False
    """A constant answer: the candidate has to be better, no tolerance is given."""


def performance_gate(
    candidate: NDArray[np.float64], reference: Reference, *, metric: str, tolerance: float, level: float = 0.95
) -> GateResult:
    """Compare per-row losses (lower is better), rows in time order.

    Args:
        candidate: shape (n,), the candidate's loss on each row.
        reference: losses on the same rows.
        metric: what the losses are, for the text: ``log loss``.
        tolerance: how much worse the mean loss may be, in the unit of the loss.
        level: two-sided confidence of the interval.

    >>> losses = np.linspace(0.2, 0.6, 400)
    >>> result = performance_gate(losses - 0.02, Reference("v7", losses), metric="log loss", tolerance=0.01)
    >>> result.text
    'log loss 0.3800 against 0.4000 of v7 + 0.0100 (400 rows; difference -0.0200, 95 % interval -0.0200 to -0.0200)'
    """
    if candidate.shape != reference.losses.shape:
        raise ValueError(f"losses are not of the same rows: {candidate.shape} and {reference.losses.shape}")
    limit = 0.0 if reference.trivial else tolerance
    keep = np.ones(len(candidate), bool) if reference.unseen is None else reference.unseen
    ours, theirs = candidate[keep], reference.losses[keep]
    if len(ours) < ROWS_MIN:
        return _too_few(len(ours), len(candidate), reference, limit)
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        bad = int((~np.isfinite(ours)).sum())
        text = f"{metric} is not finite on {bad or int((~np.isfinite(theirs)).sum()):,} of {len(ours):,} rows"
        return GateResult(GATE, Verdict.FAILED if bad else Verdict.ERROR, text, None, limit)
    interval = mean_interval(ours - theirs, level)
    left_out = len(candidate) - len(ours)
    text = _text(metric, ours, theirs, reference, interval, limit, left_out)
    verdict = non_inferiority(interval, limit, strict=reference.trivial)
    return GateResult(GATE, verdict, text, interval.estimate, limit, metric)


def non_inferiority(interval: Interval, limit: float, *, strict: bool = False) -> Verdict:
    """Three answers for 'the true difference is at most ``limit``' (with ``strict``: below it)."""
    if interval.high < limit or (interval.high == limit and not strict):
        return Verdict.SUCCESSFUL
    return Verdict.FAILED if interval.low > limit or (strict and interval.low == limit) else Verdict.INCONCLUSIVE


def _too_few(rows: int, of: int, reference: Reference, limit: float) -> GateResult:
    why = f" ({reference.name} was trained on the other {of - rows:,})" if rows < of else ""
    text = f"{rows:,} rows to compare on{why}; at least {ROWS_MIN} are needed"
    return GateResult(GATE, Verdict.INCONCLUSIVE, text, None, limit)


def _text(
    metric: str,
    ours: NDArray[np.float64],
    theirs: NDArray[np.float64],
    reference: Reference,
    interval: Interval,
    limit: float,
    left_out: int,
) -> str:
    means = np.array([ours.mean(), theirs.mean(), limit, interval.estimate, interval.low, interval.high])
    own, other, room, difference, low, high = numbers(means)
    allowance = f" + {room}" if limit else ""
    omitted = f"; {left_out:,} rows that {reference.name} was trained on are left out" if left_out else ""
    return (
        f"{metric} {own} against {other} of {reference.name}{allowance} ({len(ours):,} rows; "
        f"difference {difference}, {interval.level:.0%} interval {low} to {high}{omitted})".replace("%", " %")
    )


def numbers(values: NDArray[np.float64]) -> list[str]:
    """Figures with the same number of decimals, four significant in the largest.

    >>> numbers(np.array([0.38, -0.02])), numbers(np.array([12345.6, 3.2]))
    (['0.3800', '-0.0200'], ['12,346', '3'])
    """
    largest = float(np.max(np.abs(values[np.isfinite(values)]), initial=0.0))
    digits = 4 if largest == 0 else int(np.clip(3 - np.floor(np.log10(largest)), 0, 12))
    return [f"{value:,.{digits}f}" for value in values]
