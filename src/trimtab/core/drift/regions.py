"""Regions: the sets of bins that a feature is tested on. Every region is a run of bins [first, last) of the feature.

A number: cuts (everything below an edge), cuts near the ends, the central interval against both tails, each bin,
missing. A category: each
level, missing. Groups of regions share out alpha; within a group it is shared equally.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.core.profiles.layout import Feature, FeatureKind

Values = NDArray[np.float64]

_CORE = np.arange(1, 16) / 16
_NEAR = np.array([1, 2, 3, 5]) / 128
_CENTRAL = np.array([1, 3, 6, 13, 26, 42]) / 128
BLOCK_CUTS = np.array([0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99])


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """R regions of one feature."""

    first: NDArray[np.intp]
    """(R,) index of the region's first bin."""
    last: NDArray[np.intp]
    """(R,) one past its last bin."""
    group: NDArray[np.intp]
    """(R,) the group that it belongs to."""
    weights: NDArray[np.float64]
    """(G,) share of alpha of each group."""

    def counts(self, bins: NDArray[np.int64] | NDArray[np.int32]) -> Values:
        """Rows in each region; ``bins`` is (..., bins), the answer (..., R)."""
        padded = np.zeros((*bins.shape[:-1], bins.shape[-1] + 1))
        np.cumsum(bins, axis=-1, out=padded[..., 1:])
        found: Values = padded[..., self.last] - padded[..., self.first]
        return found

    def costs(self, testable: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(R,) what each p-value is multiplied by: regions of its group / weight of the group. Regions that cannot show
        anything take no part (infinite), and groups of only such regions leave their share to the others.
        """
        size = np.bincount(self.group[testable], minlength=len(self.weights))
        weights = np.where(size > 0, self.weights, 0.0)
        if not weights.any():
            return np.full(len(self.group), np.inf)
        share = weights / weights.sum()
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(testable, size[self.group] / share[self.group], np.inf)


def exact_regions(feature: Feature, reference: NDArray[np.int64]) -> Regions:
    """The regions of the exact test, with the weights that were found to serve: shifts, tails, spread, spikes and
    missing values.

    Args:
        reference: (bins,) counts of the baseline; cuts are placed by its shares alone.
    """
    last = feature.missing
    missing = ([(last, last + 1)], 0.15)
    if feature.kind is FeatureKind.CATEGORY:
        return _regions([([(at, at + 1) for at in range(last)], 0.85), missing])
    singles = [(at, at + 1) for at in range(last)]
    if feature.discrete:
        return _regions([([(0, at) for at in range(1, last)], 0.65), (singles, 0.20), missing])
    below = _cumulative(reference[:last])
    core = sorted(set(_cuts(below, _CORE).tolist()))
    near = sorted({*_cuts(below, np.concatenate([_NEAR, 1 - _NEAR])).tolist(), 1, last - 1})
    central = sorted(set(zip(_cuts(below, _CENTRAL).tolist(), _cuts(below, 1 - _CENTRAL).tolist(), strict=True)))
    return _regions(
        [
            ([(0, at) for at in core], 0.30),
            ([(0, at) for at in near], 0.15),
            ([pair for pair in central if pair[0] < pair[1]], 0.20),
            (singles, 0.20),
            missing,
        ]
    )


def block_regions(feature: Feature, reference: NDArray[np.int64]) -> tuple[Regions, Regions]:
    """(fault, distribution) regions of the test against blocks: missing, out of range and the fullest bin; nine
    cuts or the levels.
    """
    last = feature.missing
    seen = reference[:last]
    fullest = int(np.argmax(seen)) if seen.sum() else 0
    if feature.kind is FeatureKind.CATEGORY:
        total = max(int(reference.sum()), 1)
        levels = [(at, at + 1) for at in range(len(feature.levels)) if reference[at] >= 0.01 * total]
        tail = (len(feature.levels), last)
        return _regions([([(last, last + 1), tail], 1.0)]), _regions([(levels or [tail], 1.0)])
    fault = [(last, last + 1), (0, 1), (last - 1, last), (fullest, fullest + 1)]
    below = _cumulative(seen)
    cuts = sorted(set(_cuts(below, BLOCK_CUTS).tolist()))
    return _regions([(fault, 1.0)]), _regions([([(0, at) for at in cuts], 1.0)])


def _cumulative(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.cumsum(counts) / max(float(counts.sum()), 1.0)


def _cuts(below: Values, shares: Values) -> NDArray[np.intp]:
    """For each share the number of bins that together come nearest to it; at least 1 and not all."""
    at = np.searchsorted(below, shares)
    upper = below[np.minimum(at, len(below) - 1)]
    lower = below[np.maximum(at - 1, 0)]
    at = np.where((at > 0) & (shares - lower < upper - shares), at - 1, at)
    cuts: NDArray[np.intp] = np.clip(at + 1, 1, len(below) - 1)
    return cuts


def _regions(groups: list[tuple[list[tuple[int, int]], float]]) -> Regions:
    pairs = [pair for regions, _ in groups for pair in regions]
    group = np.repeat(np.arange(len(groups)), [len(regions) for regions, _ in groups])
    first, last = np.array(pairs, dtype=np.intp).T
    return Regions(first, last, group, np.array([weight for _, weight in groups]))


def region_text(feature: Feature, first: int, last: int) -> str:
    """In words: ``missing``, ``= 'AA'``, ``< 12.5``, ``12.5 … 14``."""
    if first == feature.missing:
        return "missing"
    if feature.kind is FeatureKind.CATEGORY:
        return f"= '{feature.levels[first]}'" if first < len(feature.levels) else "other levels"
    edges = feature.edges
    if first == 0:
        return f"< {edges[last - 1]:.6g}" if last - 1 < len(edges) else "any value"
    if last == feature.missing:
        return f"> {edges[-1]:.6g}" if first == last - 1 else f">= {edges[first - 1]:.6g}"
    low, high = edges[first - 1], edges[last - 1]
    return f"= {low:.6g}" if last == first + 1 and np.isclose(low, high) else f"{low:.6g} … {high:.6g}"
