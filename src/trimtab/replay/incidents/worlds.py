"""Broken labels, and worlds that changed: concepts, segments, class shares, and shifts that do no harm."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.replay.incidents.stage import NotHereError, Stage

if TYPE_CHECKING:
    import pandas as pd


def labels(s: Stage) -> None:
    """Labels become constant, shuffled, another class's, moved by a row, or (numbers) another unit's."""
    s.cut()
    y = s.after[s.target].to_numpy().copy()
    if s.level == 0:
        kind, new = "a fifth of the labels is lost", np.where(s.rng.random(len(y)) < 0.2, 0, y)
    elif s.level == 2:
        kind, new = "all labels are the same", np.zeros_like(y)
    else:
        kind = ("constant", "shuffled", "moved", "turned")[int(s.rng.integers(4))]
        kind, new = {
            "constant": ("all labels are the same", np.zeros_like(y)),
            "shuffled": ("labels are exchanged among rows", s.rng.permutation(y)),
            "moved": ("each label is the row before's", np.roll(y, 1)),
            "turned": (
                ("labels are turned round", (y + 1) % s.classes)
                if s.classes
                else ("labels are in another unit", y * 60.0)
            ),
        }[kind]
    s.after[s.target] = new
    s.recipe = kind


def sudden(s: Stage) -> None:
    """In one half of a column's values outcomes turn round at once."""
    s.cut()
    name, half = s.half()
    s.flip(half.to_numpy() & (s.rng.random(len(s.after)) < s.of(0.3, 0.7, 0.95)))
    s.recipe = f"outcomes flip in one half of {name}"


def gradual(s: Stage) -> None:
    """The same, more and more."""
    s.cut()
    name, half = s.half()
    ramp = np.linspace(0, s.of(0.4, 0.7, 0.95), len(s.after))
    s.flip(half.to_numpy() & (s.rng.random(len(s.after)) < ramp))
    s.recipe = f"outcomes flip more and more in one half of {name}"


def segment(s: Stage) -> None:
    """A part that was held out of everything before is let in."""
    low, high = ((0.04, 0.1), (0.1, 0.35), (0.3, 0.6))[s.level]
    found: list[tuple[str, str, Callable[[pd.DataFrame], pd.Series[Any]]]] = []
    for name in s.top[:6]:
        values = s.reference[name]
        if values.dtype == object:
            share = values.value_counts(normalize=True)
            fit = share.index[(share > low) & (share < high)]
            found += [(name, f"{name} = {of}", lambda f, n=name, v=of: f[n] == v) for of in fit]  # type: ignore[misc]
        else:
            limit = values.quantile(1 - (low + high) / 2)
            if low < (values >= limit).mean() < high and values.nunique() > 5:
                found.append((name, f"{name} >= {limit:.4g}", lambda f, n=name, v=limit: f[n] >= v))  # type: ignore[misc]
    if not found:
        raise NotHereError
    name, s.recipe, inside = found[int(s.rng.integers(len(found)))]
    s.reference, s.before = s.reference[~inside(s.reference)], s.before[~inside(s.before)]
    s.columns = [name]
    s.cut()


def prior(s: Stage) -> None:
    """Rows of the commonest class become rarer."""
    if not s.classes:
        raise NotHereError
    common = s.reference[s.target].mode().iloc[0]
    keep = (s.after[s.target] != common) | (s.rng.random(len(s.after)) >= s.of(0.3, 0.6, 0.85))
    s.after = s.after[keep]
    s.cut()
    s.recipe = f"{1 - keep.mean():.0%} of the rows do not come, all of the commonest class"


def harmless(s: Stage) -> None:
    """One half of a column's values becomes rarer; outcomes given the inputs stay."""
    name, half = s.half()
    keep = ~half.to_numpy() | (s.rng.random(len(s.after)) < s.of(0.5, 0.25, 0.1))
    s.after = s.after[keep]
    s.cut()
    s.recipe = f"one half of {name} becomes rarer"


def nothing(s: Stage) -> None:
    """All stays as it is."""
    s.cut()
    s.recipe = "nothing happens"
