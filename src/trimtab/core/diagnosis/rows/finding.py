"""A finding: what one detector says, with its figures and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

from trimtab.core.domain.diagnosis import Kind


@dataclass(frozen=True, slots=True)
class Finding:
    """One explanation of what is seen."""

    kind: Kind
    code: str
    """A code of docs/reasons.md."""
    features: tuple[str, ...]
    first: int
    """Row of current where it begins."""
    end: int
    """Row of current where it is over; the number of rows while it lasts."""
    confidence: float
    """0 to 1."""
    text: str
    value: float
    limit: float
    slices: tuple[str, ...] = ()


def confidence(value: float, limit: float, doubling: float = 2.0) -> float:
    """How sure a statistic makes: 0.5 at its limit, 0.9 at ``doubling`` times the limit, by its logarithm.

    >>> round(confidence(4.0, 2.0), 2), round(confidence(1.0, 2.0), 2)
    (0.9, 0.1)
    """
    if value <= 0 or limit <= 0:
        return 0.0
    steps = log(value / limit) / log(doubling)
    return float(1 / (1 + 9.0 ** -max(min(steps, 8.0), -8.0)))
