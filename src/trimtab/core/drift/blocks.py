"""The block test: does the current window stand out from the baseline's own blocks of event time?

The share of rows in each region is taken on the arcsine-root scale, every block (the current one too) is
standardised by all others, and
the current block's largest score over features is ranked among the reference blocks' largest scores. So natural
variation from day to
day, weekends and clustered rows set the null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.core.drift.regions import Regions, block_regions
from trimtab.core.profiles import Baseline, Profile
from trimtab.core.profiles.layout import Role

Values = NDArray[np.float64]

CALENDAR_SHARE = 0.5
"""Between-block share of a column's variance above which it follows the calendar (a date, a counter)."""
ROWS_MIN = 20
"""Blocks with fewer rows of a feature say nothing about it."""


@dataclass(frozen=True, slots=True)
class BlockCheck:
    """What the block test found."""

    p: float
    """Of the family: twice the smaller of the fault and the distribution family."""
    blocks: int
    p_of: Mapping[int, float]
    """For each feature (by index): its current score ranked among the reference blocks' largest scores over all
    features.
    """
    score_of: Mapping[int, float]
    """For each feature: the larger of its two standardised scores."""
    calendar: frozenset[int]


def block_check(baseline: Baseline, profile: Profile, present: list[int], span_s: float | None) -> BlockCheck | None:
    """Rank the profile among the baseline's blocks, joined to windows of the profile's length; None where there are
    fewer than 3.
    """
    counts, rows = _joined(baseline, profile, span_s)
    usable = rows >= max(0.25 * float(np.median(rows)), ROWS_MIN) if len(rows) else np.zeros(0, dtype=np.bool_)
    counts = counts[usable]
    if len(counts) < 3 or not present:
        return None
    families: tuple[list[Values], list[Values]] = ([], [])
    calendar = set()
    for at in present:
        part = baseline.layout.part(at)
        stacked = np.vstack([counts[:, part], profile.counts[part]])
        feature = baseline.layout.features[at]
        pair = block_regions(feature, baseline.total.counts[part])
        if feature.role is Role.INPUT and _follows_calendar(stacked[:-1], pair[1]):
            calendar.add(at)
        for family, regions in zip(families, pair, strict=True):
            family.append(np.zeros(len(stacked)) if at in calendar else _scores(stacked, regions))
    fault, shape = (np.stack(family, axis=1) for family in families)
    p = min(1.0, 2 * min(_rank(fault.max(axis=1)), _rank(shape.max(axis=1))))
    records = fault[:-1].max(axis=1), shape[:-1].max(axis=1)
    p_of, score_of = {}, {}
    for column, at in enumerate(present):
        own = (_rank(np.append(record, each[-1, column])) for record, each in zip(records, (fault, shape), strict=True))
        p_of[at] = min(1.0, 2 * min(own))
        score_of[at] = float(max(fault[-1, column], shape[-1, column]))
    return BlockCheck(p, len(counts), p_of, score_of, frozenset(calendar))


def _joined(baseline: Baseline, profile: Profile, span_s: float | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Baseline blocks joined, newest first, to windows about as long as the profile's."""
    table = baseline.blocks
    if not len(table):
        return np.zeros((0, baseline.layout.size), dtype=np.int64), np.zeros(0, dtype=np.int64)
    by_rows = profile.rows / max(float(np.median(table.rows)), 1.0)
    join = max(1, round(by_rows if span_s is None else span_s / baseline.block_s))
    if join == 1:
        return table.counts.astype(np.int64), table.rows
    group = (len(table) - 1 - np.arange(len(table))) // join
    whole = len(table) // join
    kept = group < whole
    counts = np.zeros((whole, baseline.layout.size), dtype=np.int64)
    np.add.at(counts, group[kept], table.counts[kept])
    return counts, np.bincount(group[kept], weights=table.rows[kept], minlength=whole).astype(np.int64)


def _scores(stacked: NDArray[np.int64], regions: Regions) -> Values:
    """(B + 1,) each block's largest standardised difference from all others, in units of the largest of the others."""
    total = stacked.sum(axis=1)
    enough = total >= ROWS_MIN
    out = np.zeros(len(stacked))
    if enough.sum() < 3:
        return out
    m = total[enough].astype(np.float64)
    share = regions.counts(stacked[enough]) / m[:, None]
    x = np.arcsin(np.sqrt(np.clip(share, 0.0, 1.0)))
    size = len(x)
    rest = (x.sum(axis=0) - x) / (size - 1)
    squares = ((x**2).sum(axis=0) - x**2) / (size - 1) - rest**2
    variance = np.maximum(np.maximum(squares, 0.0) * (size - 1) / max(size - 2, 1), 1 / (4 * m[:, None]))
    largest = (np.abs(x - rest) / np.sqrt(variance)).max(axis=1)
    order = np.sort(largest)
    others = np.where(largest == order[-1], order[-2], order[-1])
    out[enough] = largest / np.sqrt(np.maximum(1.0, others))
    return out


def _rank(scores: Values) -> float:
    """p of the last score among the others; beyond the record a tail that falls with the third power."""
    others, own = scores[:-1], float(scores[-1])
    record = float(others.max(initial=0.0))
    if own > record:
        return (record / own) ** 3 / (len(others) + 1)
    return (1 + int(np.count_nonzero(others >= own))) / (len(others) + 1)


def _follows_calendar(blocks: NDArray[np.int64], cuts: Regions) -> bool:
    """Between-block share of the variance of the cuts (or levels), the mean over them."""
    total = blocks.sum(axis=1).astype(np.float64)
    kept = total >= ROWS_MIN
    if kept.sum() < 3:
        return False
    share = cuts.counts(blocks[kept]) / total[kept, None]
    weights = total[kept, None] / total[kept].sum()
    mean = (share * weights).sum(axis=0)
    between = (weights * (share - mean) ** 2).sum(axis=0)
    whole = mean * (1 - mean)
    return bool(between.sum() > CALENDAR_SHARE * whole.sum()) if whole.sum() > 0 else False
