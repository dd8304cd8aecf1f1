"""What is, according to the journal: a fold over the actions, and the routes that follow from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

from trimtab.core.decide import actions as act
from trimtab.core.decide.actions import Action
from trimtab.core.domain.diagnosis import Kind, Remedy
from trimtab.core.domain.errors import InvariantError
from trimtab.core.domain.gate import VersionRecord
from trimtab.core.domain.routes import Routes, Share
from trimtab.core.domain.verdict import Severity
from trimtab.core.rollout.plan import RolloutPlan
from trimtab.core.rollout.table import Event, Phase, next_phase

FAULTS = (Kind.DATA_FAULT, Kind.LABEL_FAULT)
"""Incidents whose window is quarantined."""
ANSWERS_KEPT = 50


@dataclass(frozen=True, slots=True)
class Rollout:
    """A challenger on its way."""

    id: str
    version: int
    champion: int
    plan: RolloutPlan
    started_at: float
    first_generation: int
    """The generation of routes that began it: rows of earlier ones are not its evidence."""
    step: int = 0
    weight: int = 0
    step_started_at: float = 0.0
    phase: Phase = Phase.PENDING
    decision: int = 0
    """The newest decision about it: the cause of the next."""

    @property
    def paused(self) -> bool:
        return self.phase is Phase.PAUSED


@dataclass(frozen=True, slots=True)
class Watch:
    """A promoted champion under watch, its predecessor in shadow."""

    version: int
    predecessor: int
    plan: RolloutPlan
    since: float
    until: float
    first_generation: int
    decision: int
    held: bool = False
    """It does worse, and people were told that no earlier version can take over."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The newest rollout that ended, so that a command that is given twice is known again."""

    id: str
    version: int
    phase: Phase


@dataclass(frozen=True, slots=True)
class Training:
    """A training run that was asked for."""

    spec: act.StartTraining
    started_at: float
    decision: int


@dataclass(frozen=True, slots=True)
class Run:
    """A training run that ended."""

    job: str
    trigger: str
    started_at: float
    outcome: str
    version: int | None


@dataclass(frozen=True, slots=True)
class Incident:
    """Something wrong, open until ``until`` is set."""

    id: str
    kind: Kind
    remedy: Remedy
    severity: Severity
    since: float
    features: tuple[str, ...]
    text: str
    opened_at: float
    decision: int
    champion: int | None
    until: float | None = None
    answered: bool = False
    """A training run, rollback or question was started for it."""

    @property
    def quarantines(self) -> bool:
        return self.kind in FAULTS


@dataclass(frozen=True, slots=True)
class Approval:
    """A question to a person."""

    id: str
    title: str
    actions: tuple[dict[str, Any], ...]
    asked_at: float
    decision: int


@dataclass(frozen=True, slots=True)
class Status:
    """The state of the loop after entry ``seq``."""

    seq: int = 0
    at: float = 0.0
    champion: int | None = None
    champion_since: float = 0.0
    champion_generation: int = 0
    previous: tuple[int, ...] = ()
    """Earlier champions, newest first: the targets of a rollback."""
    barred: frozenset[int] = frozenset()
    """Versions that were aborted, rolled back from or declined: not rolled out again without a person."""
    versions: dict[int, VersionRecord] = field(default_factory=dict)
    recorded_by: dict[int, int] = field(default_factory=dict)
    """Version to the decision that recorded it."""
    waiting: int | None = None
    """The newest candidate that passed its gates and waits for its rollout."""
    generation: int = 0
    salt: str = "r0"
    rollout: Rollout | None = None
    watch: Watch | None = None
    training: Training | None = None
    runs: tuple[Run, ...] = ()
    """Ended training runs, oldest first."""
    incidents: tuple[Incident, ...] = ()
    """All, oldest first."""
    approvals: dict[str, Approval] = field(default_factory=dict)
    declined_at: float | None = None
    """When a person last declined a training run: the cool-down counts from there too."""
    served: frozenset[int] = frozenset()
    """Every version that ever was champion: what a rollback may name."""
    returned_from: int | None = None
    """The champion came back by a rollback from this version, and nothing was promoted since."""
    ended: Ended | None = None
    answered: tuple[tuple[str, bool], ...] = ()
    """The newest questions that people answered, and whether they approved; at most ``ANSWERS_KEPT``."""

    @property
    def open_incidents(self) -> tuple[Incident, ...]:
        return tuple(incident for incident in self.incidents if incident.until is None)

    @property
    def quarantines(self) -> tuple[tuple[float, float | None, tuple[str, ...]], ...]:
        """Windows that must not be trained on."""
        return tuple((i.since, i.until, i.features) for i in self.incidents if i.quarantines)


