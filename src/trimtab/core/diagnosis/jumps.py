"""Jumps of a number's level from one block to the next: changed units, swapped columns, values far out of range.

A season moves slowly and the last sound blocks move with it; a broken feed jumps. So each block is compared with
the median of the last
sound blocks, in units of how far the baseline's blocks (and the sound live ones) move from theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np

from trimtab.core.diagnosis.signals import Flags, Signal, Traffic, Values, runs
from trimtab.core.drift.figures import moments
from trimtab.core.profiles import Baseline
from trimtab.core.profiles.blocks import BlockTable
from trimtab.core.profiles.layout import FeatureKind, Role
from trimtab.core.profiles.profile import INFINITE, SQUARES, SUM

GAP = 14
"""Blocks between the baseline and the first live one, beyond which a season may lie between them."""
RECENT = 7
"""Sound blocks that stand for 'just before'."""
FACTORS = (100.0, 1000.0, 12.0, 60.0, 24.0, 3600.0, 365.25, 2.54, 0.45359237, 0.3048, 10.0)
"""Known units: per cent, kilo, months, minutes, hours, days, inches, pounds, feet, decimal point; and their inverses.
Miles (1.6) are none here: where half of the values become rarer, level and spread move like that, too.
"""
SMALL, SMALL_FIT = 4.0, 0.5
"""Factors under the first must fit better than by the second: a shift of the population can look like them."""
LIMIT = 2.0
"""Times the largest usual step. In a clean year of real flights and weather no two days in a row reached 1.1."""
APART_LIMIT = 1.2
"""The same where a block has no value in common with the blocks before."""
OFFSETS = ((9 / 5, 32.0), (5 / 9, -160 / 9), (1.0, 273.15), (1.0, -273.15), (5 / 9, 255.372), (9 / 5, -459.67))
"""Celsius, Fahrenheit, Kelvin as (scale, offset)."""


@dataclass(frozen=True, slots=True, eq=False)
class _Levels:
    """Of each block."""

    mean: Values
    deviation: Values
    count: Values
    low: Values
    high: Values

    def at(self, i: int) -> tuple[float, float, float, float]:
        """Mean, deviation, low, high of block i."""
        return float(self.mean[i]), float(self.deviation[i]), float(self.low[i]), float(self.high[i])


@dataclass(frozen=True, slots=True, eq=False)
class _Jump:
    """One number against the blocks just before."""

    strong: Flags
    """(N,)"""
    sound: Flags
    """(N,)"""
    before: Values
    """(N, 2) mean and deviation just before."""
    size: Values
    """(N,) size of the step, in usual steps."""
    usual: float
    """The largest step of the baseline's blocks."""
    why: tuple[str | None, ...] = ()
    """(N,) the change that explains the block."""


Explain = Callable[[tuple[float, float, float, float], tuple[float, float, float, float], float], str | None]
"""(mean, deviation, low, high) of a block, the same just before, usual step: the change that explains it, or None."""


def jump_signals(baseline: Baseline, traffic: Traffic) -> list[Signal]:
    """Signals ``SwappedColumns``, ``UnitChange`` and ``OutOfRange``, each strong in at least one block.

    A level that jumps to the other's, and the other to its: swapped. Otherwise a jump counts only where a known
    change of unit or a value
    far out of range explains it; any other new level is taken as the new normal, which is for the drift check to judge.
    """
    numbers = [
        at
        for at, feature in enumerate(baseline.layout.features)
        if feature.role is Role.INPUT and feature.kind is FeatureKind.NUMBER and _varies(baseline, at)
    ]
    jumped = {at: jump for at in numbers if (jump := _jumps(baseline, traffic, at, None)).strong.any()}
    out = _swapped(baseline, traffic, jumped)
    taken = {at for signal in out for at in signal.features}
    for at in jumped:
        if at in taken:
            continue
        jump = _jumps(baseline, traffic, at, _explanation(baseline, at))
        units, ranges = _by_run(jump)
        for code, flags in (("OutOfRange", ranges), ("UnitChange", units)):
            if flags.any():
                told = [why for why, each in zip(jump.why, flags, strict=True) if each and why]
                why = max(set(told), key=told.count)
                what = f"jump of the level ({why}), in usual steps"
                out.append(Signal(code, (at,), flags, jump.sound, jump.size, LIMIT, what))
    return out


