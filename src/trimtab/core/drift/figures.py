"""The descriptive figures of one feature: how far apart, in the words that people know."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.core.drift.result import QUANTILES, Summary
from trimtab.core.profiles import Baseline, Profile
from trimtab.core.profiles.layout import Feature, FeatureKind, Layout
from trimtab.core.profiles.profile import INFINITE, SQUARES, SUM, UNSEEN
from trimtab.core.stats.distances import js_distance, ks_distance, psi, variation_distance, wasserstein

LEVELS_SHOWN = 8
"""Levels of a category in a summary."""


@dataclass(frozen=True, slots=True)
class Figures:
    """See ``FeatureDrift`` for the fields of the same name."""

    ks: float
    wasserstein: float
    psi: float
    js: float
    missing: float
    unseen: float
    mean: float
    deviation: float
    mean_shift: float
    """Difference of the means in baseline standard deviations; 0 for a category."""
    moved: float
    """How far, on one scale for numbers and categories: the larger of KS (variation) distance, change of missing,
    and share out of range.
    """


def figures_of(baseline: Baseline, profile: Profile, at: int) -> Figures:
    """Compare feature ``at`` of a profile with the baseline."""
    feature, part = baseline.layout.features[at], baseline.layout.part(at)
    reference, current = baseline.total.counts[part], profile.counts[part]
    rows = max(int(current.sum()), 1)
    missing = float(current[-1]) / rows
    more_missing = abs(missing - float(reference[-1]) / max(int(reference.sum()), 1))
    seen, now = reference[:-1], current[:-1]
    unseen = float(profile.stats[at, UNSEEN]) / rows
    if feature.kind is FeatureKind.CATEGORY:
        distance = variation_distance(seen, now)
        moved = max(distance, more_missing, unseen)
        nan = float("nan")
        return Figures(distance, nan, psi(seen, now), js_distance(seen, now), missing, unseen, nan, nan, 0.0, moved)
    distance = ks_distance(seen, now)
    low = float(min(baseline.total.low[at], profile.low[at]))
    high = float(max(baseline.total.high[at], profile.high[at]))
    far = wasserstein(feature.edges, seen, now, low, high) / feature.spread if np.isfinite([low, high]).all() else 0.0
    mean, deviation = moments(baseline.layout, profile, at)
    was, _ = moments(baseline.layout, baseline.total, at)
    shift = (mean - was) / feature.spread if np.isfinite(mean) and np.isfinite(was) else 0.0
    tens_then, tens_now = _tenths(seen, now)
    return Figures(
        distance,
        far,
        psi(tens_then, tens_now),
        js_distance(seen, now),
        missing,
        0.0,
        mean,
        deviation,
        shift,
        max(distance, more_missing),
    )


def summary_of(layout: Layout, profile: Profile, at: int) -> Summary:
    """What a profile says of one feature's values."""
    feature, counts = layout.features[at], profile.counts[layout.part(at)]
    rows = int(counts.sum())
    missing = float(counts[-1]) / max(rows, 1)
    nan = float("nan")
    if feature.kind is FeatureKind.CATEGORY:
        known = counts[: len(feature.levels)]
        order = np.argsort(-known, kind="stable")[:LEVELS_SHOWN]
        levels = tuple((feature.levels[i], float(known[i]) / max(rows, 1)) for i in order if known[i])
        return Summary(rows, missing, nan, nan, nan, nan, (), levels)
    mean, deviation = moments(layout, profile, at)
    low, high = float(profile.low[at]), float(profile.high[at])
    if not np.isfinite(mean):
        return Summary(rows, missing, nan, nan, nan, nan, (nan,) * len(QUANTILES), ())
    return Summary(rows, missing, mean, deviation, low, high, quantiles_of(feature, counts[:-1], low, high), ())


def quantiles_of(feature: Feature, counts: NDArray[np.int64], low: float, high: float) -> tuple[float, ...]:
    """Quantiles at ``QUANTILES``, rows spread evenly within their bins; a value that ties is met exactly.

    Args:
        counts: (m + 1,) without missing.
        low, high: smallest and largest value.
    """
    points = np.clip(np.concatenate([[low], feature.edges, [high]]), low, high)
    below = np.concatenate([[0.0], np.cumsum(counts)])
    if feature.discrete:  # each value has its own bin, which begins with it
        at = np.searchsorted(below[1:], np.array(QUANTILES) * below[-1], side="left")
        return tuple(float(x) for x in points[np.minimum(at, len(points) - 2)])
    return tuple(float(x) for x in np.interp(np.array(QUANTILES) * below[-1], below, points))


def moments(layout: Layout, profile: Profile, at: int) -> tuple[float, float]:
    """Mean and standard deviation of the finite values; NaN without any."""
    centre = layout.features[at].centre
    total, squares = float(profile.stats[at, SUM]), float(profile.stats[at, SQUARES])
    count = float(profile.counts[layout.part(at)][:-1].sum() - profile.stats[at, INFINITE])
    if count <= 0:
        return float("nan"), float("nan")
    mean = total / count
    return centre + mean, float(np.sqrt(max(squares / count - mean**2, 0.0)))


def _tenths(reference: NDArray[np.int64], current: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Neighbouring bins joined until each holds a tenth of the reference: PSI as it is usually computed."""
    below = np.cumsum(reference) / max(int(reference.sum()), 1)
    group = np.minimum((below * 10 - 1e-9).astype(np.intp), 9)
    return (
        np.bincount(group, weights=reference, minlength=10).astype(np.int64),
        np.bincount(group, weights=current, minlength=10).astype(np.int64),
    )
