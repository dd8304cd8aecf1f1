"""What a decision makes true. Each action is a value in the journal; the status is the fold over them.

Names and fields are persisted: never rename one, add with a default. The effects in the world (routes, aliases,
jobs, messages)
follow from the status, not from the action: after a crash the loop compares and converges
(trimtab.controller.converge).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from trimtab.core.domain.diagnosis import Kind, Remedy
from trimtab.core.domain.gate import VersionRecord
from trimtab.core.domain.verdict import Severity
from trimtab.core.rollout.plan import RolloutPlan


@dataclass(frozen=True, slots=True)
class RecordVersion:
    """A version was registered; its gates say whether it may be deployed."""

    record: VersionRecord
    deploy: bool = True
    """Whether the loop may roll it out by itself (a plain training run) or a person will (``trimtab train
    --no-deploy``).
    """


@dataclass(frozen=True, slots=True)
class OverrideGates:
    """A named person lets a version pass against its gates."""

    version: int
    by: str


@dataclass(frozen=True, slots=True)
class StartTraining:
    """Ask for a training run. The job is started by its name, once."""

    job: str
    trigger: str
    """``drift``, ``schedule``, ``manual``, …"""
    strategy: str
    window_s: float | None = None
    since: float | None = None
    """Event time: rows before it are left out (a window from the change point)."""
    until: float | None = None
    """Event time: rows after it are left out; the ``now`` of the decision."""
    quarantines: tuple[tuple[float, float | None, tuple[str, ...]], ...] = ()
    """(from, until or None when open, features): rows in these windows are not trained on."""
    champion: int | None = None
    incident: str | None = None
    retained: tuple[int, ...] = ()
    """Versions that the new one may be blended with."""


@dataclass(frozen=True, slots=True)
class FinishTraining:
    """A training run ended: ``registered``, ``rejected``, ``failed`` or ``lost``."""

    job: str
    outcome: str
    version: int | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class DeployFirst:
    """The first version takes all traffic: there is nothing to compare it with."""

    version: int


@dataclass(frozen=True, slots=True)
class Adopt:
    """A new journal takes over what is deployed: the old one is lost."""

    version: int
    generation: int
    """Of the routes that were found; the next ones must be later."""
    previous: tuple[int, ...] = ()
    """Earlier champions that are still warm, newest first."""


@dataclass(frozen=True, slots=True)
class StartRollout:
    """A challenger meets live traffic."""

    rollout: str
    version: int
    champion: int
    plan: RolloutPlan
    requested_by: str = "controller"


@dataclass(frozen=True, slots=True)
class EnterStep:
    """The rollout's weight moves to ``plan.steps[step]``."""

    rollout: str
    step: int
    weight: int


@dataclass(frozen=True, slots=True)
class PauseRollout:
    """The weights stay where they are until a person resumes, promotes or aborts."""

    rollout: str


@dataclass(frozen=True, slots=True)
class ResumeRollout:
    """The rollout goes on from the step it paused in."""

    rollout: str


@dataclass(frozen=True, slots=True)
class Promote:
    """The challenger becomes champion; the old one stays warm and, while watched, in shadow."""

    rollout: str
    version: int


@dataclass(frozen=True, slots=True)
class Abort:
    """The champion takes all traffic back; the challenger is barred from another automatic rollout."""

    rollout: str
    version: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Supersede:
    """A newer candidate takes the rollout's place. The version is not barred: nothing was found against it."""

    rollout: str
    version: int
    by_version: int


@dataclass(frozen=True, slots=True)
class HoldWatch:
    """The watched champion does worse, but no earlier version passed its preflight: people are told, once."""

    version: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class EndWatch:
    """The new champion held for the whole watch; the old one no longer scores in its shadow."""

    version: int


@dataclass(frozen=True, slots=True)
class RollBack:
    """An earlier version becomes champion again, at once."""

    version: int
    from_version: int


@dataclass(frozen=True, slots=True)
class OpenIncident:
    """Something is wrong since ``since``. A data or label fault quarantines its window until it closes."""

    incident: str
    kind: Kind
    remedy: Remedy
    severity: Severity
    since: float
    features: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class CloseIncident:
    """The trouble ended at event time ``until``."""

    incident: str
    until: float
    text: str = ""


@dataclass(frozen=True, slots=True)
class Alert:
    """People are told."""

    severity: Severity
    title: str
    body: str


@dataclass(frozen=True, slots=True)
class AskApproval:
    """A person must confirm these actions (encoded as in the journal)."""

    approval: str
    title: str
    actions: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A person approved or rejected."""

    approval: str
    approved: bool


@dataclass(frozen=True, slots=True)
class Note:
    """Nothing changes; the record keeps what was seen."""

    text: str
    data: dict[str, Any] = field(default_factory=dict)


Action = (
    RecordVersion
    | OverrideGates
    | StartTraining
    | FinishTraining
    | DeployFirst
    | Adopt
    | StartRollout
    | EnterStep
    | PauseRollout
    | ResumeRollout
    | Promote
    | Abort
    | Supersede
    | HoldWatch
    | EndWatch
    | RollBack
    | OpenIncident
    | CloseIncident
    | Alert
    | AskApproval
    | Answer
    | Note
)
"""Every action there is."""
