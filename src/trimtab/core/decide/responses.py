"""What is done about an incident, about the calendar, and about a training run that ended."""

from __future__ import annotations

from dataclasses import replace

from trimtab.core.decide.actions import Action, Alert, AskApproval, FinishTraining, RecordVersion, StartTraining
from trimtab.core.decide.encode import encode
from trimtab.core.decide.moves import Move
from trimtab.core.decide.policy import Mode, Policy
from trimtab.core.decide.snapshot import JobFact, Snapshot
from trimtab.core.decide.status import Incident, Status
from trimtab.core.domain.diagnosis import Remedy
from trimtab.core.domain.times import DAY_S, duration_text, iso
from trimtab.core.domain.verdict import Reason, Severity, Verdict
from trimtab.core.policy.advise import figures

_BUDGET_S = 30 * DAY_S


def record_jobs(policy: Policy, status: Status, snapshot: Snapshot, now: float) -> Move | None:
    """A training run ended: keep its outcome, and its version where there is one."""
    training = status.training
    fact = next((job for job in snapshot.jobs if training is not None and job.job == training.spec.job), None)
    if training is None or fact is None:
        return None
    actions: list[Action] = [RecordVersion(other, deploy=False) for other in fact.others]
    if fact.record is not None:
        actions.append(RecordVersion(fact.record))
    version = fact.record.version if fact.record is not None else None
    actions.append(FinishTraining(fact.job, fact.outcome, version, fact.text))
    if fact.outcome != "registered":
        title = f"training {fact.job} {fact.outcome}" + (f": version {version}" if version is not None else "")
        actions.append(Alert(Severity.MODERATE, title, fact.text or "see its log under .trimtab/jobs"))
    return Move(tuple(actions), _reasons_of(fact), cause=training.decision)


def _reasons_of(fact: JobFact) -> tuple[Reason, ...]:
    if fact.record is None:
        return (Reason("TrainingEnded", fact.text or fact.outcome),)
    codes = {Verdict.SUCCESSFUL: "GatePassed", Verdict.FAILED: "GateFailed"}
    made = (Reason("StrategyChosen", fact.record.made),) if fact.record.made else ()
    return made + tuple(
        Reason(codes.get(gate.verdict, "GateInconclusive"), f"{gate.gate}: {gate.text}", gate.value, gate.limit)
        for gate in fact.record.gates
    )


def respond(policy: Policy, status: Status, snapshot: Snapshot, now: float) -> Move | None:
    """An open incident asks for a new model, or for new scores of the old one: start it, ask for it, or hold."""
    if policy.mode is Mode.OBSERVE or not policy.retrain.on_drift:
        return None
    for incident in status.open_incidents:
        if incident.remedy not in (Remedy.RETRAIN, Remedy.RECALIBRATE) or incident.severity is Severity.MINOR:
            continue
        if not _may_train(policy, status, now):
            return None
        if incident.answered and not _tried_before(status, incident):
            continue  # a question about it waits for its answer
        code = "RecalibrateForIncident" if _recalibrates(status, incident) else "RetrainForIncident"
        reason = Reason(code, f"{incident.kind.value} since {iso(incident.since)}: {incident.text}")
        return _train(policy, status, now, "drift", reason, incident)
    return None


def retrain_when_it_pays(policy: Policy, status: Status, snapshot: Snapshot, now: float) -> Move | None:
    """What a run is expected to gain has added up to its price."""
    advice = snapshot.advice
    if policy.mode is Mode.OBSERVE or not policy.retrain.on_payoff or status.champion is None:
        return None
    if advice is None or not advice.train or not _may_train(policy, status, now):
        return None
    move = _train(policy, status, now, "payoff", advice.reason, None)
    return replace(move, evidence=figures(advice))


def retrain_on_schedule(policy: Policy, status: Status, snapshot: Snapshot, now: float) -> Move | None:
    """The calendar asks for a new model."""
    every_s = policy.retrain.every_s
    if policy.mode is Mode.OBSERVE or every_s is None or status.champion is None:
        return None
    made = [record.created_at for record in status.versions.values()] + [run.started_at for run in status.runs]
    newest = _newest(made, now)
    if newest is None or now - newest < every_s or not _may_train(policy, status, now):
        return None
    text = f"the newest training run is {duration_text(now - newest)} old, at least {duration_text(every_s)}"
    return _train(policy, status, now, "schedule", Reason("RetrainOnSchedule", text, now - newest, every_s), None)


