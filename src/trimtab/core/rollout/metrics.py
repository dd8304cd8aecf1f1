"""One metric of a rollout at a time: facts in, a verdict with its arithmetic out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trimtab.core.domain.verdict import Reason, Verdict
from trimtab.core.rollout.facts import ArmCounts, Look
from trimtab.core.rollout.plan import RolloutPlan
from trimtab.core.stats.bets import MeanBets
from trimtab.core.stats.mean import MeanTest
from trimtab.core.stats.rate import RateTest
from trimtab.core.stats.sequential import bounded_exp, decide

Count = Callable[[ArmCounts], int]

Losses = NDArray[np.float64]

_PRIOR_BLOCKS = 1.0
_PRIOR_FACTOR = 4.0
_LOOK_ROWS = 50
_LOOK_GROWTH = 0.02


@dataclass(frozen=True, slots=True)
class MetricResult:
    """What one metric says."""

    name: str
    role: Literal["guardrail", "watch", "primary"]
    """``watch``: shown; judged by only where labels are not waited for, or are late."""
    verdict: Verdict
    text: str
    """Value, comparison and limit: ``errors 6.1 % > 0.4 % of the champion (61 of 1,000; e-value 1,240 >= 200)``."""
    value: float | None
    limit: float | None
    e_value: float
    """Evidence of harm."""
    interval: tuple[float, float] | None
    """Of the difference (challenger - champion) or, for an absolute limit, of the rate. Each end is anytime-valid at
    the metric's alpha and is what the verdict goes by, so that ``failed`` never shows an interval that reaches below
    the limit, nor ``successful`` one that reaches above."""
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
    verdict = Verdict(test.verdict)
    failed = verdict is Verdict.FAILED
    e_value = test.highest_e_value if failed else test.e_value
    low, high = test.interval_at(-math.log(alpha))
    interval = agreeing(verdict, low, high, 0.0, margin)
    one = share_text(test.challenger_bad, test.challenger_total)
    two = share_text(test.champion_bad, test.champion_total)
    tolerated = f": tolerated, at most {interval[1]:+.4f}" if e_value >= 1 / alpha and not failed else ""
    text = (
        f"{name} {one} {'>' if failed else 'against'} {two} of the champion "
        f"({test.challenger_bad:,} of {test.challenger_total:,}; e-value {against(e_value, alpha)}{tolerated})"
    )
    return MetricResult(
        name=name,
        role="guardrail",
        verdict=verdict,
        text=text,
        value=test.difference,
        limit=0.0,
        e_value=e_value,
        interval=interval,
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
    low, high = (max(0.0, bets.lower_bound(threshold)), bets.upper_bound(threshold)) if rows else (0.0, 1.0)
    verdict = Verdict.FAILED if failed else Verdict.SUCCESSFUL if high <= limit else Verdict.INCONCLUSIVE
    sign = ">" if failed else "<=" if verdict is Verdict.SUCCESSFUL else "against"
    e_value = bounded_exp(e_top)
    text = (
        f"{what} {share_text(events, rows)} {sign} {100 * limit:g} % ({events:,} of {rows:,}; "
        f"e-value {against(e_value, alpha)})"
    )
    return MetricResult(
        name=name,
        role="guardrail",
        verdict=verdict,
        text=text,
        value=events / rows if rows else None,
        limit=limit,
        e_value=e_value,
        interval=agreeing(verdict, low, high, limit, limit) if rows else None,
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
    if plan.paired:
        test.update(*_losses(plan, looks))
    for look in () if plan.paired else looks:
        test.update(look.champion_loss, look.challenger_loss)
    rows = test.champion_rows if plan.paired else min(test.champion_rows, test.challenger_rows)
    if test.difference is None:
        text = "no labelled rows yet" + (" that both versions scored" if plan.paired else "")
        return MetricResult(
            "loss", "primary", Verdict.INCONCLUSIVE, text, None, plan.margin, 1.0, None, "LabelsMissing"
        )
    factor = overdispersion(plan, looks)
    weakened = decide(test.log_e_value / factor, test.log_within / factor, alpha, already_failed=False)
    verdict = Verdict(weakened if plan.block_s else test.verdict)
    ever = verdict is Verdict.FAILED and not plan.block_s
    e_value = test.highest_e_value if ever else bounded_exp(test.log_e_value / factor)
    ends = test.interval_at(-factor * math.log(alpha))
    low, high = interval = agreeing(verdict, *ends, 0.0, plan.margin)
    sign = {Verdict.FAILED: "> 0", Verdict.SUCCESSFUL: f"< {plan.margin:g}"}.get(
        verdict, f"against 0 and {plan.margin:g}"
    )
    spread = f"; evidence weakened by {factor:.1f}, blocks vary more than rows" if factor > 1 else ""
    text = (
        f"loss difference {test.difference:+.4f} {sign} ({rows:,} labelled rows{', paired' if plan.paired else ''}; "
        f"{100 * (1 - 2 * alpha):g} % interval {low:+.4f} to {high:+.4f}; e-value {against(e_value, alpha)}{spread})"
    )
    codes = {Verdict.FAILED: "LossWorse", Verdict.SUCCESSFUL: "LossWithinMargin"}
    return MetricResult(
        name="loss",
        role="primary",
        verdict=verdict,
        text=text,
        value=test.difference,
        limit=0.0 if verdict is Verdict.FAILED else plan.margin,
        e_value=e_value,
        interval=interval,
        code=codes.get(verdict, "LossUndecided"),
        rows=rows,
        rows_forecast=test.rows_forecast_at(-factor * math.log(alpha)),
    )


def overdispersion(plan: RolloutPlan, looks: Sequence[Look]) -> float:
    """How many times more the loss differences of blocks (``plan.block_s``) vary than independent rows would; at
    least 1.

    ``(4 + sum_b (d_b - d)^2 / var(d_b)) / blocks``: it starts from 4, with the weight of one block, for real
    streams have 4 to 20 (docs/statistics.md). Log evidence is divided by it. As it is at least 1, a verdict needs
    no less than the exact evidence, so every claim stands; it keeps one bad day from deciding for all days.
    """
    if not plan.block_s:
        return 1.0
    pairs = [_losses(plan, block) for block in blocks_of(plan, looks)]
    pairs = [(champion, challenger) for champion, challenger in pairs if champion.size and challenger.size]
    if not pairs:
        return _PRIOR_FACTOR
    whole, variances = _difference(plan, *_losses(plan, looks))
    scatter = 0.0
    for champion, challenger in pairs:
        expected = variances[0] / champion.size + variances[1] / challenger.size
        if expected > 0:
            scatter += (_difference(plan, champion, challenger)[0] - whole) ** 2 / expected
    return factor_of(scatter, len(pairs))


def blocks_of(plan: RolloutPlan, looks: Sequence[Look]) -> list[list[Look]]:
    """The looks in spans of ``plan.block_s``, oldest first."""
    blocks: dict[int, list[Look]] = {}
    for look in looks:
        blocks.setdefault(math.floor((look.at_s - looks[0].at_s) / plan.block_s), []).append(look)
    return [blocks[place] for place in sorted(blocks)]


def factor_of(scatter: float, blocks: int, prior: float = _PRIOR_FACTOR, weight: float = _PRIOR_BLOCKS) -> float:
    """By what log evidence is divided: ``scatter`` is the sum over blocks of the squared deviation of a block's mean in
    units of what independent rows would show; ``prior`` is where it starts from, with the weight of ``weight`` blocks.
    """
    return max(1.0, (weight * prior + scatter) / (weight + blocks - 1))


def _losses(plan: RolloutPlan, looks: Sequence[Look]) -> tuple[Losses, Losses]:
    """The champion's and the challenger's losses of some looks, in order."""
    if plan.paired:
        parts = [(look.paired_champion_loss, look.paired_challenger_loss) for look in looks]
    else:
        parts = [(look.champion_loss, look.challenger_loss) for look in looks]
    empty: Losses = np.empty(0)
    return np.concatenate([empty, *(x for x, _ in parts)]), np.concatenate([empty, *(y for _, y in parts)])


def _difference(plan: RolloutPlan, champion: Losses, challenger: Losses) -> tuple[float, tuple[float, float]]:
    """Mean difference, and what each arm adds to its variance per row (paired: that of the differences, once)."""
    if plan.paired:
        pairs = challenger - champion
        return float(pairs.mean()), (float(pairs.var()), 0.0)
    return float(challenger.mean() - champion.mean()), (float(champion.var()), float(challenger.var()))


def agreeing(verdict: Verdict, low: float, high: float, floor: float, ceiling: float) -> tuple[float, float]:
    """The interval without what the verdict has excluded: what lies below ``floor`` where it is failed, above
    ``ceiling`` where it is successful.

    Nothing is claimed that was not shown: the verdict's evidence is at the same level, but was reached at an earlier
    look, by a sharper test of this one hypothesis, or within the interval's last digit.
    """
    if verdict is Verdict.FAILED:
        low = max(low, floor)
    elif verdict is Verdict.SUCCESSFUL:
        high = min(high, ceiling)
    return min(low, high) if verdict is Verdict.SUCCESSFUL else low, max(low, high)


def against(e_value: float, alpha: float) -> str:
    """``63.9 >= 40``."""
    return f"{figure(e_value)} {'>=' if e_value >= 1 / alpha else '<'} {1 / alpha:,.0f}"


def share_text(events: int, rows: int) -> str:
    """``6.1 %``, or ``none`` of no rows."""
    return f"{100 * events / rows:.3g} %" if rows else "none"


def figure(value: float) -> str:
    """Three digits, without an exponent up to a million."""
    return f"{value:,.0f}" if 100 <= value < 1e6 else f"{value:.3g}"
