"""Incidents by recipe: what is done to a host's rows from a moment on, and what the right answer is.

Reference: the first 55 % of the host. Current: clean rows, then rows under the incident to the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from hosts import TARGET, TIME, Host

LEVELS = ("low", "middle", "high")
REFERENCE, CURRENT = 0.55, 0.25
"""Shares of the host's rows."""
FACTORS = (12.0, 100.0, 2.54, 60.0, 1 / 12, 0.4536, 1 / 100, 24.0)
SENTINELS: tuple[object, ...] = (None, -1.0, 999.0)


@dataclass(frozen=True)
class Incident:
    """A reference, the rows since, and what is wrong with them."""

    scenario: str
    level: str
    recipe: str
    reference: pd.DataFrame
    current: pd.DataFrame
    onset: pd.Timestamp | None
    """None: nothing began, or its moment does not matter."""
    right: frozenset[str]
    """Actions that are right."""
    columns: frozenset[str] = frozenset()
    """Of a data fault: all must be named, and no other."""


@dataclass
class Stage:
    """What a recipe works on."""

    host: Host
    rng: np.random.Generator
    level: int
    """0 low, 1 middle, 2 high."""
    reference: pd.DataFrame
    before: pd.DataFrame
    after: pd.DataFrame
    """More rows than needed, for recipes that leave rows out."""
    size: int
    """Rows under the incident in the end."""
    top: list[str]
    """Features, the most important first."""
    columns: list[str] = field(default_factory=list)
    recipe: str = ""

    def of(self, *choices: float) -> float:
        return choices[self.level]

    def numbers(self) -> list[str]:
        return [c for c in self.top if self.after[c].dtype != object]

    def texts(self) -> list[str]:
        return [c for c in self.top if self.after[c].dtype == object]

    def one(self, names: list[str], among: int = 3) -> str:
        return names[int(self.rng.integers(min(among, len(names))))]

    def cut(self) -> None:
        self.after = self.after.iloc[: self.size].copy()


class NotHereError(Exception):
    """The host has no column for this recipe."""


def unit(s: Stage) -> None:
    s.cut()
    numbers = [c for c in s.numbers() if s.reference[c].nunique() > 12 and s.reference[c].abs().median() > 0]
    if not numbers:
        raise NotHereError
    name = s.one(numbers)
    factor = float(s.rng.choice(FACTORS)) if s.level else 2.54
    hit = s.rng.random(len(s.after)) < s.of(0.3, 1.0, 1.0)
    s.after.loc[hit, name] = s.after.loc[hit, name] * (factor if s.level < 2 else 1000.0)
    s.columns, s.recipe = [name], f"{name} x {factor if s.level < 2 else 1000:.4g}"


def nulls(s: Stage) -> None:
    s.cut()
    name = s.one(s.top)
    hit = s.rng.random(len(s.after)) < s.of(0.15, 0.6, 0.95)
    sentinel = SENTINELS[int(s.rng.integers(3))] if s.after[name].dtype != object else (None, "?")[s.rng.integers(2)]
    if sentinel is not None and (s.reference[name] == sentinel).mean() > 0.001:
        sentinel = None
    s.after.loc[hit, name] = np.nan if sentinel is None and s.after[name].dtype != object else sentinel
    s.columns, s.recipe = [name], f"{name} {hit.mean():.0%} = {sentinel}"


def stuck(s: Stage) -> None:
    s.cut()
    varied = [c for c in s.top if s.reference[c].value_counts(normalize=True).iloc[0] < 0.8]
    names = [s.one(varied)]
    if s.level == 2 and len(varied) > 1:
        names.append(next(c for c in varied if c != names[0]))
    for name in names:
        hit = np.arange(len(s.after)) >= (0.6 * len(s.after) if s.level == 0 else 0)
        known = s.before[name].dropna()
        s.after.loc[hit, name] = known.iloc[-1]
    s.columns, s.recipe = names, f"{names} stuck"


def rename(s: Stage) -> None:
    s.cut()
    texts = [c for c in s.texts() if s.reference[c].nunique() > 1] or [
        c for c in s.numbers() if 2 < s.reference[c].nunique() <= 25
    ]
    if not texts:
        raise NotHereError
    name = s.one(texts)
    share = s.reference[name].value_counts(normalize=True)
    text = s.after[name].dtype == object
    if s.level == 2:
        new = {v: (str(v).upper() + "_V2" if text else v + 100.0) for v in share.index}
    else:
        common = share.index[(share < 0.1) & (share > 0.02)] if s.level == 0 else share.index[share > 0.1]
        common = common if len(common) else share.index[:2]
        chosen = common[int(s.rng.integers(len(common)))]
        new = {chosen: f"{chosen} (new)" if text else 900.0 + chosen}
    s.after[name] = s.after[name].map(lambda v: new.get(v, v))
    s.columns, s.recipe = [name], f"{name} {list(new.items())[:1]}"


