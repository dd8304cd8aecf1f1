"""One metric of a rollout at a time: facts in, a verdict with its arithmetic out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trimtab.core.domain.verdict import Reason, Verdict
from trimtab.core.rollout.facts import ArmCounts, Look
from trimtab.core.rollout.plan import RolloutPlan
from trimtab.core.stats.bets import MeanBets
from trimtab.core.stats.mean import MeanTest
from trimtab.core.stats.rate import RateTest

Count = Callable[[ArmCounts], int]

_LOOK_ROWS = 50
_LOOK_GROWTH = 0.02


@dataclass(frozen=True, slots=True)
class MetricResult:
    """What one metric says."""

    name: str
    role: Literal["guardrail", "primary"]
    verdict: Verdict
    text: str
    """Value, comparison and limit: ``errors 6.1 % > 0.4 % of the champion (61 of 1,000; e-value 1,240 >= 200)``."""
    value: float | None
    limit: float | None
    e_value: float
    """Evidence of harm."""
    interval: tuple[float, float] | None
    """Anytime-valid, of the difference (challenger - champion) or, for an absolute limit, of the rate."""
    code: str
    """Of its reason."""
    rows: int = 0
    """Rows behind it: requests of both arms, or labelled rows."""
    rows_forecast: int | None = None
    """Rows in all after which it will probably be successful; None where that is not in sight."""

    def reason(self) -> Reason:
        return Reason(self.code, self.text, self.value, self.limit)


def _gathered(looks: Sequence[Look], bad: Count) -> Iterator[tuple[int, int, int, int]]:
    """(champion bad, total, challenger bad, total) of looks joined until they hold enough rows.

    A look of few rows carries little once conditioned on its totals. Where one ends depends on the sizes only, never on
    outcomes, so the test stays exact; rows after the last full one wait.
    """
    seen = 0
    bad0 = n0 = bad1 = n1 = 0
    for look in looks:
        bad0, n0 = bad0 + bad(look.champion), n0 + look.champion.requests
        bad1, n1 = bad1 + bad(look.challenger), n1 + look.challenger.requests
        if n0 and n1 and n0 + n1 >= max(_LOOK_ROWS, _LOOK_GROWTH * seen):
            yield bad0, n0, bad1, n1
            seen += n0 + n1
            bad0 = n0 = bad1 = n1 = 0


def rate_metric(name: str, looks: Sequence[Look], bad: Count, alpha: float, margin: float) -> MetricResult:
    """Is a kind of bad event more frequent in the challenger's arm than in the champion's?"""
    test = RateTest(alpha=alpha, margin=margin)
    test.update_looks(np.array(list(_gathered(looks, bad)), dtype=np.int64).reshape(-1, 4))
    failed = test.verdict == "failed"
    one = _share(test.challenger_bad, test.challenger_total)
    two = _share(test.champion_bad, test.champion_total)
    sign = ">" if failed else "against"
    text = (
        f"{name} {one} {sign} {two} of the champion ({test.challenger_bad:,} of {test.challenger_total:,}; "
        f"e-value {_figure(test.e_value)} {'>=' if failed else '<'} {1 / alpha:,.0f})"
    )
    verdict = Verdict.FAILED if failed else Verdict.SUCCESSFUL if test.verdict == "successful" else Verdict.INCONCLUSIVE
    return MetricResult(
        name=name,
        role="guardrail",
        verdict=verdict,
        text=text,
        value=test.difference,
        limit=0.0,
        e_value=test.e_value,
        interval=test.interval,
        code={"errors": "ErrorsWorse", "slow answers": "SlowWorse", "invalid outputs": "InvalidWorse"}[name]
        if failed
        else "GuardrailHolds",
        rows=test.champion_total + test.challenger_total,
    )


def limit_metric(name: str, looks: Sequence[Look], bad: Count, limit: float, alpha: float, what: str) -> MetricResult:
    """Is a rate of the challenger surely above an absolute limit? A mean test of one arm, by betting against the
    limit."""
    bets = MeanBets()
    hits = np.array([bad(look.challenger) for look in looks], dtype=np.int64)
    totals = np.array([look.challenger.requests for look in looks], dtype=np.int64)
    path = bets.update_counts(hits, totals, limit)
    e_top = float(path.max(initial=0.0))
    events, rows = int(hits.sum()), int(totals.sum())
    threshold = -math.log(alpha)
    failed = e_top >= threshold
    interval = (max(0.0, bets.lower_bound(threshold)), bets.upper_bound(threshold)) if rows else None
    holds = interval is not None and interval[1] <= limit
    sign = ">" if failed else "<=" if holds else "against"
    text = (
        f"{what} {_share(events, rows)} {sign} {100 * limit:g} % ({events:,} of {rows:,}; "
        f"e-value {_figure(math.exp(min(700.0, e_top)) if rows else 1.0)} {'>=' if failed else '<'} {1 / alpha:,.0f})"
    )
    return MetricResult(
        name=name,
        role="guardrail",
        verdict=Verdict.FAILED if failed else Verdict.SUCCESSFUL if holds else Verdict.INCONCLUSIVE,
        text=text,
        value=events / rows if rows else None,
        limit=limit,
        e_value=math.exp(min(700.0, e_top)) if rows else 1.0,
        interval=interval,
        code=_LIMIT_CODES[name] if failed else "GuardrailHolds",
        rows=rows,
    )


_LIMIT_CODES = {
    "error rate limit": "ErrorRateOverLimit",
    "latency limit": "LatencyOverLimit",
    "invalid rate limit": "InvalidRateOverLimit",
}


def primary_metric(plan: RolloutPlan, looks: Sequence[Look], alpha: float) -> MetricResult:
    """Is the challenger's loss on labelled rows higher than the champion's? Row by row where both scored the same
    rows."""
    test = MeanTest(alpha=alpha, margin=plan.margin, paired=plan.paired)
    if plan.paired and looks:
        test.update(
            np.concatenate([look.paired_champion_loss for look in looks]),
            np.concatenate([look.paired_challenger_loss for look in looks]),
        )
    for look in () if plan.paired else looks:
        test.update(look.champion_loss, look.challenger_loss)
    rows = test.champion_rows if plan.paired else min(test.champion_rows, test.challenger_rows)
    verdict = Verdict(test.verdict)
    if test.difference is None:
        text = "no labelled rows yet" + (" that both versions scored" if plan.paired else "")
        return MetricResult("loss", "primary", verdict, text, None, plan.margin, 1.0, None, "LabelsMissing")
    low, high = test.interval
    sign = {Verdict.FAILED: "> 0", Verdict.SUCCESSFUL: f"< {plan.margin:g}"}.get(
        verdict, f"against 0 and {plan.margin:g}"
    )
    text = (
        f"loss difference {test.difference:+.4f} {sign} ({rows:,} labelled rows{', paired' if plan.paired else ''}; "
        f"{100 * (1 - alpha):g} % interval {low:+.4f} to {high:+.4f}; e-value {_figure(test.e_value)})"
    )
    codes = {Verdict.FAILED: "LossWorse", Verdict.SUCCESSFUL: "LossWithinMargin"}
    limit = 0.0 if verdict is Verdict.FAILED else plan.margin
    code = codes.get(verdict, "LossUndecided")
    forecast = test.rows_forecast
    return MetricResult(
        "loss", "primary", verdict, text, test.difference, limit, test.e_value, (low, high), code, rows, forecast
    )


def _share(events: int, rows: int) -> str:
    return f"{100 * events / rows:.3g} %" if rows else "none"


def _figure(value: float) -> str:
    """Three digits, without an exponent up to a million."""
    return f"{value:,.0f}" if 100 <= value < 1e6 else f"{value:.3g}"
