"""Numbers in another unit: a constant factor or offset, for all rows or a part of them.

The stretch is undone by each known factor and offset (and by an affine fit of its quantiles) and compared with the
reference by Kolmogorov-Smirnov distance. A change of unit is one that, undone, leaves no more than the reference's own
variation; a shift of the population does not become the old population under any factor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trimtab.core.diagnosis.rows.case import Case, numbers
from trimtab.core.diagnosis.rows.coherence import Bond
from trimtab.core.diagnosis.rows.finding import Finding, confidence
from trimtab.core.diagnosis.rows.when import Change
from trimtab.core.domain.diagnosis import Kind
from trimtab.core.profiles.columns import Categorical, Numbers, take_rows

FACTORS = (
    *(10.0, 100.0, 1000.0, 1e6, 12.0, 60.0, 24.0, 3600.0, 86400.0, 365.25, 365.0, 30.0, 7.0, 52.0),
    *(1.609344, 2.54, 0.45359237, 0.3048, 3.785411784, 4.184, 28.349523, 0.7457, 3.6, 1024.0),
)
OFFSETS = ((1.8, 32.0), (1 / 1.8, -32 / 1.8), (1.0, 273.15), (1.0, -273.15), (1 / 1.8, 255.372), (1.8, -459.67))
"""Celsius, Fahrenheit, Kelvin as (scale, offset)."""
OUTSIDE_SURE = 0.1
"""Share of values that the reference never had from which a known factor that fits needs no tie to confirm it."""
WAS_SURE = 0.7
"""Kolmogorov-Smirnov distance from which the like holds."""
SAMPLE = 4000
GRID = 200


@dataclass(frozen=True, slots=True)
class Undone:
    """A change that explains the stretch."""

    scale: float
    offset: float
    share: float
    """Of the rows that were changed."""
    distance: float
    """Kolmogorov-Smirnov distance that is left."""
    known: bool
    """A known unit rather than a fit."""

    @property
    def words(self) -> str:
        sign = f" {self.offset:+.4g}" if self.offset else ""
        part = f" in {self.share:.0%} of the rows" if self.share < 0.95 else ""
        return f"x {self.scale:.4g}{sign}{part}"


@dataclass(frozen=True, slots=True)
class _Look:
    """The best change against one idea of 'before'."""

    found: Undone
    was: float
    """Distance as it came."""
    natural: float


def units(case: Case, changes: dict[str, Change], tie: Callable[[str], Bond]) -> list[Finding]:
    """Numbers whose unit changed."""
    out = []
    for name, change in changes.items():
        reference, current = case.reference[name], case.current[name]
        if not change.real or isinstance(reference, Categorical) or isinstance(current, Categorical):
            continue
        now = known(current[change.first : change.end])
        if len(np.unique(known(reference))) < 8 or len(now) < 30:
            continue
        whole = _look(known(reference), now)
        just = _look(_just_before(reference, current, change), now)
        best = min([each for each in (whole, just) if each is not None], key=_fit, default=None)
        if best is None:
            continue
        again = _fits_again(case, name, change, best.found, tie)
        outside = float(case.cells[name].outside(case.cells[name].current[change.first : change.end]).mean())
        if not _believable(best, again, outside) or not _on_grid(case, name, change, best.found):
            continue
        was, found = best.was, best.found
        sure = confidence(was / max(found.distance, best.natural / 2), 2.0)
        fits = "" if again is None else " and fits the other columns again"
        text = f"{name}: {found.words}; undone, it is as before{fits} (distance {found.distance:.2g}, now {was:.2g})"
        if again is not None:
            sure = max(sure, 0.93)
        first, end = change.first, change.end
        out.append(Finding(Kind.DATA_FAULT, "UnitChange", (name,), first, end, sure, text, found.scale, best.natural))
    return out


def _fit(look: _Look) -> float:
    return look.found.distance / max(look.natural, 1e-9)


def _look(before: Numbers, now: Numbers) -> _Look | None:
    if len(before) < 30:
        return None
    found = best_change(before, now)
    return None if found is None else _Look(found, distance(before, now), max(variation(before, len(now)), 0.02))


def _just_before(reference: Numbers, current: Numbers, change: Change) -> Numbers:
    """As many rows as the stretch has, just before it: the season, where there is one."""
    size = change.end - change.first
    return known(np.concatenate([reference, current[: change.first]])[-size:])


def _on_grid(case: Case, name: str, change: Change, found: Undone) -> bool:
    """A number with few values has, undone, values that it had before."""
    if not case.cells[name].by_level or found.share < 0.95:
        return True
    reference, values = numbers(case.reference[name]), numbers(case.current[name])[change.first : change.end]
    undone = (values[np.isfinite(values)] - found.offset) / found.scale
    had = np.unique(reference[np.isfinite(reference)])
    near = had[np.clip(np.searchsorted(had, undone), 0, len(had) - 1)]
    left = had[np.clip(np.searchsorted(had, undone) - 1, 0, len(had) - 1)]
    apart = np.minimum(np.abs(near - undone), np.abs(left - undone))
    return float((apart <= 1e-3 * np.maximum(np.abs(undone), 1e-9) + 1e-9).mean()) > 0.9


def _believable(look: _Look, again: float | None, outside: float) -> bool:
    """A change that the tie to the other columns confirms may fit roughly; one that it cannot confirm must fit well;
    one that it denies is none."""
    found, natural = look.found, look.natural
    ratio = look.was / max(found.distance, 1e-9)
    if found.share < 0.95 and outside < 0.3 * found.share:
        return False
    far = found.known and found.share > 0.95 and not 0.2 < found.scale < 5  # no population shifts like this
    if far and look.was > WAS_SURE and ratio > 6:
        return found.distance <= max(natural, 0.15)
    if far and outside > OUTSIDE_SURE:
        return found.distance <= natural and ratio > 6
    if again is not None and found.share < 0.95:
        return again > 0.5 * found.share and found.distance <= natural and ratio > 4
    if again is not None:
        return again > 0.15 * found.share and found.distance <= max(1.5 * natural, 0.12) and ratio > 2
    if not found.known and 0.5 < found.scale < 2:
        return False  # nothing but the shape says so, and shapes come and go with the season
    near = 0.7 < found.scale < 1.45
    if found.share < 0.95 and 0.5 < found.scale < 2:
        return False  # a tail that grew looks like it, too
    if found.share < 0.95:
        return found.distance <= natural and ratio > 4 and outside > 0.5 * found.share
    return found.distance <= min(natural, 0.15) and ratio > (4 if near or not found.known else 2.5)


def _fits_again(case: Case, name: str, change: Change, found: Undone, tie: Callable[[str], Bond]) -> float | None:
    """By how much of its usual tie the column gains when the change is undone (a part of the rows: how much of it they
    lost); None where there is no tie to ask."""
    bond = tie(name)
    if not bond.tells:
        return None
    rows = np.arange(change.first, change.end)[:: max((change.end - change.first) // 2000, 1)]
    now = take_rows(case.current, rows)
    if found.share < 0.95:
        clean = np.arange(0, change.first)[:: max(change.first // 2000, 1)]
        usual = bond.kept(take_rows(case.current, clean)) if len(clean) >= 100 else 1.0
        return usual - bond.kept(now)
    column = now[name]
    if isinstance(column, Categorical):
        return None
    return bond.kept({**now, name: (column - found.offset) / found.scale}) - bond.kept(now)


def known(values: Numbers) -> Numbers:
    """The finite ones, thinned to ``SAMPLE``, sorted."""
    finite = values[np.isfinite(values)]
    step = max(len(finite) // SAMPLE, 1)
    found: Numbers = np.sort(finite[::step])
    return found


def distance(a: Numbers, b: Numbers) -> float:
    """Kolmogorov-Smirnov distance of two sorted samples."""
    both = np.concatenate([a, b])
    left = np.searchsorted(a, both, side="right") / max(len(a), 1)
    right = np.searchsorted(b, both, side="right") / max(len(b), 1)
    return float(np.abs(left - right).max(initial=0.0))


def variation(before: Numbers, rows: int) -> float:
    """What two samples of one population differ by (probability 0.001)."""
    return float(1.95 * np.sqrt(1 / max(len(before), 1) + 1 / max(min(rows, SAMPLE), 1)))


def best_change(before: Numbers, now: Numbers) -> Undone | None:
    """The change of unit that explains the stretch best, alone or as a part of the rows."""
    tries = [(f, 0.0, True) for factor in FACTORS for f in (factor, 1 / factor)]
    width = float(before.std())
    tries += [(scale, offset, True) for scale, offset in OFFSETS if abs(offset) > 0.1 * width]
    scale, offset = affine(before, now)
    if scale > 0 and not (0.8 < scale < 1.25 and abs(offset) < 0.7 * before.std()):
        tries.append((scale, offset, False))
    found = [Undone(s, o, 1.0, distance(before, (now - o) / s), is_known) for s, o, is_known in tries]
    best = min(found, key=lambda each: each.distance)
    plain = min((each for each in found if each.known), key=lambda each: each.distance)
    if plain.distance <= max(1.3 * best.distance, variation(before, len(now))):
        best = plain
    if best.distance < 0.1:
        return best
    parts = [_partial(before, now, s, o) for s, o, is_known in tries if is_known]
    return min([best, *parts], key=lambda each: each.distance)


def affine(before: Numbers, now: Numbers) -> tuple[float, float]:
    """Least squares of the stretch's quantiles on the reference's, 5 to 95 %."""
    at = np.linspace(0.05, 0.95, 37)
    x, y = np.quantile(before, at), np.quantile(now, at)
    if np.ptp(x) <= 0 or np.ptp(y) <= 0:
        return 0.0, 0.0
    scale, offset = np.polyfit(x, y, 1)
    return float(scale), float(offset)


def _partial(before: Numbers, now: Numbers, scale: float, offset: float) -> Undone:
    """A part of the rows changed: the stretch's distribution as a mixture of both, by least squares."""
    grid = np.quantile(np.concatenate([before, now]), np.linspace(0.01, 0.99, GRID))
    plain = np.searchsorted(before, grid, side="right") / len(before)
    moved = np.searchsorted(before * scale + offset, grid, side="right") / len(before)
    mixed = np.searchsorted(now, grid, side="right") / len(now)
    apart = moved - plain
    size = float(np.dot(apart, apart))
    share = float(np.clip(np.dot(apart, mixed - plain) / size, 0.0, 1.0)) if size > 0 else 0.0
    left = float(np.abs(mixed - plain - share * apart).max())
    return Undone(scale, offset, share, left if share > 0.05 else 1.0, True)