def swap(s: Stage) -> None:
    s.cut()
    numbers, texts = s.numbers()[:6], s.texts()[:6]
    pairs = [(a, b) for names in (numbers, texts) for i, a in enumerate(names) for b in names[i + 1 :]]
    pairs = [(a, b) for a, b in pairs if _unlike(s.reference[a], s.reference[b])]
    if not pairs:
        raise NotHereError
    first = pairs[int(s.rng.integers(min(4, len(pairs))))]
    apart = [p for p in pairs if not set(p) & set(first)]
    chosen = [first, *apart[: 1 if s.level == 2 else 0]]
    hit = s.rng.random(len(s.after)) < s.of(0.3, 1.0, 1.0)
    for a, b in chosen:
        s.after.loc[hit, [a, b]] = s.after.loc[hit, [b, a]].to_numpy(copy=True)
    s.columns, s.recipe = [c for pair in chosen for c in pair], f"{chosen} swapped"


def _unlike(a: pd.Series, b: pd.Series) -> bool:
    """A swap of two columns that look alike and say the same cannot be seen, and does no harm."""
    return bool((a.astype(str).to_numpy() != b.astype(str).to_numpy()).mean() > 0.3)


def repeated(s: Stage) -> None:
    """Duplicates, or an older batch again."""
    kind = ("duplicates", "stale")[int(s.rng.integers(2))]
    share = s.of(0.1, 0.3, 0.6)
    s.cut()
    if kind == "duplicates":
        again = np.sort(s.rng.choice(len(s.after), int(share * len(s.after)), replace=False))
        s.after = pd.concat([s.after, s.after.iloc[again]]).sort_values(TIME, kind="stable").iloc[: s.size]
    else:
        old = s.before.iloc[-int(min(1.0, 2 * share) * min(len(s.before), len(s.after))) :]
        copy = old.copy()
        copy[TIME] = s.after[TIME].iloc[: len(old)].to_numpy()
        s.after = pd.concat([copy, s.after.iloc[len(old) :]])
    s.recipe = kind


def gap(s: Stage) -> None:
    """Rows that do not come."""
    s.cut()
    s.columns, s.recipe = [], "gap"
    s.after = s.after.iloc[int(s.of(0.2, 0.4, 0.6) * len(s.after)) :]


def labels(s: Stage) -> None:
    """Constant, shuffled, flipped, moved by a row, or (numbers) in another unit."""
    s.cut()
    y = s.after[TARGET].to_numpy().copy()
    if s.level == 0:
        kind, hit = "a fifth lost", s.rng.random(len(y)) < 0.2
        new = np.where(hit, 0, y)
    elif s.level == 2:
        kind, new = "constant", np.full(len(y), 0)
    else:
        kinds = ("constant", "shuffled", "moved", "unit" if s.host.regression else "flipped")
        kind = kinds[int(s.rng.integers(4))]
        new = {
            "constant": np.zeros_like(y),
            "shuffled": s.rng.permutation(y),
            "moved": np.roll(y, 1),
            "unit": y * 60.0 if s.host.regression else y,
            "flipped": (1 - y) if not s.host.regression else y,
        }[kind]
    s.after[TARGET] = new
    s.recipe = kind


def _half(s: Stage) -> tuple[str, pd.Series]:
    fit = [c for c in s.top if 0.15 < _side(s.reference[c], s.reference[c]).mean() < 0.85]
    name = s.one(fit)
    return name, _side(s.reference[name], s.after[name])


def _side(reference: pd.Series, values: pd.Series) -> pd.Series:
    """About half of the rows, by the column's value."""
    if reference.dtype == object:
        share = reference.value_counts(normalize=True)
        return values.isin(share.index[(share.cumsum() - share / 2) <= 0.5])
    side = values > reference.median()
    return side if 0.15 < side.mean() < 0.85 else values >= reference.median()


def _flip(s: Stage, hit: np.ndarray) -> None:
    y = s.after[TARGET].to_numpy()
    mirrored = 2 * s.reference[TARGET].median() - y if s.host.regression else 1 - y
    s.after[TARGET] = np.where(hit, mirrored, y)


def sudden(s: Stage) -> None:
    s.cut()
    name, side = _half(s)
    _flip(s, side.to_numpy() & (s.rng.random(len(s.after)) < s.of(0.3, 0.7, 0.95)))
    s.recipe = f"flip by {name}"


def gradual(s: Stage) -> None:
    s.cut()
    name, side = _half(s)
    ramp = np.linspace(0, s.of(0.4, 0.7, 0.95), len(s.after))
    _flip(s, side.to_numpy() & (s.rng.random(len(s.after)) < ramp))
    s.recipe = f"ramp by {name}"


