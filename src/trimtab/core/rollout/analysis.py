"""From the facts of a rollout to a verdict on its present step, with the arithmetic behind it.

One ``alpha`` for the whole rollout, split among everything that can stop it (``ALPHA_SHARES``), by Bonferroni:
whatever the dependence, a challenger that does no harm is stopped with probability at most ``alpha``, over all
metrics, steps and looks. Evidence of harm gathers over the whole rollout; time and requests are counted from when the
servers took the step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from trimtab.core.domain.times import duration_text, iso
from trimtab.core.domain.verdict import Reason, Verdict
from trimtab.core.rollout.agreement import disagreement_metric, judges, score_shift_metric
from trimtab.core.rollout.facts import ArmCounts, Look, RolloutFacts
from trimtab.core.rollout.metrics import MetricResult, limit_metric, primary_metric, rate_metric
from trimtab.core.rollout.plan import RolloutPlan

ALPHA_SHARES = {
    "loss": 0.5,
    "errors": 0.1,
    "slow answers": 0.1,
    "invalid outputs": 0.05,
    "error rate limit": 0.05,
    "latency limit": 0.05,
    "invalid rate limit": 0.05,
    "disagreement": 0.05,
    "score shift": 0.05,
}
"""How alpha is split. Half goes to the loss, which needs it most; a broken server shows at any level."""


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
    score: float | None = None
    """Anytime-valid p-value of 'no harm' over all metrics that judge: ``failed`` needs it to be at most alpha, at
    whatever look. None: nothing was seen."""
    rows: int = 0
    """Labelled rows behind it; while there are none, rows that both versions scored, or requests."""


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
    by_agreement = judges(plan, metrics[-1].rows, now_s - step_started_s)
    judging = _leading(metric for metric in metrics if by_agreement or metric.role != "watch")
    score, rows = _score(judging), next((metric.rows for metric in reversed(metrics) if metric.rows), 0)
    if any(metric.verdict is Verdict.FAILED for metric in judging):
        reasons = tuple(metric.reason() for metric in judging if metric.verdict is Verdict.FAILED)
        return Analysis(Verdict.FAILED, metrics, (), None, reasons, score=score, rows=rows)
    waits = _waits(plan, facts, metrics, step_started_s, now_s)
    if by_agreement and plan.labels_min == 0:
        waits += _agreement_waits(plan, metrics, step_started_s, now_s)
    if not waits:
        reasons = tuple(metric.reason() for metric in judging)
        return Analysis(Verdict.SUCCESSFUL, metrics, (), None, reasons, score=score, rows=rows)
    reasons = tuple(Reason(wait.code, wait.text, wait.value, wait.limit) for wait in waits)
    longest = now_s - step_started_s >= plan.longest_s
    if longest:
        waited = duration_text(now_s - step_started_s)
        text = f"undecided for {waited} >= {duration_text(plan.longest_s)}: {plan.on_longest}"
        reasons = (Reason("LongestReached", text, now_s - step_started_s, plan.longest_s), *reasons)
    missing = tuple(wait.text for wait in waits)
    return Analysis(Verdict.INCONCLUSIVE, metrics, missing, _latest(waits), reasons, longest, score, rows)


def _leading(metrics: Iterable[MetricResult]) -> tuple[MetricResult, ...]:
    """The loss is what a rollout is about: it stands first, or, where there are no labels, what stands in for it."""
    rank = {"primary": 0, "watch": 1, "guardrail": 2}
    return tuple(sorted(metrics, key=lambda metric: (not metric.rows, rank[metric.role])))


def _score(metrics: tuple[MetricResult, ...]) -> float | None:
    """Bonferroni over the metrics by their shares of alpha: at most alpha exactly where one of them reaches its own."""
    seen = [metric for metric in metrics if metric.rows]
    return min((min(1.0, 1.0 / (m.e_value * ALPHA_SHARES[m.name])) for m in seen), default=None)


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
    if any(look.compared for look in looks):
        out.append(disagreement_metric(plan, looks, alpha("disagreement")))
        out.append(score_shift_metric(plan, looks, alpha("score shift")))
    out.append(primary_metric(plan, looks, alpha("loss")))
    return tuple(out)


def _waits(
    plan: RolloutPlan, facts: RolloutFacts, metrics: tuple[MetricResult, ...], step_started_s: float, now_s: float
) -> list[_Wait]:
    waits = []
    taken_s, requests = _taken(facts, step_started_s, now_s)
    baked_s = 0.0 if taken_s is None else max(0.0, now_s - taken_s)
    if baked_s < plan.bake_s:
        text = f"bake time {duration_text(baked_s)} < {duration_text(plan.bake_s)}"
        if taken_s is None:
            text += " (it counts from the first answer by the routes of this step)"
        ready = None if taken_s is None else taken_s + plan.bake_s
        waits.append(_Wait("BakeTimeLeft", text, ready, baked_s, plan.bake_s))
    if requests < plan.requests_min:
        text = f"{requests} of at least {plan.requests_min} requests of the challenger in this step"
        if not requests:
            text += " (no traffic: no evidence)"
        ready = None if taken_s is None else _when(requests, plan.requests_min, taken_s, now_s)
        waits.append(_Wait("RequestsMissing", text, ready, requests, plan.requests_min))
    return waits + _label_waits(plan, facts.looks, metrics[-1], now_s)


def _taken(facts: RolloutFacts, step_started_s: float, now_s: float) -> tuple[float | None, int]:
    """When the step began to count, and the challenger's requests in it.

    A step that was decided in the future was decided by a clock that was ahead: then only the servers' records count.
    """
    if facts.step is None:
        return step_started_s, sum(look.challenger.requests for look in facts.since(step_started_s))
    taken_s = facts.step.taken_s
    if taken_s is not None and step_started_s <= now_s:
        taken_s = max(taken_s, step_started_s)
    return taken_s, facts.step.requests


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


def _agreement_waits(
    plan: RolloutPlan, metrics: tuple[MetricResult, ...], step_started_s: float, now_s: float
) -> list[_Wait]:
    """Without labels a step passes on agreement within its limits, where the same rows are scored by both."""
    if plan.disagreement_max is None and plan.score_shift_max is None:
        return []
    watched = [metric for metric in metrics if metric.role == "watch"]
    if not watched:
        if not plan.paired:
            return []
        return [_Wait("AgreementMissing", "no row that both versions scored yet, and no labels", None, 0, 1)]
    waits = []
    for metric in watched:
        if metric.limit is not None and metric.verdict is Verdict.INCONCLUSIVE:
            ready = _when(metric.rows, metric.rows_forecast, step_started_s, now_s) if metric.rows_forecast else None
            waits.append(_Wait("AgreementUndecided", metric.text, ready, metric.value or 0.0, metric.limit))
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
