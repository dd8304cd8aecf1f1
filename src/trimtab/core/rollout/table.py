"""The life of a rollout as data: which event leads from which phase to which. Anything else raises, and nothing
changes."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from trimtab.core.domain.errors import InvariantError, RefusedError


class Phase(StrEnum):
    """Where a rollout stands. Persisted: never rename."""

    PENDING = "pending"
    """Waits: for another rollout to end, for approval, or for the servers to load the version."""
    SHADOWING = "shadowing"
    """Scores the same requests as the champion; its answers are not returned."""
    PROGRESSING = "progressing"
    """Answers its share of the traffic."""
    PAUSED = "paused"
    """A person or the policy holds it; the weights stay."""
    PROMOTED = "promoted"
    ABORTED = "aborted"
    SUPERSEDED = "superseded"


class Event(StrEnum):
    """What moves a rollout, by the controller or by a person: the same events. Persisted: never rename."""

    SHADOW = "shadow"
    """Begin to score in shadow."""
    START = "start"
    """First weight to the challenger (canary), or the standby is up (blue-green)."""
    ADVANCE = "advance"
    """Next step."""
    PAUSE = "pause"
    RESUME_SHADOW = "resume-shadow"
    RESUME = "resume"
    PROMOTE = "promote"
    """All traffic, and the alias."""
    ABORT = "abort"
    """All traffic back to the champion."""
    SUPERSEDE = "supersede"
    """A newer candidate takes its place."""


FINAL = frozenset({Phase.PROMOTED, Phase.ABORTED, Phase.SUPERSEDED})

TRANSITIONS: Mapping[tuple[Phase, Event], Phase] = MappingProxyType(
    {
        (Phase.PENDING, Event.SHADOW): Phase.SHADOWING,
        (Phase.PENDING, Event.START): Phase.PROGRESSING,
        (Phase.PENDING, Event.PROMOTE): Phase.PROMOTED,  # the first version has nothing to be compared with
        (Phase.PENDING, Event.ABORT): Phase.ABORTED,
        (Phase.PENDING, Event.SUPERSEDE): Phase.SUPERSEDED,
        (Phase.SHADOWING, Event.START): Phase.PROGRESSING,
        (Phase.SHADOWING, Event.PAUSE): Phase.PAUSED,
        (Phase.SHADOWING, Event.PROMOTE): Phase.PROMOTED,
        (Phase.SHADOWING, Event.ABORT): Phase.ABORTED,
        (Phase.SHADOWING, Event.SUPERSEDE): Phase.SUPERSEDED,
        (Phase.PROGRESSING, Event.ADVANCE): Phase.PROGRESSING,
        (Phase.PROGRESSING, Event.PAUSE): Phase.PAUSED,
        (Phase.PROGRESSING, Event.PROMOTE): Phase.PROMOTED,
        (Phase.PROGRESSING, Event.ABORT): Phase.ABORTED,
        (Phase.PROGRESSING, Event.SUPERSEDE): Phase.SUPERSEDED,
        (Phase.PAUSED, Event.RESUME_SHADOW): Phase.SHADOWING,
        (Phase.PAUSED, Event.RESUME): Phase.PROGRESSING,
        (Phase.PAUSED, Event.PROMOTE): Phase.PROMOTED,
        (Phase.PAUSED, Event.ABORT): Phase.ABORTED,
        (Phase.PAUSED, Event.SUPERSEDE): Phase.SUPERSEDED,
    }
)


def legal_events(phase: Phase) -> tuple[Event, ...]:
    """The events that a rollout in this phase takes, in the order of ``Event``; none for a final phase."""
    return tuple(event for event in Event if (phase, event) in TRANSITIONS)


def next_phase(phase: Phase, event: Event, *, by_person: bool = False) -> Phase:
    """The phase that the event leads to.

    Args:
        phase: where the rollout stands.
        event: what happens to it.
        by_person: whether a person asked for it: their illegal command is refused, our own is a defect.

    Raises:
        RefusedError: a person asked for a move that is not legal now.
        InvariantError: the controller did.
    """
    after = TRANSITIONS.get((phase, event))
    if after is not None:
        return after
    legal = legal_events(phase)
    hint = f"legal now: {', '.join(legal)}" if legal else "the rollout has ended"
    message = f"'{event}' is not a legal move of a rollout that is {phase} ({hint})"
    raise RefusedError(message) if by_person else InvariantError(message)


def mermaid() -> str:
    """The table as a Mermaid state diagram; docs/rollouts.md holds it and a test compares."""
    lines = ["stateDiagram-v2", f"    [*] --> {Phase.PENDING}"]
    lines += [f"    {phase} --> {after}: {event}" for (phase, event), after in TRANSITIONS.items()]
    lines += [f"    {phase} --> [*]" for phase in Phase if phase in FINAL]
    return "\n".join(lines) + "\n"
