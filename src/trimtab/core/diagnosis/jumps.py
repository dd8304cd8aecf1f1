"""Jumps of a number's level from one block to the next: changed units, swapped columns, values far out of range.

A season moves slowly and the last sound blocks move with it; a broken feed jumps. So each block is compared with
the median of the last
sound blocks, in units of how far the baseline's blocks (and the sound live ones) move from theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from trimtab.core.diagnosis.signals import Flags, Signal, Traffic, Values, runs
from trimtab.core.profiles import Baseline
from trimtab.core.profiles.layout import FeatureKind, Role
from trimtab.core.profiles.profile import INFINITE, SQUARES, SUM

RECENT = 7
"""Sound blocks that stand for 'just before'."""
FACTORS = (100.0, 1000.0, 12.0, 60.0, 24.0, 3600.0, 365.25, 1.609344, 2.54, 0.45359237, 0.3048, 10.0)
"""Known units: per cent, kilo, months, minutes, hours, days, miles, inches, pounds, feet, decimal point; and their
inverses.
"""
LIMIT = 2.0
"""Times the largest usual step. In a clean year of real flights and weather no two days in a row reached 1.1."""
OFFSETS = ((9 / 5, 32.0), (5 / 9, -160 / 9), (1.0, 273.15), (1.0, -273.15), (5 / 9, 255.372), (9 / 5, -459.67))
"""Celsius, Fahrenheit, Kelvin as (scale, offset)."""


@dataclass(frozen=True, slots=True, eq=False)
class _Levels:
    """Mean and deviation of each block."""

    mean: Values
    deviation: Values
    count: Values


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


def jump_signals(baseline: Baseline, traffic: Traffic) -> list[Signal]:
    """Signals ``SwappedColumns``, ``UnitChange`` and ``OutOfRange``, each strong in at least one block."""
    jumped: dict[int, _Jump] = {}
    for at, feature in enumerate(baseline.layout.features):
        if feature.role is Role.INPUT and feature.kind is FeatureKind.NUMBER and _varies(baseline, at):
            found = _jumps(baseline, traffic, at)
            if found.strong.any():
                jumped[at] = found
    out = _swapped(baseline, traffic, jumped)
    taken = {at for signal in out for at in signal.features}
    for at, jump in jumped.items():
        if at in taken:
            continue
        strong, sound, size = jump.strong, jump.sound, jump.size
        factor = _unit(baseline, traffic, at, jump)
        if factor is not None:
            out.append(
                Signal("UnitChange", (at,), strong, sound, size, LIMIT, f"jump of the level ({factor}), in usual steps")
            )
        else:
            far = strong & _far_out(baseline, traffic, at)
            if far.any():
                out.append(Signal("OutOfRange", (at,), far, sound, size, LIMIT, "jump of the level, in usual steps"))
    return out


def _varies(baseline: Baseline, at: int) -> bool:
    return bool(baseline.total.high[at] > baseline.total.low[at])


def _levels(baseline: Baseline, counts: NDArray[np.int64] | NDArray[np.int32], stats: Values, at: int) -> _Levels:
    part, feature = baseline.layout.part(at), baseline.layout.features[at]
    count = counts[:, part][:, :-1].sum(axis=1) - stats[:, at, INFINITE]
    safe = np.maximum(count, 1.0)
    mean = stats[:, at, SUM] / safe
    deviation = np.sqrt(np.maximum(stats[:, at, SQUARES] / safe - mean**2, 0.0))
    return _Levels(feature.centre + mean, deviation, count.astype(np.float64))


def _jumps(baseline: Baseline, traffic: Traffic, at: int) -> _Jump:
    """Strong needs two blocks in a row: one stormy day is a jump, too."""
    feature, table = baseline.layout.features[at], baseline.blocks
    past = _levels(baseline, table.counts, table.stats, at)
    kept = past.count >= 20
    means, deviations = past.mean[kept].tolist(), past.deviation[kept].tolist()
    if means:
        steps = [abs(means[i] - median(means[max(0, i - RECENT) : i])) for i in range(1, len(means))]
        usual = max([*steps, 0.25 * feature.spread])
    else:
        whole = _levels(baseline, baseline.total.counts[None, :], baseline.total.stats[None, :], at)
        means, deviations, usual = whole.mean.tolist(), whole.deviation.tolist(), 2 * feature.spread
    recent, recent_dev = means[-RECENT:], deviations[-RECENT:]
    live = _levels(baseline, traffic.counts, traffic.stats, at)
    usable = traffic.whole & (live.count >= 20)
    every = np.concatenate([recent, live.mean[usable]])
    if every.max() - every.min() <= LIMIT * usual:  # no two levels are that far apart
        none = np.zeros(len(usable), dtype=np.bool_)
        return _Jump(none, usable, np.zeros((len(usable), 2)), np.zeros(len(usable)), usual)
    return _walk(live, usable, recent, recent_dev, usual)


def _walk(live: _Levels, usable: Flags, recent: list[float], recent_dev: list[float], usual: float) -> _Jump:
    """Block by block, the last sound ones moving along."""
    now, now_dev = live.mean.tolist(), live.deviation.tolist()
    far, sound = np.zeros(len(now), dtype=np.bool_), np.zeros(len(now), dtype=np.bool_)
    before, step = np.zeros((len(now), 2)), np.zeros(len(now))
    for i in range(len(now)):
        level = median(recent)
        before[i] = level, median(recent_dev)
        if not usable[i]:
            continue
        step[i] = abs(now[i] - level) / usual
        far[i] = step[i] > LIMIT
        sound[i] = step[i] <= LIMIT / 2
        if not far[i]:
            recent, recent_dev = [*recent, now[i]][-RECENT:], [*recent_dev, now_dev[i]][-RECENT:]
    return _Jump(runs(far, 2), sound, before, step, usual)


def _unit(baseline: Baseline, traffic: Traffic, at: int, jump: _Jump) -> str | None:
    """The known change of unit that explains the jumped blocks: undone, their level and deviation are those of just
    before.
    """
    live = _levels(baseline, traffic.counts, traffic.stats, at)
    mean, deviation = float(np.median(live.mean[jump.strong])), float(np.median(live.deviation[jump.strong]))
    was, was_dev = (float(each) for each in np.median(jump.before[jump.strong], axis=0))
    width_was = max(was_dev, 0.25 * baseline.layout.features[at].spread)
    changes = [(f, 0.0) for factor in FACTORS for f in (factor, 1 / factor)] + list(OFFSETS)
    best, name = 1.0, None
    for factor, offset in changes:
        level = abs((mean - offset) / factor - was) / max(width_was, jump.usual)
        width = abs(np.log(max(deviation / factor, 1e-300) / width_was)) / np.log(2.5)
        fit = max(level, width)
        if fit < best:
            best, name = fit, f"x {factor:g}" + (f" {offset:+g}" if offset else "")
    return name


def _far_out(baseline: Baseline, traffic: Traffic, at: int) -> Flags:
    """Blocks whose mean lies outside of the reference's range by more than the range itself."""
    low, high = float(baseline.total.low[at]), float(baseline.total.high[at])
    live = _levels(baseline, traffic.counts, traffic.stats, at)
    reach = high - low
    found: Flags = (live.mean > high + reach) | (live.mean < low - reach)
    return found


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
    live = _levels(baseline, traffic.counts, traffic.stats, at)
    mean, deviation = float(np.median(live.mean[blocks])), float(np.median(live.deviation[blocks]))
    was, was_dev = (float(each) for each in np.median(other.before[blocks], axis=0))
    return abs(mean - was) <= max(was_dev, other.usual) and 0.4 <= deviation / max(was_dev, 1e-300) <= 2.5
