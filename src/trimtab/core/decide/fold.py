"""The fold: what each action makes of the status. One small function for each, and the table that names them.

The functions change an ``OpenStatus`` in place; from outside the fold is pure: a frozen status in, a frozen one out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trimtab.core.decide import actions as act
from trimtab.core.decide.actions import Action
from trimtab.core.decide.open_status import OpenStatus, Routed, changed
from trimtab.core.decide.status import ANSWERS_KEPT, Approval, Ended, Incident, Rollout, Run, Status, Training, Watch
from trimtab.core.domain.diagnosis import Kind
from trimtab.core.domain.errors import InvariantError
from trimtab.core.rollout.table import Event, Phase, next_phase

Folded = tuple[int, float, Iterable[Action]]
"""What the fold needs of an entry: (seq, at, actions)."""

IGNORED = (act.Alert, act.Note)
"""Actions that change nothing: who reads a journal for its fold need not read them."""


def fold(status: Status, seq: int, at: float, actions: Iterable[Action]) -> Status:
    """The status after one more decision. The generation grows when the routes change."""
    return fold_all(status, ((seq, at, actions),))


def fold_all(status: Status, entries: Iterable[Folded]) -> Status:
    """The status after these decisions, in order; the same as folding one after the other, and linear in them.

    Raises:
        InvariantError: an action is not possible where it stands; ``status`` is as it was.
    """
    opened = OpenStatus.of(status)
    routed = opened.routed()
    for seq, at, actions in entries:
        routed = _fold_one(opened, seq, at, actions, routed)
    return opened.closed()


def _fold_one(status: OpenStatus, seq: int, at: float, actions: Iterable[Action], routed_before: Routed) -> Routed:
    rollout, watch, champion = status.rollout, status.watch, status.champion
    status.seq, status.at = seq, at
    for action in actions:
        _APPLY[type(action)](status, action, seq, at)
    if status.approvals:
        _drop_moot_questions(status)
    routed = status.routed()
    if routed != routed_before:
        status.generation += 1
        if status.rollout is not None and (rollout is None or rollout.id != status.rollout.id):
            status.rollout = changed(status.rollout, first_generation=status.generation)
        if status.watch is not None and watch is None:
            status.watch = changed(status.watch, first_generation=status.generation)
        if status.champion != champion:
            status.champion_generation = status.generation
    return routed


def _record_version(status: OpenStatus, action: act.RecordVersion, seq: int, at: float) -> None:
    record = action.record
    if action.deploy and record.deployable and (status.waiting is None or record.version > status.waiting):
        status.waiting = record.version  # the newest one wins, in whatever order they arrive
    status.versions[record.version] = record
    status.recorded_by[record.version] = seq


def _override(status: OpenStatus, action: act.OverrideGates, seq: int, at: float) -> None:
    status.versions[action.version] = changed(status.versions[action.version], overridden_by=action.by)
    status.barred.discard(action.version)


def _start_training(status: OpenStatus, action: act.StartTraining, seq: int, at: float) -> None:
    if status.training is not None:
        raise InvariantError(f"training {status.training.spec.job} runs already")
    status.training = Training(action, at, seq)
    _mark_answered(status, action.incident)


def _finish_training(status: OpenStatus, action: act.FinishTraining, seq: int, at: float) -> None:
    if status.training is None or status.training.spec.job != action.job:
        raise InvariantError(f"training {action.job} is not running")
    run = Run(action.job, status.training.spec.trigger, status.training.started_at, action.outcome, action.version)
    status.training = None
    status.runs.append(run)


def _deploy_first(status: OpenStatus, action: act.DeployFirst, seq: int, at: float) -> None:
    if status.champion is not None:
        raise InvariantError(f"version {status.champion} is champion already; another one comes by a rollout")
    _crown(status, action.version, at)


def _adopt(status: OpenStatus, action: act.Adopt, seq: int, at: float) -> None:
    if action.generation <= status.generation or status.rollout is not None:
        raise InvariantError(f"routes of generation {action.generation} cannot be adopted at {status.generation}")
    status.generation = action.generation
    status.salt, status.watch = f"a{seq}", None
    _crown(status, action.version, at)
    status.previous = dict.fromkeys(reversed(action.previous))
    status.served.update(action.previous)


def _start_rollout(status: OpenStatus, action: act.StartRollout, seq: int, at: float) -> None:
    if status.rollout is not None:
        raise InvariantError(f"rollout {status.rollout.id} is under way")
    status.rollout = Rollout(
        action.rollout,
        action.version,
        action.champion,
        action.plan,
        at,
        status.generation,
        step_started_at=at,
        decision=seq,
    )
    status.watch = None
    status.salt = action.rollout
    if status.waiting is not None and status.waiting <= action.version:
        status.waiting = None  # who waited longer than the version that is rolled out now has missed its turn


def _in_rollout(status: OpenStatus, rollout_id: str) -> Rollout:
    if status.rollout is None or status.rollout.id != rollout_id:
        raise InvariantError(f"rollout {rollout_id} is not under way")
    return status.rollout


def _enter_step(status: OpenStatus, action: act.EnterStep, seq: int, at: float) -> None:
    rollout = _in_rollout(status, action.rollout)
    event = Event.SHADOW if action.weight == 0 else Event.ADVANCE if rollout.phase is Phase.PROGRESSING else Event.START
    status.rollout = changed(
        rollout,
        phase=next_phase(rollout.phase, event),
        step=action.step,
        weight=action.weight,
        step_started_at=at,
        decision=seq,
    )


def _pause(status: OpenStatus, action: act.PauseRollout, seq: int, at: float) -> None:
    rollout = _in_rollout(status, action.rollout)
    status.rollout = changed(rollout, phase=next_phase(rollout.phase, Event.PAUSE), decision=seq)


def _resume(status: OpenStatus, action: act.ResumeRollout, seq: int, at: float) -> None:
    rollout = _in_rollout(status, action.rollout)
    event = Event.RESUME if rollout.weight else Event.RESUME_SHADOW
    status.rollout = changed(rollout, phase=next_phase(rollout.phase, event), step_started_at=at, decision=seq)


def _promote(status: OpenStatus, action: act.Promote, seq: int, at: float) -> None:
    rollout = _in_rollout(status, action.rollout)
    _end(status, rollout, Event.PROMOTE)
    status.watch = None
    if rollout.plan.watch_s > 0:
        status.watch = Watch(
            version=rollout.version,
            predecessor=rollout.champion,
            plan=rollout.plan,
            since=at,
            until=at + rollout.plan.watch_s,
            first_generation=status.generation,
            decision=seq,
        )
    _crown(status, rollout.version, at)


def _abort(status: OpenStatus, action: act.Abort, seq: int, at: float) -> None:
    _end(status, _in_rollout(status, action.rollout), Event.ABORT)


def _supersede(status: OpenStatus, action: act.Supersede, seq: int, at: float) -> None:
    _end(status, _in_rollout(status, action.rollout), Event.SUPERSEDE)


def _end(status: OpenStatus, rollout: Rollout, event: Event) -> None:
    """The rollout is over; a challenger that was aborted is barred."""
    phase = next_phase(rollout.phase, event)
    if phase is Phase.ABORTED:
        status.barred.add(rollout.version)
    status.rollout = None
    status.ended = Ended(rollout.id, rollout.version, phase)


def _hold_watch(status: OpenStatus, action: act.HoldWatch, seq: int, at: float) -> None:
    if status.watch is None or status.watch.version != action.version:
        raise InvariantError(f"version {action.version} is not under watch")
    status.watch = changed(status.watch, held=True, decision=seq)


def _end_watch(status: OpenStatus, action: act.EndWatch, seq: int, at: float) -> None:
    status.watch = None


def _roll_back(status: OpenStatus, action: act.RollBack, seq: int, at: float) -> None:
    if status.champion != action.from_version:
        raise InvariantError(f"cannot roll back from {action.from_version}: champion is {status.champion}")
    if status.rollout is not None:
        _end(status, status.rollout, Event.ABORT)
    status.watch = None
    _crown(status, action.version, at)
    status.previous.pop(action.from_version, None)
    status.barred.add(action.from_version)
    status.returned_from = action.from_version


def _crown(status: OpenStatus, version: int, at: float) -> None:
    if status.champion is not None:
        status.previous.pop(status.champion, None)
        status.previous[status.champion] = None
    status.previous.pop(version, None)
    # Trouble with how well a model does ends with that model; a fault of the data, labels or servers does not.
    for incident in status.open_incidents():
        if not incident.quarantines and incident.kind is not Kind.SERVING_FAULT:
            status.put_incident(changed(incident, until=at))
    status.champion, status.champion_since = version, at
    status.barred.discard(version)
    status.served.add(version)
    status.returned_from = None
    if status.waiting == version:
        status.waiting = None


def _open_incident(status: OpenStatus, action: act.OpenIncident, seq: int, at: float) -> None:
    status.add_incident(
        Incident(
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
    )


def _close_incident(status: OpenStatus, action: act.CloseIncident, seq: int, at: float) -> None:
    incident = status.incident(action.incident)
    if incident is not None:
        status.put_incident(changed(incident, until=action.until))


def _ask(status: OpenStatus, action: act.AskApproval, seq: int, at: float) -> None:
    status.approvals[action.approval] = Approval(action.approval, action.title, action.actions, at, seq)
    _mark_answered(status, next((a.get("incident") for a in action.actions if a.get("incident")), None))


def _answer(status: OpenStatus, action: act.Answer, seq: int, at: float) -> None:
    question = status.approvals.pop(action.approval, None)
    status.answered = (*status.answered, (action.approval, action.approved))[-ANSWERS_KEPT:]
    if not action.approved and question is not None:
        _decline(status, question, at)


def _decline(status: OpenStatus, question: Approval, at: float) -> None:
    """No is an answer: the same is not asked again at the next tick."""
    for action in question.actions:
        if action["type"] == act.StartRollout.__name__:
            version = int(action["version"])
            status.barred.add(version)
            if status.waiting == version:
                status.waiting = None
        elif action["type"] == act.StartTraining.__name__:
            status.declined_at = at


def _mark_answered(status: OpenStatus, incident_id: str | None) -> None:
    incident = status.incident(incident_id)
    if incident is not None:
        status.put_incident(changed(incident, answered=True))


def _drop_moot_questions(status: OpenStatus) -> None:
    """A question that cannot be carried out any more would wait for ever, and keep a better one from being asked."""
    for key in [key for key, question in status.approvals.items() if _moot(status, question)]:
        del status.approvals[key]


def _moot(status: OpenStatus, question: Approval) -> bool:
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


def _same(status: OpenStatus, action: Action, seq: int, at: float) -> None:
    """Nothing changes."""


_APPLY: dict[type, Any] = {
    act.RecordVersion: _record_version,
    act.OverrideGates: _override,
    act.StartTraining: _start_training,
    act.FinishTraining: _finish_training,
    act.DeployFirst: _deploy_first,
    act.Adopt: _adopt,
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