_FIELDS = {name: place for place, name in enumerate(Status.__dataclass_fields__)}
_VALUES = attrgetter(*_FIELDS)


def _with(status: Status, /, **changes: Any) -> Status:
    """``dataclasses.replace`` in half the time: every command folds the journal from its beginning."""
    values = list(_VALUES(status))
    for name, value in changes.items():
        values[_FIELDS[name]] = value
    return Status(*values)


def routes_of(status: Status) -> Routes | None:
    """The routes that must be in force; None before the first deployment."""
    if status.champion is None:
        return None
    rollout, watch = status.rollout, status.watch
    split: tuple[Share, ...] = (Share(status.champion, 100),)
    shadow: tuple[int, ...] = ()
    arms = {status.champion: "champion"}
    if rollout is not None:
        arms[rollout.version] = "challenger"
        if rollout.weight > 0:
            split = (Share(status.champion, 100 - rollout.weight), Share(rollout.version, rollout.weight))
            shadow = (status.champion, rollout.version) if rollout.plan.paired else ()
        else:
            shadow = (rollout.version,)
    elif watch is not None:
        arms[watch.predecessor] = "challenger"
        shadow = (watch.predecessor,)
    return Routes(generation=status.generation, salt=status.salt, split=split, shadow=shadow, arms=arms)


def warm_of(status: Status, keep: int) -> tuple[int, ...]:
    """The newest ``keep`` earlier champions: they stay installed and loaded, so that a rollback only moves weights."""
    return status.previous[:keep]


def fold(status: Status, seq: int, at: float, actions: Iterable[Action]) -> Status:
    """The status after one more decision. The generation grows when the routes change."""
    before = status
    status = _with(status, seq=seq, at=at)
    for action in actions:
        status = _APPLY[type(action)](status, action, seq, at)
    status = _without_moot_questions(status)
    if _routed(status) != _routed(before):
        generation = before.generation + 1
        status = _with(status, generation=generation)
        if status.rollout is not None and (before.rollout is None or before.rollout.id != status.rollout.id):
            status = _with(status, rollout=replace(status.rollout, first_generation=generation))
        if status.watch is not None and before.watch is None:
            status = _with(status, watch=replace(status.watch, first_generation=generation))
        if status.champion != before.champion:
            status = _with(status, champion_generation=generation)
    return status


def check_invariants(status: Status) -> None:
    """Rules that hold after every entry.

    Raises:
        InvariantError: naming the rule.
    """
    serving = {status.champion} if status.champion is not None else set()
    if status.rollout is not None:
        serving.add(status.rollout.version)
        if status.rollout.champion != status.champion:
            raise InvariantError(
                f"rollout {status.rollout.id} compares with {status.rollout.champion}, "
                f"but champion is {status.champion}"
            )
        if status.rollout.version == status.champion:
            raise InvariantError(f"version {status.champion} would be champion and challenger")
    for version in serving:
        record = status.versions.get(version)
        if record is None:
            raise InvariantError(f"version {version} would serve and was never registered")
        if not record.deployable:
            raise InvariantError(
                f"version {version} would serve, but its gates say {record.verdict} and nobody overrode them"
            )
    if status.rollout is not None and status.watch is not None:
        raise InvariantError("a watch and a rollout at once: two comparisons would share the traffic")
    routes_of(status)


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
    return _with(
        status,
        versions={**status.versions, record.version: record},
        recorded_by={**status.recorded_by, record.version: seq},
        waiting=waiting,
    )


def _override(status: Status, action: act.OverrideGates, seq: int, at: float) -> Status:
    record = replace(status.versions[action.version], overridden_by=action.by)
    return _with(status, versions={**status.versions, action.version: record}, barred=status.barred - {action.version})


def _start_training(status: Status, action: act.StartTraining, seq: int, at: float) -> Status:
    if status.training is not None:
        raise InvariantError(f"training {status.training.spec.job} runs already")
    return _with(
        status,
        training=Training(action, at, seq),
        incidents=_answered(status, action.incident),
    )