def _by_run(jump: _Jump) -> tuple[Flags, Flags]:
    """Blocks in runs that a change of unit explains, and in runs that only their range explains (the first block is
    often a mixture).
    """
    units, ranges = np.zeros_like(jump.strong), np.zeros_like(jump.strong)
    start = 0
    for end in range(len(jump.strong) + 1):
        if end == len(jump.strong) or not jump.strong[end]:
            run = jump.why[start:end]
            target = units if any(why != _RANGE for why in run) else ranges
            target[start:end] = True
            start = end + 1
    return units, ranges


def _varies(baseline: Baseline, at: int) -> bool:
    return bool(baseline.total.high[at] > baseline.total.low[at])


def _levels(source: Traffic | BlockTable, baseline: Baseline, at: int) -> _Levels:
    counts, stats = source.counts, source.stats
    part, feature = baseline.layout.part(at), baseline.layout.features[at]
    count = counts[:, part][:, :-1].sum(axis=1) - stats[:, at, INFINITE]
    safe = np.maximum(count, 1.0)
    mean = stats[:, at, SUM] / safe
    deviation = np.sqrt(np.maximum(stats[:, at, SQUARES] / safe - mean**2, 0.0))
    return _Levels(feature.centre + mean, deviation, count.astype(np.float64), source.low[:, at], source.high[:, at])


def _jumps(baseline: Baseline, traffic: Traffic, at: int, explain: Explain | None) -> _Jump:
    """Strong needs two blocks in a row: one stormy day is a jump, too."""
    feature, table = baseline.layout.features[at], baseline.blocks
    past = _levels(table, baseline, at)
    kept = np.flatnonzero(past.count >= 20)
    means = past.mean[kept].tolist()
    steps = [abs(means[i] - median(means[max(0, i - RECENT) : i])) for i in range(1, len(means))]
    usual = max([*steps, (0.25 if steps else 2.0) * feature.spread])
    live = _levels(traffic, baseline, at)
    usable = traffic.whole & (live.count >= 20)
    if not len(table):
        total = baseline.total
        mean, deviation = moments(baseline.layout, total, at)
        recent = [(mean, deviation, float(total.low[at]), float(total.high[at]))]
    elif traffic.first_s - float(table.starts[-1]) > GAP * baseline.block_s:
        recent = []  # the season moved on unseen; the first live blocks show where to
    else:
        recent = [past.at(int(i)) for i in kept[-RECENT:]]
    return _walk(live, usable, recent, usual, explain)


def _walk(
    live: _Levels,
    usable: Flags,
    recent: list[tuple[float, float, float, float]],
    usual: float,
    explain: Explain | None,
) -> _Jump:
    """Block by block, the last sound ones moving along.

    Far: the mean moved by more than any usual step (and is not where it once was while live), or the whole block
    lies outside of the
    values of the last sound blocks (but for the most extreme of those: a fault may have begun within it).
    """
    size = len(usable)
    far, sound = np.zeros(size, dtype=np.bool_), np.zeros(size, dtype=np.bool_)
    before, step = np.zeros((size, 2)), np.zeros(size)
    why: list[str | None] = [None] * size
    visited: list[float] = []
    for i in range(size):
        if recent:
            before[i] = median(each[0] for each in recent), median(each[1] for each in recent)
        if not usable[i]:
            continue
        mean, _, low, high = now = live.at(i)
        if len(recent) >= 3 or (recent and not visited):
            step[i] = abs(mean - before[i, 0]) / usual
            apart = step[i] > APART_LIMIT and _apart(low, high, recent, 0.25 * float(before[i, 1]))
            nearest = min((abs(mean - each) / usual for each in visited[-90:]), default=np.inf)
            if (apart and nearest > 0.25) or (step[i] > LIMIT and nearest > LIMIT / 2):
                was = (*before[i].tolist(), *(median(each[of] for each in recent) for of in (2, 3)))
                why[i] = explain(now, was, usual) if explain else "jump"
            far[i] = why[i] is not None
            sound[i] = step[i] <= LIMIT / 2
            step[i] = max(step[i], 1.01 * LIMIT) if far[i] else step[i]
        if not far[i]:
            recent = [*recent, now][-RECENT:]
            visited.append(mean)
    return _Jump(runs(far, 2), sound, before, step, usual, tuple(why))


