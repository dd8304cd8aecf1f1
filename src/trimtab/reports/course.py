"""What a picture of one feature needs, from sums: its distribution on both sides, and its course over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.core.drift.figures import quantiles_of
from trimtab.core.drift.result import QUANTILES
from trimtab.core.profiles.blocks import BlockTable
from trimtab.core.profiles.layout import Feature, FeatureKind, Layout
from trimtab.core.profiles.profile import Profile

Values = NDArray[np.float64]

POINTS = 80
"""Of a course."""
BARS = 36
ROWS_MIN = 5
"""Rows of a point: fewer say nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """One side over time, P points."""

    at: Values
    """(P,) middle of the stretch."""
    missing: Values
    """(P,) share without a value."""
    low: Values
    """(P,) the 5 % quantile; empty for a category."""
    middle: Values
    high: Values
    shares: Values
    """(P, levels + others) of the rows with a value; empty for a number."""


def course_of(layout: Layout, at: int, table: BlockTable, bucket_s: float, points: int = POINTS) -> Course:
    """Join the table's blocks to at most ``points`` stretches of equal length in time."""
    feature, part = layout.features[at], layout.part(at)
    none = np.zeros(0)
    if not len(table):
        return Course(none, none, none, none, none, np.zeros((0, 0)))
    first, end = float(table.starts[0]), float(table.starts[-1]) + bucket_s
    step = max((end - first) / points, bucket_s)
    of = np.floor((table.starts - first) / step).astype(np.int64)
    places = np.unique(of)
    counts = np.stack([table.counts[of == place][:, part].sum(axis=0) for place in places])
    kept = counts.sum(axis=1) >= ROWS_MIN
    counts, places = counts[kept], places[kept]
    rows = counts.sum(axis=1)
    middles = first + (places + 0.5) * step
    missing = counts[:, -1] / np.maximum(rows, 1)
    if feature.kind is FeatureKind.CATEGORY:
        known = len(feature.levels)
        shares = np.column_stack([counts[:, :known], counts[:, known:-1].sum(axis=1)]) / np.maximum(rows, 1)[:, None]
        return Course(middles, missing, none, none, none, shares)
    lows = [float(table.low[of == place, at].min()) for place in places]
    highs = [float(table.high[of == place, at].max()) for place in places]
    spots = [QUANTILES.index(q) for q in (0.05, 0.5, 0.95)]
    found = np.array(
        [
            np.array(quantiles_of(feature, row[:-1], a, b))[spots] if row[:-1].any() and a <= b else [np.nan] * 3
            for row, a, b in zip(counts, lows, highs, strict=True)
        ]
    ).reshape(-1, 3)
    return Course(middles, missing, found[:, 0], found[:, 1], found[:, 2], np.zeros((0, 0)))


def densities(layout: Layout, at: int, then: Profile, now: Profile) -> tuple[Values, Values, Values]:
    """(BARS + 1,) edges and twice (BARS,) shares of the rows with a value, over a range that leaves far outliers at
    the rim."""
    feature, part = layout.features[at], layout.part(at)
    sides = [(profile.counts[part][:-1], float(profile.low[at]), float(profile.high[at])) for profile in (then, now)]
    edges = np.linspace(*_range(feature, sides), BARS + 1)
    return edges, _share(feature, edges, *sides[0]), _share(feature, edges, *sides[1])


def _range(feature: Feature, sides: list[tuple[NDArray[np.int64], float, float]]) -> tuple[float, float]:
    lows, highs = [], []
    for counts, low, high in sides:
        if not counts.any() or low > high:
            continue
        points, below = _cumulative(feature, counts, low, high)
        a, b = np.interp([0.005, 0.995], below, points)
        lows.append(max(low, a - 0.25 * (b - a)))
        highs.append(min(high, b + 0.25 * (b - a)))
    low, high = min(lows, default=0.0), max(highs, default=1.0)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _cumulative(feature: Feature, counts: NDArray[np.int64], low: float, high: float) -> tuple[Values, Values]:
    points = np.clip(np.concatenate([[low], feature.edges, [high]]), low, high)
    return points, np.concatenate([[0.0], np.cumsum(counts)]) / max(int(counts.sum()), 1)


def _share(feature: Feature, edges: Values, counts: NDArray[np.int64], low: float, high: float) -> Values:
    """Share of the rows between neighbouring edges; what lies outside of them counts at the rim."""
    if not counts.any() or low > high:
        return np.zeros(len(edges) - 1)
    points, below = _cumulative(feature, counts, low, high)
    reached = np.interp(edges, points, below)
    reached[0], reached[-1] = 0.0, 1.0
    return np.diff(reached)
