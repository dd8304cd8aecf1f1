"""All rows and their slices as one check: alpha is shared out, so that the whole keeps its stated rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from trimtab.core.drift.check import worst
from trimtab.core.drift.result import DriftResult


def shares_of(alpha: float, slices: int) -> tuple[float, float]:
    """(alpha of the check on all rows, alpha of each slice's check): half and half where there are slices.

    >>> shares_of(0.01, 0), shares_of(0.01, 5)
    ((0.01, 0.01), (0.005, 0.001))
    """
    return (alpha, alpha) if not slices else (alpha / 2, alpha / (2 * slices))


def with_slices(whole: DriftResult, parts: Mapping[str, DriftResult], alpha: float) -> DriftResult:
    """One result of checks that were made at ``shares_of(alpha, len(parts))``."""
    if not parts:
        return whole
    ordered = dict(sorted(parts.items(), key=lambda item: (not item[1].drifted, item[1].p, item[0])))
    results = (whole, *ordered.values())
    alarms = [each for each in results if each.drifted]
    least = min(2 * whole.p, 2 * len(parts) * min(each.p for each in parts.values()))
    return replace(
        whole,
        drifted=bool(alarms),
        alpha=alpha,
        p=min(1.0, least),
        severity=worst(each.severity for each in alarms),
        slices=ordered,
    )
