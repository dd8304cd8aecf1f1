"""Traffic: a challenger's steps, the watch after its promotion, and the candidate that waits."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from trimtab.core.decide.actions import (
    Abort,
    Action,
    Alert,
    AskApproval,
    DeployFirst,
    EndWatch,
    EnterStep,
    HoldWatch,
    PauseRollout,
    Promote,
    RollBack,
    StartRollout,
)
from trimtab.core.decide.encode import encode
from trimtab.core.decide.moves import Move
from trimtab.core.decide.policy import Mode, Policy
from trimtab.core.decide.snapshot import Snapshot
from trimtab.core.decide.status import Rollout, Status, Watch
from trimtab.core.domain.proof import Proof
from trimtab.core.domain.times import duration_text
from trimtab.core.domain.verdict import Reason, Severity, Verdict
from trimtab.core.rollout.analysis import Analysis, analyse
from trimtab.core.rollout.plan import RolloutPlan

SHADOW_STEP = -1
"""The step before the first weight: the challenger scores in shadow and answers nobody."""


def judge_rollout(policy: Policy, status: Status, snapshot: Snapshot, now: float) -> Move | None:
    """Abort on harm, go on when there is evidence of none, ask when it takes too long; otherwise wait."""
    rollout = status.rollout
    if rollout is None:
        return None
    refusal = snapshot.refused.get(rollout.version)
    if refusal is not None:
        text = f"a server refused version {rollout.version}: {refusal}"
        return abort(rollout, (Reason("VersionRefused", text),), {})
    if snapshot.rollout is None:
        return None
    analysis = analyse(rollout.plan, snapshot.rollout, rollout.step_started_at, now)
    if analysis.verdict is Verdict.FAILED:
        return abort(rollout, analysis.reasons, figures(analysis))
    if rollout.paused or any(incident.quarantines for incident in status.open_incidents):
        return None  # while the data are broken nothing is promoted on their evidence
    if not _in_force(status, snapshot):
        return None
    if rollout.plan.strategy == "blue-green":
        return _switch(rollout, snapshot)
    if analysis.verdict is Verdict.SUCCESSFUL:
        return _advance(status, rollout, analysis)
    if analysis.longest_reached:
        return _too_long(rollout, analysis, now)
    return None


def _in_force(status: Status, snapshot: Snapshot) -> bool:
    """Whether every server that told serves the routes that were decided: a step that no request has met (a file
    system that refuses the new routes, a server that cannot read them) is not passed.
    """
    return snapshot.generation is None or snapshot.generation >= status.generation


def abort(rollout: Rollout, reasons: tuple[Reason, ...], evidence: dict[str, Any]) -> Move:
    """All traffic back to the champion."""
    text = "; ".join(reason.text for reason in reasons)
    actions: tuple[Action, ...] = (
        Abort(rollout.id, rollout.version, text),
        Alert(
            Severity.SEVERE,
            f"rollout {rollout.id} of version {rollout.version} aborted",
            f"{text}. Version {rollout.champion} answers all requests.",
        ),
    )
    return Move(actions, reasons, rollout.decision, evidence)


def _switch(rollout: Rollout, snapshot: Snapshot) -> Move | None:
    if not snapshot.servers or rollout.version not in snapshot.loaded:
        return None
    reason = Reason("Loaded", f"version {rollout.version} is loaded by all {snapshot.servers} servers")
    return Move((Promote(rollout.id, rollout.version),), (reason,), rollout.decision)


def _advance(status: Status, rollout: Rollout, analysis: Analysis) -> Move | None:
    step = rollout.step + 1
    if rollout.plan.strategy == "shadow":
        return _ask_to_promote(status, rollout, analysis)
    weight = rollout.plan.steps[step] if step < len(rollout.plan.steps) else 100
    action: Action = Promote(rollout.id, rollout.version) if weight >= 100 else EnterStep(rollout.id, step, weight)
    return Move((action,), analysis.reasons, rollout.decision, figures(analysis))


def _ask_to_promote(status: Status, rollout: Rollout, analysis: Analysis) -> Move | None:
    if any(a.get("rollout") == rollout.id for question in status.approvals.values() for a in question.actions):
        return None
    title = f"promote version {rollout.version}: no worse in shadow"
    ask = AskApproval(f"a{status.seq + 1}", title, (encode(Promote(rollout.id, rollout.version)),))
    alert = Alert(Severity.MODERATE, f"approval wanted: {title}", f"trimtab approve {status.seq + 1}")
    return Move((ask, alert), analysis.reasons, rollout.decision, figures(analysis))


def _too_long(rollout: Rollout, analysis: Analysis, now: float) -> Move:
    took = now - rollout.step_started_at
    text = f"no verdict after {duration_text(took)}, at most {duration_text(rollout.plan.longest_s)}"
    reasons = (Reason("RolloutTooLong", text, took, rollout.plan.longest_s), *analysis.reasons)
    if rollout.plan.on_longest == "promote":
        return Move((Promote(rollout.id, rollout.version),), reasons, rollout.decision, figures(analysis))
    if rollout.plan.on_longest == "abort":
        return abort(rollout, reasons, figures(analysis))
    alert = Alert(
        Severity.MODERATE,
        f"rollout {rollout.id} of version {rollout.version} paused: {text}",
        f"Missing: {', '.join(analysis.missing) or 'evidence'}. trimtab promote | abort | resume",
    )
    return Move((PauseRollout(rollout.id), alert), reasons, rollout.decision, figures(analysis))


def judge_watch(policy: Policy, status: Status, snapshot: Snapshot, now: float) -> Move | None:
    """After 100 %: the predecessor still scores in shadow; if it does better, it comes back by itself."""
    watch = status.watch
    if watch is None:
        return None
    refusal = snapshot.refused.get(watch.version)
    if refusal is not None:
        text = f"a server refused version {watch.version}: {refusal}"
        back = _return(status, watch, snapshot, (Reason("VersionRefused", text),), {})
        if back is not None:
            return back
    if snapshot.watch is not None:
        analysis = analyse(watch.plan, snapshot.watch, watch.since, now)
        if analysis.verdict is Verdict.FAILED:
            back = _return(status, watch, snapshot, analysis.reasons, figures(analysis))
            if back is not None:
                return back
    if _watched(watch, snapshot, now) and _in_force(status, snapshot):
        text = f"version {watch.version} was no worse than {watch.predecessor} for {duration_text(now - watch.since)}"
        if watch.held:
            text = f"version {watch.version} did worse than {watch.predecessor}, and no earlier version could take over"
        return Move((EndWatch(watch.version),), (Reason("WatchEnded", text),), watch.decision)
    return None


def _watched(watch: Watch, snapshot: Snapshot, now: float) -> bool:
    """Whether the watch is over. One that began in the future was begun by a clock that was ahead: then it counts from
    the first answer of the new champion.
    """
    if watch.since <= now:
        return now >= watch.until
    step = None if snapshot.watch is None else snapshot.watch.step
    taken_s = None if step is None else step.taken_s
    return taken_s is not None and now >= taken_s + (watch.until - watch.since)


def _return(
    status: Status, watch: Watch, snapshot: Snapshot, reasons: tuple[Reason, ...], evidence: dict[str, Any]
) -> Move | None:
    """All traffic back to the predecessor, or to the next earlier champion where its preflight fails.

    None of them: people are told once, and it is tried again while the watch lasts.
    """
    earlier = tuple(dict.fromkeys((watch.predecessor, *status.previous)))
    tried = tuple(snapshot.proofs[version] for version in earlier if version in snapshot.proofs)
    target = next((v for v in earlier if v not in snapshot.proofs or snapshot.proofs[v].fits), None)
    reasons = (*reasons, *preflight_reasons(tried))
    body = "; ".join(reason.text for reason in reasons)
    evidence = evidence | ({"preflight": [asdict(proof) for proof in tried]} if tried else {})
    actions: tuple[Action, ...]
    if target is not None:
        title = f"rolled back from version {watch.version} to {target}"
        actions = (RollBack(target, watch.version), Alert(Severity.SEVERE, title, body))
    elif not watch.held:
        title = f"version {watch.version} does worse, and no earlier version can take over"
        actions = (HoldWatch(watch.version, body), Alert(Severity.SEVERE, title, body))
    else:
        return None
    return Move(actions, reasons, watch.decision, evidence)


def preflight_reasons(tried: tuple[Proof, ...]) -> tuple[Reason, ...]:
    """What was tried before traffic moved, for the record."""
    return tuple(
        Reason("PreflightPassed" if proof.fits else "PreflightFailed", f"version {proof.version}: {proof.text}")
        for proof in tried
    )


def deploy_waiting(policy: Policy, status: Status, snapshot: Snapshot, now: float) -> Move | None:
    """A candidate that passed its gates meets traffic: at once when it is the first, by a rollout otherwise."""
    version = status.waiting
    if version is None or status.rollout is not None:
        return None
    cause = status.recorded_by.get(version)
    if status.champion is None:
        return Move(
            (DeployFirst(version),),
            (Reason("FirstVersion", f"version {version} is the first that passed its gates"),),
            cause,
        )
    if version in status.barred or status.watch is not None or policy.mode is Mode.OBSERVE:
        return None
    if any(incident.quarantines for incident in status.open_incidents):
        return None
    start = start_rollout(status, version, policy.plan, "controller")
    reason = Reason("CandidatePassed", f"version {version} passed its gates against version {status.champion}")
    if policy.mode is Mode.AUTOMATIC:
        return Move(start, (reason,), cause)
    if any(a.get("version") == version for question in status.approvals.values() for a in question.actions):
        return None
    title = f"roll out version {version} ({policy.plan.strategy})"
    ask = AskApproval(f"a{status.seq + 1}", title, tuple(encode(action) for action in start))
    alert = Alert(Severity.MODERATE, f"approval wanted: {title}", f"{reason.text}. trimtab approve {status.seq + 1}")
    return Move((ask, alert), (reason,), cause)


def start_rollout(status: Status, version: int, plan: RolloutPlan, by: str) -> tuple[Action, ...]:
    """The actions that begin a rollout: in shadow, or at the first weight."""
    if status.champion is None:
        raise ValueError("a rollout needs a champion to compare with")
    name = f"r{status.seq + 1}"
    start = StartRollout(name, version, status.champion, plan, by)
    if plan.strategy == "canary":
        return start, EnterStep(name, 0, plan.steps[0])
    return start, EnterStep(name, SHADOW_STEP, 0)


def figures(analysis: Analysis) -> dict[str, Any]:
    """An analysis as plain figures for the record."""
    return {
        "verdict": analysis.verdict.value,
        "score": analysis.score,
        "n": analysis.rows,
        "metrics": [
            {
                "name": metric.name,
                "role": metric.role,
                "verdict": metric.verdict.value,
                "text": metric.text,
                "value": metric.value,
                "limit": metric.limit,
                "e_value": metric.e_value,
                "interval": None if metric.interval is None else list(metric.interval),
                "rows": metric.rows,
            }
            for metric in analysis.metrics
        ],
        "missing": list(analysis.missing),
        "ready_at_s": analysis.ready_at_s,
    }
