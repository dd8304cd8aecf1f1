"""Broken pipelines: columns in another unit, missing, stuck, renamed or exchanged; rows twice, gone, or again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.replay.incidents.stage import NotHereError, Stage

if TYPE_CHECKING:
    import pandas as pd

FACTORS = (12.0, 100.0, 2.54, 60.0, 1 / 12, 0.4536, 1 / 100, 24.0)
SENTINELS: tuple[float | None, ...] = (None, -1.0, 999.0)


def unit(s: Stage) -> None:
    """A number arrives in another unit."""
    s.cut()
    numbers = [c for c in s.numbers() if s.reference[c].nunique() > 12 and s.reference[c].abs().median() > 0]
    name = s.one(numbers)
    factor = float(s.rng.choice(FACTORS)) if s.level else 2.54
    factor = factor if s.level < 2 else 1000.0
    hit = s.rng.random(len(s.after)) < s.of(0.3, 1.0, 1.0)
    s.after.loc[hit, name] = s.after.loc[hit, name] * factor
    s.columns, s.recipe = [name], f"{name} x {factor:.4g}"


def nulls(s: Stage) -> None:
    """A column arrives empty, or as a value that stands for that."""
    s.cut()
    name = s.one(s.top)
    hit = s.rng.random(len(s.after)) < s.of(0.15, 0.6, 0.95)
    text = s.after[name].dtype == object
    sentinel: str | float | None = (None, "?")[s.rng.integers(2)] if text else SENTINELS[int(s.rng.integers(3))]
    if sentinel is not None and (s.reference[name] == sentinel).mean() > 0.001:
        sentinel = None
    s.after.loc[hit, name] = np.nan if sentinel is None and not text else sentinel
    s.columns, s.recipe = [name], f"{name}: {hit.mean():.0%} are {'missing' if sentinel is None else repr(sentinel)}"


def stuck(s: Stage) -> None:
    """A column keeps its last value."""
    s.cut()
    varied = [c for c in s.top if s.reference[c].value_counts(normalize=True).iloc[0] < 0.8]
    names = [s.one(varied)]
    if s.level == 2 and len(varied) > 1:
        names.append(next(c for c in varied if c != names[0]))
    for name in names:
        hit = np.arange(len(s.after)) >= (0.6 * len(s.after) if s.level == 0 else 0)
        s.after.loc[hit, name] = s.before[name].dropna().iloc[-1]
    s.columns, s.recipe = names, f"{' and '.join(names)} stuck"


def rename(s: Stage) -> None:
    """A category comes under another name; at high severity all of them."""
    s.cut()
    texts = [c for c in s.texts() if s.reference[c].nunique() > 1] or [
        c for c in s.numbers() if 2 < s.reference[c].nunique() <= 25
    ]
    name = s.one(texts)
    share = s.reference[name].value_counts(normalize=True)
    text = s.after[name].dtype == object
    new: dict[Any, Any]
    if s.level == 2:
        new = {v: (str(v).upper() + "_V2" if text else v + 100.0) for v in share.index}
    else:
        common = share.index[(share < 0.1) & (share > 0.02)] if s.level == 0 else share.index[share > 0.1]
        common = common if len(common) else share.index[:2]
        chosen = common[int(s.rng.integers(len(common)))]
        new = {chosen: f"{chosen} (new)" if text else 900.0 + chosen}
    s.after[name] = s.after[name].map(lambda v: new.get(v, v))
    was, now = next(iter(new.items()))
    s.columns, s.recipe = [name], f"{name}: {was!r} becomes {now!r}" + (" and so on" if len(new) > 1 else "")


def swap(s: Stage) -> None:
    """Two columns change places."""
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
    s.columns = [c for pair in chosen for c in pair]
    s.recipe = ", ".join(f"{a} and {b}" for a, b in chosen) + " exchanged"


def _unlike(a: pd.Series[Any], b: pd.Series[Any]) -> bool:
    """A swap of two columns that look alike and say the same cannot be seen, and does no harm."""
    return bool((a.astype(str).to_numpy() != b.astype(str).to_numpy()).mean() > 0.3)


def duplicates(s: Stage) -> None:
    """Rows come twice; as many rows as before."""
    import pandas as pd

    s.cut()
    share = s.of(0.1, 0.3, 0.6)
    again = np.sort(s.rng.choice(len(s.after), int(share * len(s.after)), replace=False))
    both = pd.concat([s.after, s.after.iloc[again]]).sort_values(s.time, kind="stable")
    s.after, s.recipe = both.iloc[: s.size], f"{share:.0%} of the rows come twice"


def gap(s: Stage) -> None:
    """No rows come for a while."""
    s.cut()
    hole = s.of(0.2, 0.4, 0.6)
    s.after, s.recipe = s.after.iloc[int(hole * len(s.after)) :], f"the first {hole:.0%} of the rows do not come"


def stale(s: Stage) -> None:
    """An older batch comes again, under today's times."""
    import pandas as pd

    s.cut()
    share = s.of(0.1, 0.3, 0.6)
    old = s.before.iloc[-int(min(1.0, 2 * share) * min(len(s.before), len(s.after))) :].copy()
    old[s.time] = s.after[s.time].iloc[: len(old)].to_numpy()
    s.after, s.recipe = pd.concat([old, s.after.iloc[len(old) :]]), "an older batch again"


def repeated(s: Stage) -> None:
    """One of the three above."""
    (duplicates, gap, stale)[int(s.rng.integers(3))](s)
