"""From the facts of a rollout to a verdict on its present step, with the arithmetic behind it.

One ``alpha`` for the whole rollout, split among everything that can stop it (``ALPHA_SHARES``), by Bonferroni:
whatever the dependence, a challenger that does no harm is stopped with probability at most ``alpha``, over all
metrics, steps and looks. Evidence of harm gathers over the whole rollout; time and requests are counted from the
start of the step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from trimtab.core.domain.times import duration_text, iso
from trimtab.core.domain.verdict import Reason, Verdict, combine
from trimtab.core.rollout.facts import ArmCounts, Look, RolloutFacts
from trimtab.core.rollout.metrics import MetricResult, limit_metric, primary_metric, rate_metric
from trimtab.core.rollout.plan import RolloutPlan

ALPHA_SHARES = {
    "loss": 0.5,
    "errors": 0.1,
    "slow answers": 0.1,
    "invalid outputs": 0.1,
    "error rate limit": 0.1,
    "latency limit": 0.05,
    "invalid rate limit": 0.05,
}
"""How alpha is split. Half goes to the loss, which needs it most; a broken server shows at any level."""

Role = Literal["guardrail", "primary"]


@dataclass(frozen=True, slots=True)
class Analysis:
    """What the facts say of the step that a rollout is at."""

    verdict: Verdict
    """failed: stop. successful: the step may be left. inconclusive: see ``missing``."""
    metrics: tuple[MetricResult, ...]
    missing: tuple[str, ...]
    """What the step still waits for, in words; empty when it is decided."""
    ready_at_s: float | None
    """Forecast of when nothing will be missing if traffic, labels and losses go on as so far; None: not in sight,
    or decided."""
    reasons: tuple[Reason, ...]
    longest_reached: bool = False
    """The step is undecided for longer than ``plan.longest_s``: ``plan.on_longest`` says what then."""


@dataclass(frozen=True, slots=True)
class _Wait:
    """One thing that a step waits for."""

    code: str
    text: str
    ready_at_s: float | None
    value: float
    limit: float


def analyse(plan: RolloutPlan, facts: RolloutFacts, step_started_s: float, now_s: float) -> Analysis:
    """Judge the present step of a rollout.

    Args:
        plan: the rollout's rules.
        facts: all looks since the rollout began, in order.
        step_started_s: when the present step (or the shadow phase) began, seconds since the epoch.
        now_s: the time of the tick.

    Returns:
        ``failed`` as soon as harm is shown or an absolute limit is surely broken; ``successful`` when the loss is
        shown to be within the margin and bake time, requests and labels suffice; otherwise ``inconclusive`` with
        what is missing.
    """
    metrics = _metrics(plan, facts)
    judged = combine([metric.verdict for metric in metrics if metric.verdict is not Verdict.INCONCLUSIVE])
    if judged is Verdict.FAILED:
        reasons = tuple(metric.reason() for metric in metrics if metric.verdict is Verdict.FAILED)
        return Analysis(Verdict.FAILED, metrics, (), None, reasons)
    waits = _waits(plan, facts, metrics, step_started_s, now_s)
    if not waits:
        return Analysis(Verdict.SUCCESSFUL, metrics, (), None, tuple(metric.reason() for metric in metrics))
    reasons = tuple(Reason(wait.code, wait.text, wait.value, wait.limit) for wait in waits)
    longest = now_s - step_started_s >= plan.longest_s
    if longest:
        waited = duration_text(now_s - step_started_s)
        text = f"undecided for {waited} >= {duration_text(plan.longest_s)}: {plan.on_longest}"
        reasons = (Reason("LongestReached", text, now_s - step_started_s, plan.longest_s), *reasons)
    return Analysis(Verdict.INCONCLUSIVE, metrics, tuple(wait.text for wait in waits), _latest(waits), reasons, longest)


def _metrics(plan: RolloutPlan, facts: RolloutFacts) -> tuple[MetricResult, ...]:
    looks, guard = facts.looks, plan.guardrails

    def alpha(name: str) -> float:
        return plan.alpha * ALPHA_SHARES[name]

    kinds: tuple[tuple[str, Callable[[ArmCounts], int]], ...] = (
        ("errors", lambda arm: arm.errors),
        ("slow answers", lambda arm: arm.slow),
        ("invalid outputs", lambda arm: arm.invalid),
    )
    out = [rate_metric(name, looks, bad, alpha(name), guard.rate_margin) for name, bad in kinds]
    limits = (
        ("error rate limit", guard.error_rate_max, kinds[0][1], "errors"),
        (
            "latency limit",
            0.05 if guard.latency_p95_ms_max is not None else None,
            kinds[1][1],
            f"answers slower than {guard.latency_p95_ms_max or 0:g} ms",
        ),
        ("invalid rate limit", guard.invalid_rate_max, kinds[2][1], "invalid outputs"),
    )
    for name, limit, bad, what in limits:
        if limit is not None:
            out.append(limit_metric(name, looks, bad, limit, alpha(name), what))
    out.append(primary_metric(plan, looks, alpha("loss")))
    return tuple(out)


def _waits(
    plan: RolloutPlan, facts: RolloutFacts, metrics: tuple[MetricResult, ...], step_started_s: float, now_s: float
) -> list[_Wait]:
    waits = []
    baked_s = now_s - step_started_s
    if baked_s < plan.bake_s:
        text = f"bake time {duration_text(baked_s)} < {duration_text(plan.bake_s)}"
        waits.append(_Wait("BakeTimeLeft", text, step_started_s + plan.bake_s, baked_s, plan.bake_s))
    requests = sum(look.challenger.requests for look in facts.since(step_started_s))
    if requests < plan.requests_min:
        text = f"{requests} of at least {plan.requests_min} requests of the challenger in this step"
        if not requests:
            text += " (no traffic: no evidence)"
        ready = _when(requests, plan.requests_min, step_started_s, now_s)
        waits.append(_Wait("RequestsMissing", text, ready, requests, plan.requests_min))
    return waits + _label_waits(plan, facts.looks, metrics[-1], now_s)


def _label_waits(plan: RolloutPlan, looks: tuple[Look, ...], primary: MetricResult, now_s: float) -> list[_Wait]:
    if plan.labels_min == 0 and primary.rows == 0:
        return []
    began_s = looks[0].at_s if looks else now_s
    waits = []
    if primary.rows < plan.labels_min:
        text = f"{primary.rows} of at least {plan.labels_min} labelled rows"
        ready = _when(primary.rows, plan.labels_min, began_s, now_s)
        waits.append(_Wait("LabelsMissing", text, ready, primary.rows, plan.labels_min))
    if primary.verdict is Verdict.INCONCLUSIVE and primary.rows:
        needed = primary.rows_forecast
        text = primary.text + (f"; about {needed:,} labelled rows would decide it" if needed else "; not in sight")
        ready = _when(primary.rows, needed, began_s, now_s) if needed else None
        waits.append(_Wait("LossUndecided", text, ready, primary.value or 0.0, plan.margin))
    return waits


def _when(have: int, need: int, since_s: float, now_s: float) -> float | None:
    """When ``need`` are there if they come as since ``since_s``; None where none came."""
    if have <= 0 or now_s <= since_s:
        return None
    return since_s + (now_s - since_s) * max(1.0, need / have)


def _latest(waits: list[_Wait]) -> float | None:
    times = [wait.ready_at_s for wait in waits]
    known = [time for time in times if time is not None and math.isfinite(time)]
    return max(known) if len(known) == len(times) else None


def forecast_text(analysis: Analysis) -> str:
    """One line for the status: ``ready about 2013-03-04T05:00:00Z``."""
    if analysis.verdict is not Verdict.INCONCLUSIVE:
        return str(analysis.verdict)
    return f"ready about {iso(analysis.ready_at_s)}" if analysis.ready_at_s is not None else "no forecast yet"
