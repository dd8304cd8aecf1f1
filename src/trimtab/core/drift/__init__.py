"""Calibrated drift alarms on the inputs and the answers."""

from trimtab.core.drift.check import check
from trimtab.core.drift.result import DriftResult, FeatureDrift

__all__ = ["DriftResult", "FeatureDrift", "check"]
