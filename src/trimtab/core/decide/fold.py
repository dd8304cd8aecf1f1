"""The fold: what each action makes of the status. One small function for each, and the table that names them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from trimtab.core.decide import actions as act
from trimtab.core.decide.actions import Action
from trimtab.core.decide.status import (
    ANSWERS_KEPT,
    Approval,
    Ended,
    Incident,
    Rollout,
    Run,
    Status,
    Training,
    Watch,
    changed,
)
from trimtab.core.domain.errors import InvariantError
from trimtab.core.rollout.table import Event, Phase, next_phase


def fold(status: Status, seq: int, at: float, actions: Iterable[Action]) -> Status:
    """The status after one more decision. The generation grows when the routes change."""
    before = status
    status = changed(status, seq=seq, at=at)
    for action in actions:
        status = _APPLY[type(action)](status, action, seq, at)
    status = _without_moot_questions(status)
    if _routed(status) != _routed(before):
        generation = before.generation + 1
        status = changed(status, generation=generation)
        if status.rollout is not None and (before.rollout is None or before.rollout.id != status.rollout.id):
            status = changed(status, rollout=replace(status.rollout, first_generation=generation))
        if status.watch is not None and before.watch is None:
            status = changed(status, watch=replace(status.watch, first_generation=generation))
        if status.champion != before.champion:
            status = changed(status, champion_generation=generation)
    return status


def _routed(status: Status) -> tuple[object, ...]:
    """What the routes are made of but for their generation: equal exactly where the routes are."""
    rollout, watch = status.rollout, status.watch
    if status.champion is None:
        return ()
    if rollout is not None:
        paired = rollout.weight > 0 and rollout.plan.paired
        return status.champion, status.salt, "rollout", rollout.version, rollout.weight, paired
    return status.champion, status.salt, "watch", None if watch is None else watch.predecessor


def _record_version(status: Status, action: act.RecordVersion, seq: int, at: float) -> Status:
    record = action.record
    waiting = status.waiting
    if action.deploy and record.deployable and (waiting is None or record.version > waiting):
        waiting = record.version  # the newest one wins, in whatever order they arrive
    return changed(
        status,
        versions={**status.versions, record.version: record},
        recorded_by={**status.recorded_by, record.version: seq},
        waiting=waiting,
    )


def _override(status: Status, action: act.OverrideGates, seq: int, at: float) -> Status:
    record = replace(status.versions[action.version], overridden_by=action.by)
    versions = {**status.versions, action.version: record}
    return changed(status, versions=versions, barred=status.barred - {action.version})


def _start_training(status: Status, action: act.StartTraining, seq: int, at: float) -> Status:
    if status.training is not None:
        raise InvariantError(f"training {status.training.spec.job} runs already")
    return changed(
        status,
        training=Training(action, at, seq),
        incidents=_answered(status, action.incident),
    )


def _finish_training(status: Status, action: act.FinishTraining, seq: int, at: float) -> Status:
    if status.training is None or status.training.spec.job != action.job:
        raise InvariantError(f"training {action.job} is not running")
    run = Run(action.job, status.training.spec.trigger, status.training.started_at, action.outcome, action.version)
    return changed(status, training=None, runs=(*status.runs, run))


def _deploy_first(status: Status, action: act.DeployFirst, seq: int, at: float) -> Status:
    if status.champion is not None:
        raise InvariantError(f"version {status.champion} is champion already; another one comes by a rollout")
    return _crown(status, action.version, at)


def _start_rollout(status: Status, action: act.StartRollout, seq: int, at: float) -> Status:
    if status.rollout is not None:
        raise InvariantError(f"rollout {status.rollout.id} is under way")
    rollout = Rollout(
        action.rollout,
        action.version,
        action.champion,
        action.plan,
        at,
        status.generation,
        step_started_at=at,
        decision=seq,
    )
    waiting = _still_waiting(status, action.version)
    return changed(status, rollout=rollout, watch=None, waiting=waiting, salt=action.rollout)


def _still_waiting(status: Status, version: int) -> int | None:
    """Who waited longer than the version that is rolled out now has missed its turn."""
    return None if status.waiting is None or status.waiting <= version else status.waiting


def _in_rollout(status: Status, rollout_id: str) -> Rollout:
    if status.rollout is None or status.rollout.id != rollout_id:
        raise InvariantError(f"rollout {rollout_id} is not under way")
    return status.rollout


def _enter_step(status: Status, action: act.EnterStep, seq: int, at: float) -> Status:
    rollout = _in_rollout(status, action.rollout)
    event = Event.SHADOW if action.weight == 0 else Event.ADVANCE if rollout.phase is Phase.PROGRESSING else Event.START
    return changed(
        status,
        rollout=replace(
            rollout,
            phase=next_phase(rollout.phase, event),
            step=action.step,
            weight=action.weight,
            step_started_at=at,
            decision=seq,
        ),
    )


def _pause(status: Status, action: act.PauseRollout, seq: int, at: float) -> Status:
    rollout = _in_rollout(status, action.rollout)
    return changed(status, rollout=replace(rollout, phase=next_phase(rollout.phase, Event.PAUSE), decision=seq))


def _resume(status: Status, action: act.ResumeRollout, seq: int, at: float) -> Status:
    rollout = _in_rollout(status, action.rollout)
    event = Event.RESUME if rollout.weight else Event.RESUME_SHADOW
    phase = next_phase(rollout.phase, event)
    return changed(status, rollout=replace(rollout, phase=phase, step_started_at=at, decision=seq))


def _promote(status: Status, action: act.Promote, seq: int, at: float) -> Status:
    rollout = _in_rollout(status, action.rollout)
    status = _end(status, rollout, Event.PROMOTE)
    watch = None
    if rollout.plan.watch_s > 0:
        watch = Watch(
            version=rollout.version,
            predecessor=rollout.champion,
            plan=rollout.plan,
            since=at,
            until=at + rollout.plan.watch_s,
            first_generation=status.generation,
            decision=seq,
        )
    return changed(_crown(status, rollout.version, at), watch=watch)


def _abort(status: Status, action: act.Abort, seq: int, at: float) -> Status:
    return _end(status, _in_rollout(status, action.rollout), Event.ABORT)


def _supersede(status: Status, action: act.Supersede, seq: int, at: float) -> Status:
    return _end(status, _in_rollout(status, action.rollout), Event.SUPERSEDE)


def _end(status: Status, rollout: Rollout, event: Event) -> Status:
    """The rollout is over; a challenger that was aborted is barred."""
    phase = next_phase(rollout.phase, event)
    barred = status.barred | {rollout.version} if phase is Phase.ABORTED else status.barred
    return changed(status, rollout=None, barred=barred, ended=Ended(rollout.id, rollout.version, phase))


def _hold_watch(status: Status, action: act.HoldWatch, seq: int, at: float) -> Status:
    if status.watch is None or status.watch.version != action.version:
        raise InvariantError(f"version {action.version} is not under watch")
    return changed(status, watch=replace(status.watch, held=True, decision=seq))


def _end_watch(status: Status, action: act.EndWatch, seq: int, at: float) -> Status:
    return changed(status, watch=None)


def _roll_back(status: Status, action: act.RollBack, seq: int, at: float) -> Status:
    if status.champion != action.from_version:
        raise InvariantError(f"cannot roll back from {action.from_version}: champion is {status.champion}")
    if status.rollout is not None:
        status = _end(status, status.rollout, Event.ABORT)
    crowned = _crown(changed(status, watch=None), action.version, at)
    return changed(
        crowned,
        previous=tuple(v for v in crowned.previous if v != action.from_version),
        barred=crowned.barred | {action.from_version},
        returned_from=action.from_version,
    )


def _crown(status: Status, version: int, at: float) -> Status:
    previous = status.previous
    if status.champion is not None:
        previous = (status.champion, *previous)
    previous = tuple(v for v in previous if v != version)
    # Trouble with how well a model does ends with that model; a fault of the data or the labels does not.
    incidents = tuple(i if i.until is not None or i.quarantines else replace(i, until=at) for i in status.incidents)
    return changed(
        status,
        champion=version,
        champion_since=at,
        previous=previous,
        incidents=incidents,
        barred=status.barred - {version},
        waiting=None if status.waiting == version else status.waiting,
        served=status.served | {version},
        returned_from=None,
    )


def _open_incident(status: Status, action: act.OpenIncident, seq: int, at: float) -> Status:
    incident = Incident(
        id=action.incident,
        kind=action.kind,
        remedy=action.remedy,
        severity=action.severity,
        since=action.since,
        features=action.features,
        text=action.text,
        opened_at=at,
        decision=seq,
        champion=status.champion,
    )
    return changed(status, incidents=(*status.incidents, incident))


def _close_incident(status: Status, action: act.CloseIncident, seq: int, at: float) -> Status:
    return changed(
        status,
        incidents=tuple(replace(i, until=action.until) if i.id == action.incident else i for i in status.incidents),
    )


def _ask(status: Status, action: act.AskApproval, seq: int, at: float) -> Status:
    question = Approval(action.approval, action.title, action.actions, at, seq)
    incident = next((a.get("incident") for a in action.actions if a.get("incident")), None)
    return changed(
        status, approvals={**status.approvals, action.approval: question}, incidents=_answered(status, incident)
    )


def _answer(status: Status, action: act.Answer, seq: int, at: float) -> Status:
    left = {key: value for key, value in status.approvals.items() if key != action.approval}
    question = status.approvals.get(action.approval)
    answered = (*status.answered, (action.approval, action.approved))[-ANSWERS_KEPT:]
    status = changed(status, approvals=left, answered=answered)
    return status if action.approved or question is None else _declined(status, question, at)


def _declined(status: Status, question: Approval, at: float) -> Status:
    """No is an answer: the same is not asked again at the next tick."""
    for action in question.actions:
        if action["type"] == act.StartRollout.__name__:
            version = int(action["version"])
            waiting = None if status.waiting == version else status.waiting
            status = changed(status, barred=status.barred | {version}, waiting=waiting)
        elif action["type"] == act.StartTraining.__name__:
            status = changed(status, declined_at=at)
    return status


def _answered(status: Status, incident_id: str | None) -> tuple[Incident, ...]:
    return tuple(replace(i, answered=True) if i.id == incident_id else i for i in status.incidents)


def _without_moot_questions(status: Status) -> Status:
    """A question that cannot be carried out any more would wait for ever, and keep a better one from being asked."""
    left = {key: question for key, question in status.approvals.items() if not _moot(status, question)}
    return status if len(left) == len(status.approvals) else changed(status, approvals=left)


def _moot(status: Status, question: Approval) -> bool:
    rollout = None if status.rollout is None else status.rollout.id
    for action in question.actions:
        if action["type"] == act.Promote.__name__ and action["rollout"] != rollout:
            return True
        if action["type"] == act.StartRollout.__name__ and (
            action["champion"] != status.champion
            or action["version"] in status.barred
            or (status.waiting is not None and action["version"] < status.waiting)
        ):
            return True
    return False


def _same(status: Status, action: Action, seq: int, at: float) -> Status:
    return status


_APPLY: dict[type, Any] = {
    act.RecordVersion: _record_version,
    act.OverrideGates: _override,
    act.StartTraining: _start_training,
    act.FinishTraining: _finish_training,
    act.DeployFirst: _deploy_first,
    act.StartRollout: _start_rollout,
    act.EnterStep: _enter_step,
    act.PauseRollout: _pause,
    act.ResumeRollout: _resume,
    act.Promote: _promote,
    act.Abort: _abort,
    act.Supersede: _supersede,
    act.HoldWatch: _hold_watch,
    act.EndWatch: _end_watch,
    act.RollBack: _roll_back,
    act.OpenIncident: _open_incident,
    act.CloseIncident: _close_incident,
    act.Alert: _same,
    act.AskApproval: _ask,
    act.Answer: _answer,
    act.Note: _same,
}
