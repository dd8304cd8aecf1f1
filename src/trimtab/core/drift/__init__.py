"""Calibrated drift alarms on the inputs and the answers."""

from trimtab.core.drift.result import DriftResult, FeatureDrift
