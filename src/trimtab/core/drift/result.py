"""What a drift check found: figures, their limits, and which way things moved. Data; the edge draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trimtab.core.domain.verdict import Severity

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Of a ``Summary``."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One feature's values on one side."""

    rows: int
    missing: float
    """Share of rows without a value."""
    mean: float
    """Of the finite values, like all that follows; NaN for a category, and without any."""
    deviation: float
    low: float
    high: float
    quantiles: tuple[float, ...]
    """At ``QUANTILES``, right to the width of a bin of the baseline (1/128 of its rows); empty for a category."""
    levels: tuple[tuple[str, float], ...]
    """A category's most frequent levels with their shares, at most eight; empty for a number."""


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
    """Event time (seconds) from which the feature differs; None where no times were given, and without an alarm."""
    reference: Summary | None = None
    """Its values in the baseline."""
    current: Summary | None = None
    unseen_levels: tuple[tuple[str, int], ...] = ()
    """Levels that the baseline does not have, with their rows; at most eight."""


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
    slices: Mapping[str, DriftResult] = field(default_factory=dict)
    """The same for each slice (``carrier=UA``), most evident first. ``drifted``, ``p`` and ``severity`` of the whole
    account for them; half of ``alpha`` is for all rows, half for the slices."""

    @property
    def since(self) -> float | None:
        """Event time of the earliest change that alarms (of a slice, where only slices do); None without one, and where
        no times were given."""
        own = [each.since for each in self.features.values() if each.alarm and each.since is not None]
        parts = [each.since for each in self.slices.values() if each.drifted and each.since is not None]
        return min(own or parts, default=None)
