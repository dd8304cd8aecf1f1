"""What is wrong, since when, where, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from trimtab.core.domain.verdict import Reason, Severity


class Kind(StrEnum):
    """Causes that the diagnosis tells apart. Persisted: never rename."""

    NONE = "none"
    HARMLESS_SHIFT = "harmless-shift"
    PRIOR_SHIFT = "prior-shift"
    SEASON = "season"
    NEW_SEGMENT = "new-segment"
    GRADUAL_DRIFT = "gradual-drift"
    SUDDEN_DRIFT = "sudden-drift"
    DATA_FAULT = "data-fault"
    LABEL_FAULT = "label-fault"
    SERVING_FAULT = "serving-fault"


class Remedy(StrEnum):
    """What to do. Persisted: never rename."""

    NONE = "none"
    WATCH = "watch"
    FIX_DATA = "fix-data"
    FIX_LABELS = "fix-labels"
    FIX_SERVER = "fix-server"
    RECALIBRATE = "recalibrate"
    RETRAIN = "retrain"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Alternative:
    """A cause that the evidence does not exclude."""

    kind: Kind
    weight: float
    """Share of the evidence, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The ranked cause with its evidence. ``Diagnosis()`` says: nothing is wrong."""

    kind: Kind = Kind.NONE
    remedy: Remedy = Remedy.NONE
    severity: Severity = Severity.MINOR
    since: float | None = None
    """Event time of the onset, seconds since the epoch."""
    features: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()
    reasons: tuple[Reason, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
