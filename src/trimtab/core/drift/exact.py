"""The exact test: regions of each feature, hypergeometric, whatever the sizes and the dependence between features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trimtab.core.drift.regions import Regions, Values, exact_regions, region_text
from trimtab.core.profiles import Baseline, Profile
from trimtab.core.stats.hypergeometric import SLIGHT, region_p


@dataclass(frozen=True, slots=True)
class Exact:
    """What one feature's regions say."""

    p: float
    """Of the feature, all of its regions accounted for."""
    difference: float
    """Current less reference share in the region that differs most."""
    region: str
    first: int
    last: int
    testable: bool
    """Some region could have shown a difference; a constant column has none."""


def exact_check(baseline: Baseline, profile: Profile, present: list[int]) -> dict[int, Exact]:
    """The exact test of every present feature; one evaluation for all regions of all features."""
    parts = [_region_counts(baseline, profile, at) for at in present]
    if not parts:
        return {}
    k = np.concatenate([part[1] for part in parts])
    other = np.concatenate([part[2] for part in parts])
    m = np.concatenate([np.full(len(part[1]), part[3]) for part in parts])
    n = np.concatenate([np.full(len(part[1]), part[3] + part[4]) for part in parts])
    p, least = region_p(k, m, k + other, n)
    out, start = {}, 0
    for at, (regions, own, before, rows, rows_before) in zip(present, parts, strict=True):
        here = slice(start, start + len(own))
        start += len(own)
        testable = least[here] <= SLIGHT
        costs = regions.costs(testable)
        scaled = np.where(testable, p[here] * np.where(testable, costs, 1.0), np.inf)
        best = _telling(scaled, regions, baseline.layout.features[at].missing)
        first, last = int(regions.first[best]), int(regions.last[best])
        out[at] = Exact(
            p=min(float(scaled.min()), 1.0),
            difference=float(own[best] / rows - before[best] / max(rows_before, 1.0)),
            region=region_text(baseline.layout.features[at], first, last),
            first=first,
            last=last,
            testable=bool(testable.any()),
        )
    return out


def _telling(scaled: Values, regions: Regions, missing: int) -> int:
    """The region that says most; missing values where they explain it nearly as well: what went missing is gone from
    all other regions, too."""
    best, gone = int(np.argmin(scaled)), int(np.flatnonzero(regions.first == missing)[0])
    return gone if scaled[best] < 1 and scaled[gone] <= scaled[best] ** 0.8 else best


def _region_counts(baseline: Baseline, profile: Profile, at: int) -> tuple[Regions, Values, Values, float, float]:
    part = baseline.layout.part(at)
    reference, current = baseline.total.counts[part], profile.counts[part]
    regions = exact_regions(baseline.layout.features[at], reference)
    return regions, regions.counts(current), regions.counts(reference), float(current.sum()), float(reference.sum())