def _may_train(policy: Policy, status: Status, now: float) -> bool:
    """Never twice at once, never during a rollout or on broken data, not too soon after the last, and within the
    budget.
    """
    if status.training is not None or status.rollout is not None or status.waiting is not None:
        return False
    if any(incident.quarantines for incident in status.open_incidents):
        return False
    if any(action.get("type") == "StartTraining" for a in status.approvals.values() for action in a.actions):
        return False
    starts = [run.started_at for run in status.runs]
    newest = _newest([*starts, *(() if status.declined_at is None else (status.declined_at,))], now)
    if newest is not None and now - newest < policy.retrain.cooldown_s:
        return False
    return sum(now - start < _BUDGET_S for start in starts) < policy.retrain.budget


def _newest(moments: list[float], now: float) -> float | None:
    """The newest moment up to now; later ones were noted by a clock that was ahead, and would hold everything up."""
    return max((moment for moment in moments if moment <= now), default=None)


def _recalibrates(status: Status, incident: Incident | None) -> bool:
    """Only the base rate moved: the scores are mapped first; where that did not end it, a model is trained."""
    return incident is not None and incident.remedy is Remedy.RECALIBRATE and not _tried_before(status, incident)


def partners(status: Status, blend: int | None) -> tuple[int, ...]:
    """Versions that a new one may answer together with: the champion, then the newest that passed and were never taken
    back. A blend is none itself, and a version that was corrected gives way to its correction.
    """
    if blend is None:
        return ()
    corrected = {record.parent for record in status.versions.values() if record.strategy == "recalibrate"}
    fit = [
        version
        for version, record in status.versions.items()
        if record.deployable and not record.members and version not in status.barred and version not in corrected
    ]
    fit.sort(key=lambda version: (version == status.champion, version), reverse=True)
    return tuple(fit[: blend - 1])


def _tried_before(status: Status, incident: Incident) -> bool:
    """A run was started after the incident opened and ended without ending it (the cool-down has passed already)."""
    return any(run.started_at >= incident.opened_at for run in status.runs)


def _train(policy: Policy, status: Status, now: float, trigger: str, reason: Reason, incident: Incident | None) -> Move:
    recalibrates = _recalibrates(status, incident)
    strategy = "recalibrate" if recalibrates else policy.retrain.strategy
    action = StartTraining(
        job=f"t{status.seq + 1}",
        trigger=trigger,
        strategy=strategy,
        window_s=None if recalibrates else policy.retrain.window_s,
        since=incident.since if incident is not None and strategy in ("auto", "recalibrate") else None,
        until=now,
        quarantines=status.quarantines,
        champion=status.champion,
        incident=None if incident is None else incident.id,
        retained=() if recalibrates else partners(status, policy.retrain.blend),
    )
    cause = None if incident is None else incident.decision
    failures = _failures_in_a_row(status)
    if policy.mode is Mode.AUTOMATIC and failures < policy.retrain.breaker:
        return Move((action,), (reason,), cause)
    reasons: tuple[Reason, ...] = (reason,)
    if failures >= policy.retrain.breaker:
        text = f"the last {failures} training runs gave no deployable version"
        reasons = (reason, Reason("CircuitBreaker", text, failures, policy.retrain.breaker))
    title = f"{'recalibrate the champion' if recalibrates else 'train a new version'} ({trigger})"
    ask = AskApproval(f"a{status.seq + 1}", title, (encode(action),))
    alert = Alert(
        Severity.MODERATE, f"approval wanted: {title}", f"{reasons[-1].text}. trimtab approve {status.seq + 1}"
    )
    return Move((ask, alert), reasons, cause)


def _failures_in_a_row(status: Status) -> int:
    count = 0
    for run in reversed(status.runs):
        if run.outcome == "registered":
            break
        count += 1
    return count