def _finish_training(status: Status, action: act.FinishTraining, seq: int, at: float) -> Status:
    if status.training is None or status.training.spec.job != action.job:
        raise InvariantError(f"training {action.job} is not running")
    run = Run(action.job, status.training.spec.trigger, status.training.started_at, action.outcome, action.version)
    return _with(status, training=None, runs=(*status.runs, run))


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
    return _with(status, rollout=rollout, watch=None, waiting=waiting, salt=action.rollout)


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
    return _with(
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
    return _with(status, rollout=replace(rollout, phase=next_phase(rollout.phase, Event.PAUSE), decision=seq))


def _resume(status: Status, action: act.ResumeRollout, seq: int, at: float) -> Status:
    rollout = _in_rollout(status, action.rollout)
    event = Event.RESUME if rollout.weight else Event.RESUME_SHADOW
    phase = next_phase(rollout.phase, event)
    return _with(status, rollout=replace(rollout, phase=phase, step_started_at=at, decision=seq))


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
    return _with(_crown(status, rollout.version, at), watch=watch)


def _abort(status: Status, action: act.Abort, seq: int, at: float) -> Status:
    return _end(status, _in_rollout(status, action.rollout), Event.ABORT)


def _supersede(status: Status, action: act.Supersede, seq: int, at: float) -> Status:
    return _end(status, _in_rollout(status, action.rollout), Event.SUPERSEDE)


def _end(status: Status, rollout: Rollout, event: Event) -> Status:
    """The rollout is over; a challenger that was aborted is barred."""
    phase = next_phase(rollout.phase, event)
    barred = status.barred | {rollout.version} if phase is Phase.ABORTED else status.barred
    return _with(status, rollout=None, barred=barred, ended=Ended(rollout.id, rollout.version, phase))


def _hold_watch(status: Status, action: act.HoldWatch, seq: int, at: float) -> Status:
    if status.watch is None or status.watch.version != action.version:
        raise InvariantError(f"version {action.version} is not under watch")
    return _with(status, watch=replace(status.watch, held=True, decision=seq))


def _end_watch(status: Status, action: act.EndWatch, seq: int, at: float) -> Status:
    return _with(status, watch=None)


def _roll_back(status: Status, action: act.RollBack, seq: int, at: float) -> Status:
    if status.champion != action.from_version:
        raise InvariantError(f"cannot roll back from {action.from_version}: champion is {status.champion}")
    if status.rollout is not None:
        status = _end(status, status.rollout, Event.ABORT)
    crowned = _crown(_with(status, watch=None), action.version, at)
    return _with(
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
    return _with(
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
    return _with(status, incidents=(*status.incidents, incident))


def _close_incident(status: Status, action: act.CloseIncident, seq: int, at: float) -> Status:
    return _with(
        status,
        incidents=tuple(replace(i, until=action.until) if i.id == action.incident else i for i in status.incidents),
    )


def _ask(status: Status, action: act.AskApproval, seq: int, at: float) -> Status:
    question = Approval(action.approval, action.title, action.actions, at, seq)
    incident = next((a.get("incident") for a in action.actions if a.get("incident")), None)
    return _with(
        status, approvals={**status.approvals, action.approval: question}, incidents=_answered(status, incident)
    )


def _answer(status: Status, action: act.Answer, seq: int, at: float) -> Status:
    left = {key: value for key, value in status.approvals.items() if key != action.approval}
    question = status.approvals.get(action.approval)
    answered = (*status.answered, (action.approval, action.approved))[-ANSWERS_KEPT:]
    status = _with(status, approvals=left, answered=answered)
    return status if action.approved or question is None else _declined(status, question, at)


def _declined(status: Status, question: Approval, at: float) -> Status:
    """No is an answer: the same is not asked again at the next tick."""
    for action in question.actions:
        if action["type"] == act.StartRollout.__name__:
            version = int(action["version"])
            waiting = None if status.waiting == version else status.waiting
            status = _with(status, barred=status.barred | {version}, waiting=waiting)
        elif action["type"] == act.StartTraining.__name__:
            status = _with(status, declined_at=at)
    return status


def _answered(status: Status, incident_id: str | None) -> tuple[Incident, ...]:
    return tuple(replace(i, answered=True) if i.id == incident_id else i for i in status.incidents)


def _without_moot_questions(status: Status) -> Status:
    """A question that cannot be carried out any more would wait for ever, and keep a better one from being asked."""
    left = {key: question for key, question in status.approvals.items() if not _moot(status, question)}
    return status if len(left) == len(status.approvals) else _with(status, approvals=left)


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
