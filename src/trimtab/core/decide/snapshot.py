"""What was observed before a tick: facts only, gathered by trimtab.controller.observe."""

from __future__ import annotations

from dataclasses import dataclass, field

from trimtab.core.diagnosis.result import Assessment
from trimtab.core.domain.gate import VersionRecord
from trimtab.core.domain.proof import Proof
from trimtab.core.policy.advise import Advice
from trimtab.core.rollout.facts import RolloutFacts


@dataclass(frozen=True, slots=True)
class JobFact:
    """A job that came to an end."""

    job: str
    outcome: str
    """``registered``, ``rejected``, ``failed`` or ``lost``."""
    record: VersionRecord | None = None
    text: str = ""
    others: tuple[VersionRecord, ...] = ()
    """Versions that were registered beside it, not to be rolled out by themselves: what a blend was made of."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When requests came, by the project's clock, seconds since the epoch."""

    first: float
    last: float
    pause_s: float
    """The longest time between two of them."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The world as it looked when the tick began. Empty fields mean: nothing was seen, never that all is well."""

    event_time: float | None = None
    """The newest event time in the prediction log that can be believed."""
    ahead: int = 0
    """Rows whose event time lies too far ahead of the others to be believed."""
    arrivals: Arrivals | None = None
    assessment: Assessment | None = None
    """Of the champion's traffic since it went live; None while there is none."""
    assessed: int | None = None
    """The version that ``assessment`` is about: a promotion in the same tick makes it the predecessor's."""
    rollout: RolloutFacts | None = None
    """Evidence since the active rollout began."""
    watch: RolloutFacts | None = None
    """The same for the watch after a promotion: the predecessor stands in the champion's place."""
    jobs: tuple[JobFact, ...] = ()
    servers: int = 0
    """How many answered."""
    generation: int | None = None
    """Of the routes that the server furthest behind serves; None where none told."""
    loaded: frozenset[int] = frozenset()
    """Versions that every server that answered has loaded."""
    refused: dict[int, str] = field(default_factory=dict)
    """Versions that a server could not load, and why."""
    unrecorded: dict[str, str] = field(default_factory=dict)
    """Servers whose records do not reach the disk, and why."""
    advice: Advice | None = None
    """Whether a training run pays now, by what retained versions lost on labelled blocks; None: not measured."""
    proofs: dict[int, Proof] = field(default_factory=dict)
    """Preflights of versions that a decision of this tick would give traffic back to."""