def segment(s: Stage) -> None:
    """A part that was held out of reference and warm-up is let in."""
    low, high = ((0.04, 0.1), (0.1, 0.35), (0.3, 0.6))[s.level]
    found: list[tuple[str, Callable[[pd.DataFrame], pd.Series]]] = []
    for name in s.top[:6]:
        values = s.reference[name]
        if values.dtype == object:
            share = values.value_counts(normalize=True)
            fit = share.index[(share > low) & (share < high)]
            found += [(f"{name} = {of}", lambda f, n=name, v=of: f[n] == v) for of in fit]
        else:
            limit = values.quantile(1 - (low + high) / 2)
            if low < (values >= limit).mean() < high and values.nunique() > 5:
                found.append((f"{name} >= {limit:.4g}", lambda f, n=name, v=limit: f[n] >= v))
    if not found:
        raise NotHereError
    s.recipe, inside = found[int(s.rng.integers(len(found)))]
    s.reference, s.before = s.reference[~inside(s.reference)], s.before[~inside(s.before)]
    s.columns = [s.recipe.split(" ")[0]]
    s.cut()


def prior(s: Stage) -> None:
    if s.host.regression:
        raise NotHereError
    common = s.reference[TARGET].mode().iloc[0]
    keep = (s.after[TARGET] != common) | (s.rng.random(len(s.after)) >= s.of(0.3, 0.6, 0.85))
    s.after = s.after[keep]
    s.cut()
    s.recipe = f"{1 - keep.mean():.0%} of the rows dropped, all of class {common}"


def harmless(s: Stage) -> None:
    name, side = _half(s)
    keep = ~side.to_numpy() | (s.rng.random(len(s.after)) < s.of(0.5, 0.25, 0.1))
    s.after = s.after[keep]
    s.cut()
    s.recipe = f"a stratum of {name} thinned"


def nothing(s: Stage) -> None:
    s.cut()


QUIET = frozenset({"none", "watch"})
DATA, LABEL = frozenset({"fix-data"}), frozenset({"fix-labels"})
SCENARIOS: dict[str, tuple[Callable[[Stage], None], frozenset[str]]] = {
    "unit": (unit, DATA),
    "nulls": (nulls, DATA),
    "stuck": (stuck, DATA),
    "rename": (rename, DATA),
    "swap": (swap, DATA),
    "repeated": (repeated, DATA),
    "gap": (gap, DATA),
    "labels": (labels, LABEL),
    "sudden": (sudden, frozenset({"retrain"})),
    "gradual": (gradual, frozenset({"retrain"})),
    "segment": (segment, frozenset({"retrain"})),
    "prior": (prior, frozenset({"recalibrate", "retrain"})),
    "harmless": (harmless, QUIET),
    "nothing": (nothing, QUIET),
}


def make(
    host: Host, scenario: str, level: str, rng: np.random.Generator, top: list[str], *, retimed: bool, late: bool
) -> Incident:
    """Put one incident into a host.

    Args:
        top: features, the most important first.
        retimed: rows that were left out leave no hole in time (half of the worlds are like that).
        late: the labels of the newest eighth of current are not there yet.

    Raises:
        NotHereError: the host has no column for it.
    """
    recipe, right = SCENARIOS[scenario]
    rows = len(host.frame)
    first, size = int(REFERENCE * rows), int(CURRENT * rows)
    clean = int(rng.uniform(0.4, 0.65) * size)
    frame = host.frame
    stage = Stage(
        host,
        rng,
        LEVELS.index(level),
        frame.iloc[:first].copy(),
        frame.iloc[first : first + clean].copy(),
        frame.iloc[first + clean :].copy(),
        size - clean,
        top,
    )
    recipe(stage)
    after = stage.after
    if retimed and scenario not in ("repeated", "gap", "segment"):
        after = after.assign(**{TIME: frame[TIME].iloc[first + clean :].iloc[: len(after)].to_numpy()})
    current = pd.concat([stage.before, after], ignore_index=True)
    if late:
        current[TARGET] = current[TARGET].astype(object).where(np.arange(len(current)) < 0.875 * len(current))
    quiet = scenario in ("harmless", "nothing")
    faulty = scenario in ("unit", "nulls", "stuck", "rename", "swap")
    began = None if quiet else _began(stage)
    if right == DATA and level == "low":
        right = right | QUIET  # what does no harm may be watched
    found = Incident(scenario, level, stage.recipe, stage.reference, current, began, right)
    return replace(found, columns=frozenset(stage.columns)) if faulty else found


def _began(stage: Stage) -> pd.Timestamp:
    at = stage.after[TIME].iloc[0]
    if stage.recipe.endswith("stuck") and stage.level == 0:
        at = stage.after[TIME].iloc[int(0.6 * len(stage.after))]
    return pd.Timestamp(at)
