"""A drift result as JSON: the shape of ``trimtab drift --json``, and of ``drift`` in ``trimtab diagnose --json``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.core.domain.times import iso

if TYPE_CHECKING:
    from trimtab.core.drift.result import DriftResult, FeatureDrift, Summary


def drift_answer(result: DriftResult) -> dict[str, Any]:
    """All figures; what could not be measured is null."""
    return {
        "drifted": bool(result.drifted),
        "calibrated": bool(result.calibrated),
        "alpha": result.alpha,
        "p": float(result.p),
        "method": result.method,
        "severity": result.severity.value,
        "since": since_text(result.since),
        "rows": result.rows,
        "blocks": result.blocks,
        "note": result.note,
        "features": {each.name: feature_answer(each) for each in result.features.values()},
        "slices": {name: drift_answer(each) for name, each in result.slices.items()},
    }


def feature_answer(feature: FeatureDrift) -> dict[str, Any]:
    """One feature's figures."""
    return {
        "method": feature.method,
        "statistic": float(feature.statistic),
        "threshold": float(feature.threshold),
        "p": float(feature.p),
        "alarm": bool(feature.alarm),
        "severity": feature.severity.value,
        "direction": feature.direction,
        "region": feature.region,
        "since": since_text(feature.since),
        "ks": float(feature.ks),
        "wasserstein": float(feature.wasserstein),
        "psi": float(feature.psi),
        "js": float(feature.js),
        "missing": float(feature.missing),
        "unseen": float(feature.unseen),
        "unseen_levels": dict(feature.unseen_levels),
        "effect": float(feature.effect),
        "calendar": bool(feature.calendar),
        "reference": _summary(feature.reference),
        "current": _summary(feature.current),
    }


def _summary(side: Summary | None) -> dict[str, Any] | None:
    if side is None:
        return None
    from trimtab.core.drift.result import QUANTILES

    return {
        "rows": side.rows,
        "missing": side.missing,
        "mean": side.mean,
        "deviation": side.deviation,
        "low": side.low,
        "high": side.high,
        "quantiles": {f"{q:g}": value for q, value in zip(QUANTILES, side.quantiles, strict=False)},
        "levels": dict(side.levels),
    }


def since_text(at: float | None) -> str | None:
    """UTC without the letter, as tables have it."""
    return None if at is None else iso(at).removesuffix("Z")
