"""The slice gate: does no subgroup fall behind, and does no small one raise a false alarm?

Each slice (a value of a column in ``data.slices``) is measured on the same rows for candidate and reference; the
differences of their mean losses get intervals that hold for all slices together (Bonferroni), so that among a hundred
small slices none fails by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.core.domain.gate import GateResult
from trimtab.core.domain.verdict import Verdict
from trimtab.core.gates.guard import SIGN, guard
from trimtab.core.gates.intervals import Interval, jackknife_interval
from trimtab.core.gates.performance import numbers

GATE = "slices"
SUSPICION = 0.2
"""Chance, over all slices, that nothing is worse and a person is asked."""


@dataclass(frozen=True, slots=True)
class SliceLosses:
    """Losses of the rows of one subgroup, in the order of time."""

    name: str
    """``carrier 'EV'``"""
    ours: NDArray[np.float64]
    theirs: NDArray[np.float64]


def slices_gate(
    slices: Sequence[SliceLosses],
    *,
    reference: str,
    loss: str,
    tolerance: float,
    rows_min: int,
    level: float = 0.95,
) -> GateResult:
    """Compare candidate and reference slice by slice.

    ``failed``: a slice is shown to be worse by more than ``tolerance``, at a confidence of ``level`` over all slices.
    ``inconclusive``: one is, at 80 % over all slices.

    Args:
        slices: all of them; those under ``rows_min`` rows are counted and not judged.
        reference: ``champion v7``, ``the base rate``.
        loss: the loss in words.
        tolerance: how much worse a slice may be, in the loss's unit.
        rows_min: fewest rows of a slice that is judged.

    >>> row = np.tile([0.0, 0.2], 200)
    >>> result = slices_gate([SliceLosses("a", row + 0.5, row)], reference="v1", loss="loss", tolerance=0.1, rows_min=5)
    >>> result.verdict.value, result.text[:33]
    ('failed', 'a is worse than v1 by 0.50 > 0.10')
    """
    judged = [each for each in slices if len(each.ours) >= max(2, rows_min)]
    small = len(slices) - len(judged)
    if not judged:
        text = f"none of {len(slices):,} slices has the {rows_min:,} rows that are needed"
        return GateResult(GATE, Verdict.INCONCLUSIVE, text, None, tolerance, loss)
    answers = []
    for each in judged:
        difference = each.ours - each.theirs
        interval = _one_sided(difference, (1.0 - level) / len(judged))
        verdict = guard(interval, tolerance)
        if verdict is Verdict.INCONCLUSIVE and _one_sided(difference, SUSPICION / len(judged)).low <= tolerance:
            verdict = Verdict.SUCCESSFUL
        answers.append((verdict, interval, each))
    order = [Verdict.FAILED, Verdict.ERROR, Verdict.INCONCLUSIVE, Verdict.SUCCESSFUL]
    verdict, interval, worst = min(answers, key=lambda each: (order.index(each[0]), -each[1].estimate))
    more = sum(each[0] is verdict for each in answers) - 1
    text = _text(verdict, interval, worst, more, len(judged), small, reference, loss, tolerance, rows_min)
    return GateResult(GATE, verdict, text, interval.estimate, tolerance, loss)


def _one_sided(difference: NDArray[np.float64], alpha: float) -> Interval:
    return jackknife_interval(lambda rows: float(difference[rows].mean()), len(difference), 1.0 - 2.0 * alpha)


def _text(
    verdict: Verdict,
    interval: Interval,
    worst: SliceLosses,
    more: int,
    judged: int,
    small: int,
    reference: str,
    loss: str,
    tolerance: float,
    rows_min: int,
) -> str:
    value, limit, low = numbers([interval.estimate, tolerance, interval.low])
    besides = f"; {small:,} have fewer than {rows_min:,} rows" if small else ""
    figures = f"({len(worst.ours):,} rows, {loss}; at least {low} at 95 % over {judged:,} slices{besides})"
    if verdict is Verdict.SUCCESSFUL:
        none = f"none of {judged:,} slices is shown to be worse than {reference} by more than {limit}"
        return f"{none}: {worst.name} by {value} {figures}"
    others = f", and {more:,} more," if more else ""
    return f"{worst.name}{others} is worse than {reference} by {value} {SIGN[verdict]} {limit} {figures}"
