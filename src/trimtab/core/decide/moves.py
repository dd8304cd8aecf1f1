"""A move: actions that belong together, why, and what caused them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from trimtab.core.decide.actions import Action
from trimtab.core.domain.verdict import Reason


@dataclass(frozen=True, slots=True)
class Move:
    """One entry of the journal before it is written."""

    actions: tuple[Action, ...]
    reasons: tuple[Reason, ...] = ()
    cause: int | None = None
    """The decision it follows from."""
    evidence: dict[str, Any] = field(default_factory=dict)
    """Plain JSON: the figures looked at and the thresholds in force."""
    again: bool = False
    """The rule may have more to say in this tick (several jobs ended, several faults began)."""
