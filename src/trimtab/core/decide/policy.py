"""What the people who own the endpoint want: the project file, as the core sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from trimtab.core.domain.times import DAY_S
from trimtab.core.rollout.plan import RolloutPlan


class Mode(StrEnum):
    """observe: only say; approve: a person confirms; automatic: act, and tell."""

    OBSERVE = "observe"
    APPROVE = "approve"
    AUTOMATIC = "automatic"


@dataclass(frozen=True, slots=True)
class RetrainPolicy:
    """When a training run may start, and how it is asked for."""

    on_drift: bool = True
    """A diagnosis that asks for it starts one."""
    on_payoff: bool = False
    """A run also starts when what it is expected to gain has added up to its price (``Snapshot.advice``)."""
    every_s: float | None = None
    """A run also starts when the newest one is this old; None: never by the calendar."""
    cooldown_s: float = 7 * DAY_S
    """At least this long between the starts of two runs."""
    budget: int = 8
    """Most runs started in any 30 days."""
    breaker: int = 3
    """After so many runs in a row that gave no deployable version, a person is asked."""
    strategy: str = "full"
    window_s: float | None = None
    """Length of the sliding window."""
    blend: int | None = None
    """Up to so many versions answer together; None: one."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything ``decide`` needs to know of what is wanted."""

    mode: Mode = Mode.AUTOMATIC
    plan: RolloutPlan = field(default_factory=RolloutPlan)
    retrain: RetrainPolicy = field(default_factory=RetrainPolicy)
    keep: int = 3
    """Earlier champions that stay installed and warm."""
    block_s: float = DAY_S
    """Length of a monitoring block in event time."""