def _apart(low: float, high: float, recent: list[tuple[float, float, float, float]], gap: float) -> bool:
    lows, highs = sorted(each[2] for each in recent), sorted(each[3] for each in recent)
    second = min(1, len(recent) - 1)
    return low > highs[-1 - second] + gap or high < lows[second] - gap


_RANGE = "far out of range"


def _explanation(baseline: Baseline, at: int) -> Explain:
    """A known change of unit that, undone, gives the level and deviation of just before; or far outside of the
    reference's range.
    """
    bottom, top = float(baseline.total.low[at]), float(baseline.total.high[at])
    quarter = 0.25 * baseline.layout.features[at].spread
    changes = [(f, 0.0) for factor in FACTORS for f in (factor, 1 / factor)] + list(OFFSETS)

    def explain(
        now: tuple[float, float, float, float], before: tuple[float, float, float, float], usual: float
    ) -> str | None:
        mean, deviation, low, high = now
        was, was_dev, low_was, high_was = before
        width_was = max(was_dev, quarter)
        best, name = 1.0, None
        for factor, offset in changes:
            end, end_was = (low, low_was) if factor > 1 else (high, high_was)
            if factor != 1 and _stayed(end, end_was, factor * end_was + offset, quarter):
                continue
            level = abs((mean - offset) / factor - was) / max(width_was, usual)
            width = abs(float(np.log(max(deviation / factor, 1e-300) / width_was))) / 0.916
            fit = max(level, width)
            small = factor != 1 and 1 / SMALL < factor < SMALL
            if fit < best and not (small and fit > SMALL_FIT):
                best, name = fit, f"x {factor:g}" + (f" {offset:+g}" if offset else "")
        if name is None and not bottom - (top - bottom) <= mean <= top + (top - bottom):
            return _RANGE
        return name

    return explain


def _stayed(end: float, end_was: float, expected: float, least: float) -> bool:
    """The end of the range that a change of unit would have moved is still where it was: old values go on coming, and
    others came beside them (a new segment, say).

    Where the expected move is less than ``least``, nothing can be said.
    """
    return abs(expected - end_was) > least and abs(end - end_was) < abs(end - expected)


def _swapped(baseline: Baseline, traffic: Traffic, jumped: dict[int, _Jump]) -> list[Signal]:
    """Pairs that jump in the same blocks, each to the other's level."""
    out: list[Signal] = []
    names = list(jumped)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            one, other = jumped[a], jumped[b]
            both = one.strong & other.strong
            if not both.any() or any(a in signal.features or b in signal.features for signal in out):
                continue
            if _like(baseline, traffic, a, other, both) and _like(baseline, traffic, b, one, both):
                sound, size = one.sound & other.sound, np.minimum(one.size, other.size)
                what = "jump of both levels, in usual steps"
                out.append(Signal("SwappedColumns", (a, b), both, sound, size, LIMIT, what))
    return out


def _like(baseline: Baseline, traffic: Traffic, at: int, other: _Jump, blocks: Flags) -> bool:
    """Feature ``at`` in these blocks has the level and deviation that the other feature had before."""
    live = _levels(traffic, baseline, at)
    mean, deviation = float(np.median(live.mean[blocks])), float(np.median(live.deviation[blocks]))
    was, was_dev = (float(each) for each in np.median(other.before[blocks], axis=0))
    return abs(mean - was) <= max(was_dev, other.usual) and 0.4 <= deviation / max(was_dev, 1e-300) <= 2.5
