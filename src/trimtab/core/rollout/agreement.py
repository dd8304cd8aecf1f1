"""Evidence until labels come: how far two versions agree on the rows that both scored.

Agreement is not quality: a better model disagrees too. So these metrics are shown, and judge a step only where there
is nothing better: no labels are waited for (``labels_min`` 0), or they are late.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from trimtab.core.domain.verdict import Verdict
from trimtab.core.profiles.pairs import SHIFT_GRID
from trimtab.core.rollout.facts import Look
from trimtab.core.rollout.metrics import MetricResult, against, agreeing, blocks_of, factor_of, share_text
from trimtab.core.rollout.plan import RolloutPlan
from trimtab.core.stats.bets import MeanBets
from trimtab.core.stats.sequential import bounded_exp

_PRIOR_FACTOR, _PRIOR_BLOCKS = 20.0, 2.0
"""Rows without labels are many, so the correction may start from the most that real streams show: on the first day
nobody can know how days differ."""

LATE = 0.5
"""Labels are late when a step has waited for so large a part of ``plan.longest_s`` without enough of them."""


def disagreement_metric(plan: RolloutPlan, looks: Sequence[Look], alpha: float) -> MetricResult:
    """Is the share of rows on which the predictions differ surely above, or below, the limit? Bets on that share, as
    for the absolute limits of rates."""
    limit = plan.disagreement_max
    factor = _factor(plan, looks, _disagreed)
    bets, threshold = MeanBets(), -factor * math.log(alpha)
    hits = np.array([look.disagreed for look in looks], dtype=np.int64)
    totals = np.array([look.compared for look in looks], dtype=np.int64)
    path = bets.update_counts(hits, totals, 1.0 if limit is None else limit)
    events, rows = int(hits.sum()), int(totals.sum())
    log_top = 0.0 if limit is None else bets.log_above(limit) if plan.block_s else float(path.max(initial=0.0))
    low, high = (max(0.0, bets.lower_bound(threshold)), bets.upper_bound(threshold)) if rows else (0.0, 1.0)
    verdict = _verdict(log_top >= threshold, limit is not None and high <= limit)
    low, high = agreeing(verdict, low, high, limit or 0.0, limit or 1.0)
    return MetricResult(
        name="disagreement",
        role="watch",
        verdict=verdict,
        text=(
            f"predictions differ on {share_text(events, rows)}{_sign(verdict, limit)} ({events:,} of {rows:,} rows "
            f"that both versions scored; {100 * (1 - 2 * alpha):g} % interval {100 * low:.2f} to {100 * high:.2f} %"
            f"{_evidence(limit, log_top / factor, alpha)}{_weakened(factor)})"
        ),
        value=events / rows if rows else None,
        limit=limit,
        e_value=bounded_exp(log_top / factor),
        interval=(low, high) if rows else None,
        code="PredictionsDiffer" if verdict is Verdict.FAILED else "PredictionsCompared",
        rows=rows,
        rows_forecast=None if limit is None else bets.rows_forecast(limit, threshold),
    )


def score_shift_metric(plan: RolloutPlan, looks: Sequence[Look], alpha: float) -> MetricResult:
    """Is the mean difference of the scores surely outside, or inside, the limit either way? Bets from both sides, each
    at half of alpha, on ``shift_weights``."""
    limit = plan.score_shift_max
    bound = 1.0 if limit is None else limit
    factor = _factor(plan, looks, _shifted)
    threshold = -factor * math.log(alpha / 2.0)
    weights = np.array([look.score_shift for look in looks if look.score_shift.size]).reshape(-1, SHIFT_GRID.size)
    bets, mirrored = MeanBets(), MeanBets()
    up, _ = bets.update_weights(SHIFT_GRID, weights, bound, bound)
    down, _ = mirrored.update_weights(-SHIFT_GRID, weights, bound, bound)
    rows = round(float(weights.sum()))
    tops = [0.0, 0.0] if limit is None else [float(path.max(initial=0.0)) for path in (up, down)]
    if limit is not None and plan.block_s:
        tops = [bets.log_above(limit), mirrored.log_above(limit)]
    low, high = (bets.lower_bound(threshold), bets.upper_bound(threshold)) if rows else (-1.0, 1.0)
    verdict = _verdict(max(tops) >= threshold, limit is not None and -limit <= low and high <= limit)
    if verdict is Verdict.FAILED:
        low, high = (max(low, bound), max(high, bound)) if tops[0] >= tops[1] else (min(low, -bound), min(high, -bound))
    mean = float(weights.sum(axis=0) @ SHIFT_GRID) / rows if rows else None
    log_top = max(0.0, max(tops) / factor - math.log(2.0))
    return MetricResult(
        name="score shift",
        role="watch",
        verdict=verdict,
        text=(
            f"mean score difference {'none' if mean is None else format(mean, '+.4f')}{_sign(verdict, limit, '+-')} "
            f"({rows:,} rows that both versions scored; {100 * (1 - alpha):g} % interval {low:+.4f} to {high:+.4f}"
            f"{_evidence(limit, log_top, alpha)}{_weakened(factor)})"
        ),
        value=mean,
        limit=limit,
        e_value=bounded_exp(log_top),
        interval=(low, high) if rows else None,
        code="ScoresShifted" if verdict is Verdict.FAILED else "PredictionsCompared",
        rows=rows,
        rows_forecast=_inside(bets, mirrored, limit, threshold),
    )


_Moments = tuple[int, float, float]
"""(rows, sum, sum of squares)"""


def _disagreed(looks: Sequence[Look]) -> _Moments:
    hits = sum(look.disagreed for look in looks)
    return sum(look.compared for look in looks), float(hits), float(hits)


def _shifted(looks: Sequence[Look]) -> _Moments:
    weights = sum((look.score_shift for look in looks if look.score_shift.size), np.zeros(SHIFT_GRID.size))
    return round(float(weights.sum())), float(weights @ SHIFT_GRID), float(weights @ SHIFT_GRID**2)


def _factor(plan: RolloutPlan, looks: Sequence[Look], moments: Callable[[Sequence[Look]], _Moments]) -> float:
    """``metrics.overdispersion`` for one sample: how many times more its means of blocks vary than independent rows
    would."""
    if not plan.block_s or not looks:
        return 1.0
    rows, total, squares = moments(looks)
    blocks = [found for found in map(moments, blocks_of(plan, looks)) if found[0]]
    if not blocks:
        return _PRIOR_FACTOR
    mean = total / rows
    variance = max(squares / rows - mean**2, 0.0)
    scatter = sum((one / n - mean) ** 2 * n / variance for n, one, _ in blocks) if variance > 0 else 0.0
    return factor_of(scatter, len(blocks), _PRIOR_FACTOR, _PRIOR_BLOCKS)


def judges(plan: RolloutPlan, labelled_rows: int, waited_s: float) -> bool:
    """Whether agreement is all there is to judge the step by: no labels are waited for and none came, or they are
    late."""
    if plan.labels_min == 0:
        return labelled_rows == 0
    return labelled_rows < plan.labels_min and waited_s >= LATE * plan.longest_s


def _verdict(failed: bool, holds: bool) -> Verdict:
    return Verdict.FAILED if failed else Verdict.SUCCESSFUL if holds else Verdict.INCONCLUSIVE


def _sign(verdict: Verdict, limit: float | None, prefix: str = "") -> str:
    if limit is None:
        return ""
    sign = {Verdict.FAILED: ">", Verdict.SUCCESSFUL: "<="}.get(verdict, "against")
    return f" {sign} {prefix}{limit:g}" if prefix else f" {sign} {100 * limit:g} %"


def _evidence(limit: float | None, log_top: float, alpha: float) -> str:
    return "" if limit is None else f"; e-value {against(bounded_exp(log_top), alpha)}"


def _weakened(factor: float) -> str:
    return f"; evidence weakened by {factor:.1f}, blocks vary more than rows" if factor > 1 else ""


def _inside(bets: MeanBets, mirrored: MeanBets, limit: float | None, threshold: float) -> int | None:
    """Rows until both sides are shown to be inside."""
    if limit is None:
        return None
    needed = [bets.rows_forecast(limit, threshold), mirrored.rows_forecast(limit, threshold)]
    known = [rows for rows in needed if rows is not None]
    return max(known) if len(known) == len(needed) else None
