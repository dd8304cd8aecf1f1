"""A shop with customers: columns that hang together, a label with known odds, and what can go wrong with them."""

from __future__ import annotations

import numpy as np
import pandas as pd

ROWS = 3000
START = pd.Timestamp("2024-03-01")


def rows(seed: int, size: int = ROWS, day: float = 0.0) -> pd.DataFrame:
    """``size`` customers in order of time, 100 a day. ``y``: bought; ``amount``: for how much."""
    rng = np.random.default_rng(seed)
    wealth = rng.normal(size=size)
    income = np.exp(10 + 0.6 * wealth + 0.15 * rng.normal(size=size))
    spend = income * np.exp(rng.normal(-3, 0.25, size))
    age = np.round(rng.gamma(8, 6, size) + 18)
    plan = np.where(
        wealth + rng.normal(0, 0.5, size) > 0.5, "Premium", np.where(rng.random(size) < 0.4, "Basic", "Café")
    )
    region = rng.choice(["north", "south", "east"], size, p=[0.5, 0.3, 0.2])
    temperature = np.round(12 + 8 * rng.normal(size=size), 1)
    odds = 1.6 * wealth - 0.05 * (age - 66) + 0.9 * (plan == "Premium") - 0.5 * (region == "east") - 0.2
    at = START + pd.to_timedelta(day + np.sort(rng.uniform(0, size / 100, size)), unit="D")
    return pd.DataFrame(
        {
            "at": at,
            "income": np.round(income, 2),
            "spend": np.round(spend, 2),
            "age": age,
            "plan": pd.Series(plan, dtype=object),
            "region": pd.Series(region, dtype=object),
            "temperature": temperature,
            "y": (rng.random(size) < 1 / (1 + np.exp(-odds))).astype(float),
            "amount": np.round(50 + 20 * odds + rng.normal(0, 8, size), 2),
        }
    )


def reference(seed: int = 1) -> pd.DataFrame:
    """Sixty days before."""
    return rows(seed, 2 * ROWS, day=-60.0)


ONSET = 1600
"""Row from which things go wrong."""


def since(frame: pd.DataFrame) -> pd.Series:
    return pd.Series(frame.index >= ONSET)
