"""Signals of data faults: for each block, is there strong evidence, and does it look like the baseline again?

Every limit comes from the baseline's own blocks: a share counts as strange when it is beyond their record by a
margin; a level counts as
jumped when it moved from the last sound blocks by far more than the baseline's blocks moved from one to the next.
Slow seasons move
the last sound blocks along, so they open nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.core.diagnosis.result import Block
from trimtab.core.profiles import Baseline
from trimtab.core.profiles.layout import FeatureKind, Role
from trimtab.core.profiles.profile import INFINITE, MISFIT, UNSEEN

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]

MARGIN = 0.15
"""A share must exceed the record of the baseline's blocks by at least this much."""


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """One kind of fault in one feature, over all blocks."""

    code: str
    features: tuple[int, ...]
    """Indices into the layout."""
    strong: Flags
    """(N,) opens a fault."""
    sound: Flags
    """(N,) closes it."""
    value: Values
    """(N,) what was measured."""
    limit: float
    what: str
    """In words, e.g. ``share missing``."""


@dataclass(frozen=True, slots=True, eq=False)
class Traffic:
    """The blocks as arrays."""

    rows: NDArray[np.int64]
    """(N,)"""
    counts: NDArray[np.int64]
    """(N, layout.size)"""
    stats: Values
    """(N, F, STATS)"""
    low: Values
    """(N, F)"""
    high: Values
    """(N, F)"""
    whole: Flags
    """(N,) blocks that are over and have enough rows: their ranges and levels can be compared with the baseline's."""
    enough: Flags
    """(N,) blocks with enough rows for shares."""
    first_s: float
    """Event time of the first block's start."""


def traffic_of(blocks: Sequence[Block], rows_min: int, now_s: float) -> Traffic:
    """Stack the blocks."""
    rows = np.array([block.profile.rows for block in blocks], dtype=np.int64)
    over = np.array([block.end_s <= now_s for block in blocks], dtype=np.bool_)
    enough = rows >= rows_min
    typical = float(np.median(rows[enough])) if enough.any() else 0.0
    return Traffic(
        rows,
        np.stack([block.profile.counts for block in blocks]),
        np.stack([block.profile.stats for block in blocks]),
        np.stack([block.profile.low for block in blocks]),
        np.stack([block.profile.high for block in blocks]),
        over & enough & (rows >= 0.5 * typical),
        enough,
        blocks[0].start_s,
    )


def signals_of(baseline: Baseline, traffic: Traffic) -> list[Signal]:
    """Every signal that is strong in at least one block, apart from jumps of level (see ``jumps``)."""
    out: list[Signal] = []
    for at, feature in enumerate(baseline.layout.features):
        if feature.role is not Role.INPUT or not baseline.total.counts[baseline.layout.part(at)].any():
            continue
        out.append(_absent(baseline, traffic, at))
        out.append(_missing(baseline, traffic, at))
        if feature.kind is FeatureKind.NUMBER:
            out.append(_share(baseline, traffic, at, "WrongType", MISFIT, "share of values of the wrong type"))
            out.append(_share(baseline, traffic, at, "NotFinite", INFINITE, "share of infinite values"))
        else:
            out.append(_renamed(baseline, traffic, at))
        out.append(_constant(baseline, traffic, at))
    return [signal for signal in out if signal.strong.any()]


def filled(baseline: Baseline, counts: NDArray[np.int64] | NDArray[np.int32], at: int) -> Values:
    """(N,) rows of each block in which feature ``at`` was counted, missing or not."""
    rows: Values = counts[:, baseline.layout.part(at)].sum(axis=1).astype(np.float64)
    return rows


def _absent(baseline: Baseline, traffic: Traffic, at: int) -> Signal:
    share = 1.0 - filled(baseline, traffic.counts, at) / np.maximum(traffic.rows, 1)
    strong = traffic.enough & (share > 0.5)
    return Signal(
        "AbsentColumn", (at,), strong, traffic.enough & (share <= 0), share, 0.0, "share of rows without the column"
    )


def _reference_missing(baseline: Baseline, at: int) -> tuple[Values, float]:
    """(B,) shares missing in the baseline's blocks, and the share overall."""
    part = baseline.layout.part(at)
    total = baseline.total.counts[part]
    overall = float(total[-1]) / max(int(total.sum()), 1)
    table = baseline.blocks
    rows = filled(baseline, table.counts, at) if len(table) else np.zeros(0)
    kept = rows >= 20
    return table.counts[kept, part.stop - 1] / rows[kept] if kept.any() else np.zeros(0), overall


def _missing(baseline: Baseline, traffic: Traffic, at: int) -> Signal:
    reference, overall = _reference_missing(baseline, at)
    record = max(float(reference.max(initial=0.0)), overall)
    usual = float(np.median(reference)) if reference.size else overall
    margin = MARGIN if reference.size >= 20 else 2 * MARGIN
    limit = record + max(margin, record - usual)
    if limit > 0.98 and record < 0.85:
        limit = 0.98
    rows = np.maximum(filled(baseline, traffic.counts, at), 1.0)
    share = traffic.counts[:, baseline.layout.part(at).stop - 1] / rows
    noise = 4 * np.sqrt((record * (1 - record) + 1 / rows) / rows)
    beyond = traffic.enough & (share > record + noise)
    strong = traffic.enough & (share >= limit) & beyond
    strong |= runs(beyond & (share > record + 0.05), 4) if reference.size >= 20 else False
    sound = traffic.enough & (share <= np.maximum(record, usual + 0.02) + noise / 2)
    return Signal("MissingFlood", (at,), strong, sound, share, limit, "share missing")


