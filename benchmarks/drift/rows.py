"""Simulated rows for the drift benchmarks, under a seed."""

from __future__ import annotations

import numpy as np

from trimtab.core.profiles import Categorical, Column

SHAPES = (
    lambda x: x,
    np.exp,
    lambda x: np.floor(np.exp(x)),
    lambda x: np.where(x < 0.8, 0.0, x),
)


def mixed(rng: np.random.Generator, rows: int, features: int) -> dict[str, Column]:
    """Numbers that are normal, log-normal, whole and zero-inflated in turn, every fifth a category of 3 to 40 levels,
    every third with 3 % missing values."""
    out: dict[str, Column] = {}
    for at in range(features):
        gone = rng.random(rows) < 0.03 if at % 3 == 0 else np.zeros(rows, dtype=np.bool_)
        if at % 5 == 4:
            levels = 3 + at % 38
            weights = 1 / np.arange(1, levels + 1)
            codes = np.searchsorted(np.cumsum(weights / weights.sum())[:-1], rng.random(rows)).astype(np.int32)
            codes[gone] = -1
            out[f"c{at}"] = Categorical(codes, tuple(f"level {level}" for level in range(levels)))
            continue
        x = np.asarray(SHAPES[at % 5](rng.normal(size=rows)), dtype=np.float64)
        x[gone] = np.nan
        out[f"x{at}"] = x
    return out


def five_levels(rng: np.random.Generator, rows: int, shares: tuple[float, ...]) -> Categorical:
    """A category with these shares of its five levels."""
    return Categorical(rng.choice(5, rows, p=shares).astype(np.int32), tuple("abcde"))
