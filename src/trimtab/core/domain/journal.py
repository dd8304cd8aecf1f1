"""An entry of the journal: one decision, with its actions, its reasons, who took it and what caused it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Draft:
    """A decision that is not yet in the journal. Everything in it is plain JSON."""

    at: float
    """The ``now`` of the tick or command, seconds since the epoch."""
    actor: str
    """``controller`` or a person's name."""
    actions: tuple[dict[str, Any], ...]
    """Each has ``type`` and the fields of that action (trimtab.core.decide.actions)."""
    reasons: tuple[dict[str, Any], ...] = ()
    """Each has ``code``, ``text``, ``value``, ``limit``."""
    cause: int | None = None
    """The decision that this one follows from; None where it follows from observations alone."""
    evidence: dict[str, Any] = field(default_factory=dict)
    """The figures that were looked at, and the thresholds in force."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A decision in the journal. ``seq`` is its id: people type it (``trimtab why 17``)."""

    seq: int
    """1, 2, 3, … without gaps."""
    at: float
    actor: str
    actions: tuple[dict[str, Any], ...]
    reasons: tuple[dict[str, Any], ...]
    cause: int | None
    evidence: dict[str, Any]
    previous: str
    """Hash of the entry before (64 zeros for the first)."""
    digest: str
    """sha256 over ``previous`` and the canonical JSON of all other fields."""
