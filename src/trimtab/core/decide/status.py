"""What is, according to the journal: a fold over the actions, and the routes that follow from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from trimtab.core.decide import actions as act
from trimtab.core.domain.diagnosis import Kind, Remedy
from trimtab.core.domain.errors import InvariantError
from trimtab.core.domain.gate import VersionRecord
from trimtab.core.domain.routes import Routes, Share
from trimtab.core.domain.verdict import Severity
from trimtab.core.rollout.plan import RolloutPlan
from trimtab.core.rollout.table import Phase

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
