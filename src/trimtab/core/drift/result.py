"""What a drift check found: figures, their limits, and which way things moved. Data; the edge draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trimtab.core.domain.verdict import Severity


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """One feature against its baseline."""

    name: str
    method: str
    """``regions`` (exact test for exchangeable rows) or ``blocks`` (against the baseline's own variation)."""
    statistic: float
    """regions: difference of shares in the region that differs most; blocks: largest standardised difference."""
    threshold: float
    """The feature alarms where ``p`` is at most this."""
    p: float
    """Valid for this feature alone, all its regions accounted for."""
    alarm: bool
    severity: Severity
    direction: str
    """In words: ``higher``, ``lower``, ``wider``, ``narrower``, ``more missing``, ``more 'AA'``, …; empty where
    nothing moved."""
    region: str
    """What differs most: ``> 12.5``, ``missing``, ``= 'AA'``."""
    ks: float
    """Kolmogorov-Smirnov distance over the bins, 0 to 1 (categories: total variation)."""
    wasserstein: float
    """Distance moved, in baseline standard deviations; NaN for a category."""
    psi: float
    """Population stability index over ten baseline deciles (or levels)."""
    js: float
    """Jensen-Shannon distance (base 2), 0 to 1."""
    missing: float
    """Share of rows without a value."""
    unseen: float
    """Share of rows with a level that the baseline does not have; 0 for a number."""
    mean: float
    """NaN for a category."""
    deviation: float
    effect: float
    """Importance of the feature times how far it moved: ranks features by their expected effect on the model; 0 where
    unknown."""
    calendar: bool = False
    """It follows the calendar (differs from block to block by nature) and takes no part in alarms."""
    since: float | None = None
    """Event time from which the feature differs, where blocks were given."""


@dataclass(frozen=True, slots=True)
class DriftResult:
    """Inputs and answers of the current rows against the baseline."""

    drifted: bool
    """Any alarm; under no change its probability is at most ``alpha`` for the whole check."""
    calibrated: bool
    """False: fewer than 20 baseline blocks, so natural variation is unknown and the alarm holds for exchangeable rows
    only."""
    alpha: float
    p: float
    """Of the whole family."""
    method: str
    """What ``drifted`` rests on: ``regions`` or ``blocks``."""
    severity: Severity
    rows: int
    blocks: int
    """Baseline blocks that calibrate."""
    features: Mapping[str, FeatureDrift] = field(default_factory=dict)
    """By name, the one with the largest effect or smallest p first."""
    note: str = ""