def runs(flags: Flags, least: int) -> Flags:
    """Flags that stand in a run of at least ``least``."""
    out = np.zeros_like(flags)
    start = 0
    for at in range(len(flags) + 1):
        if at == len(flags) or not flags[at]:
            if at - start >= least:
                out[start:at] = True
            start = at + 1
    return out


def _share(baseline: Baseline, traffic: Traffic, at: int, code: str, stat: int, what: str) -> Signal:
    rows = np.maximum(filled(baseline, traffic.counts, at), 1.0)
    share = traffic.stats[:, at, stat] / rows
    usual = float(baseline.total.stats[at, stat]) / max(baseline.total.rows, 1)
    limit = usual + 0.05
    return Signal(
        code, (at,), traffic.enough & (share > limit), traffic.enough & (share <= usual + 0.005), share, limit, what
    )


def _constant(baseline: Baseline, traffic: Traffic, at: int) -> Signal:
    """A single value in the whole block: strange where the baseline's blocks never, or never for so long, had one."""
    part, feature = baseline.layout.part(at), baseline.layout.features[at]
    table = baseline.blocks

    def single(counts: NDArray[np.int64] | NDArray[np.int32], low: Values, high: Values) -> Flags:
        known = counts[:, part][:, :-1]
        if feature.kind is FeatureKind.NUMBER:
            flat: Flags = np.isfinite(low[:, at]) & (low[:, at] == high[:, at])
        else:
            flat = known.max(axis=1) == known.sum(axis=1)
        found: Flags = flat & (known.sum(axis=1) >= 20)
        return found

    was = single(table.counts, table.low, table.high) if len(table) else np.zeros(0, dtype=np.bool_)
    now = single(traffic.counts, traffic.low, traffic.high) & traffic.whole
    always = bool(was.all()) if was.size else bool(single(*_whole(baseline))[0])
    longest = _longest(was)
    least = 1 if not was.any() else 3 * longest + 7
    strong = np.zeros_like(now) if always else runs(now & ~(was.any() & _usual_value(baseline, traffic, at)), least)
    value = now.astype(np.float64)
    what = "blocks with a single value"
    return Signal("ConstantColumn", (at,), strong, traffic.enough & ~now, value, float(longest), what)


def _usual_value(baseline: Baseline, traffic: Traffic, at: int) -> Flags:
    """(N,) blocks whose fullest bin holds at least 0.3 of the reference: no rain for three weeks is no fault."""
    part = baseline.layout.part(at)
    total = baseline.total.counts[part][:-1]
    share = total / max(int(total.sum()), 1)
    found: Flags = share[traffic.counts[:, part][:, :-1].argmax(axis=1)] >= 0.3
    return found


def _whole(baseline: Baseline) -> tuple[NDArray[np.int64], Values, Values]:
    total = baseline.total
    return total.counts[None, :], total.low[None, :], total.high[None, :]


def _longest(flags: Flags) -> int:
    best = run = 0
    for flag in flags:
        run = run + 1 if flag else 0
        best = max(best, run)
    return best


def _renamed(baseline: Baseline, traffic: Traffic, at: int) -> Signal:
    """Known levels vanish and unseen ones come with a like share: the same things under new names."""
    vanished, unseen, limit = unseen_of(baseline, traffic, at)
    alike = (vanished >= 0.5 * unseen) & (vanished <= 2.0 * unseen + 0.02)
    strong = traffic.enough & (unseen > limit) & alike
    return Signal(
        "RenamedCategories",
        (at,),
        strong,
        traffic.enough & (unseen <= limit / 2),
        unseen,
        limit,
        "share of unseen levels",
    )


def unseen_of(baseline: Baseline, traffic: Traffic, at: int) -> tuple[Values, Values, float]:
    """(N,) share of the baseline whose levels vanished, (N,) share of unseen levels, and the limit for the latter."""
    part, feature, table = baseline.layout.part(at), baseline.layout.features[at], baseline.blocks
    rows = np.maximum(filled(baseline, traffic.counts, at), 1.0)
    unseen = traffic.stats[:, at, UNSEEN] / rows
    record = 0.0
    if len(table):
        record = float((table.stats[:, at, UNSEEN] / np.maximum(table.rows, 1)).max(initial=0.0))
    limit = max(0.05, 2 * record + 0.03)
    names = len(feature.levels)
    total = baseline.total.counts[part]
    share = total[:names] / max(int(total.sum()), 1)
    gone = traffic.counts[:, part][:, :names] == 0
    sure = rows[:, None] * share[None, :] > 12  # e^-12: it would have come
    vanished: Values = (gone & sure) @ share
    return vanished, unseen, limit
