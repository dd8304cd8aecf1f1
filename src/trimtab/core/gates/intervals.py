"""Confidence intervals that the gates rest on: a figure of time-ordered rows, and a quantile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

BLOCKS_MAX = 40
BLOCKS_MIN = 8
BLOCK_ROWS_MIN = 25


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its two-sided confidence interval, in the unit of the data."""

    estimate: float
    low: float
    high: float
    level: float
    method: str


def t_quantile(p: float, df: int) -> float:
    """Quantile of Student's t by Hill's expansion, exact for 1 and 2 degrees of freedom, to 4 digits beyond.

    G. W. Hill, "Algorithm 396: Student's t-quantiles", Communications of the ACM 13 (1970).

    >>> round(t_quantile(0.975, 39), 4), round(t_quantile(0.975, 4), 3), round(t_quantile(0.5, 7), 4)
    (2.0227, 2.776, 0.0)
    """
    if not 0.0 < p < 1.0 or df < 1:
        raise ValueError(f"t_quantile needs 0 < p < 1 and df >= 1, found p={p}, df={df}")
    if p < 0.5:
        return -t_quantile(1.0 - p, df)
    if df == 1:
        return float(np.tan(np.pi * (p - 0.5)))
    if df == 2:
        return (2.0 * p - 1.0) * sqrt(2.0 / (4.0 * p * (1.0 - p)))
    tail = 2.0 * (1.0 - p)
    a = 1.0 / (df - 0.5)
    b = 48.0 / (a * a)
    c = ((20700.0 * a / b - 98.0) * a - 16.0) * a + 96.36
    d = ((94.5 / (b + c) - 3.0) / b + 1.0) * sqrt(a * np.pi / 2.0) * df
    x = d * tail
    y = x ** (2.0 / df)
    if y > 0.05 + a:
        x = NormalDist().inv_cdf(tail * 0.5)
        y = x * x
        if df < 5:
            c += 0.3 * (df - 4.5) * (x + 0.6)
        c = (((0.05 * d * x - 5.0) * x - 7.0) * x - 2.0) * x + b + c
        y = (((((0.4 * y + 6.3) * y + 36.0) * y + 94.5) / c - y - 3.0) / b + 1.0) * x
        y = float(np.expm1(a * y * y))
    else:
        y = ((1.0 / (((df + 6.0) / (df * y) - 0.089 * d - 0.822) * (df + 2.0) * 3.0) + 0.5 / (df + 4.0)) * y - 1.0) * (
            df + 1.0
        ) / (df + 2.0) + 1.0 / y
    return sqrt(df * y)


def block_edges(n: int) -> NDArray[np.intp]:
    """Edges of consecutive blocks of n rows, shape (blocks + 1,): at most 40 of at least 25 rows; below 200 rows, each
    row is its own block."""
    blocks = min(BLOCKS_MAX, n // BLOCK_ROWS_MIN)
    return np.linspace(0, n, (blocks if blocks >= BLOCKS_MIN else n) + 1).round().astype(np.intp)


def jackknife_interval(statistic: Callable[[NDArray[np.bool_]], float], n: int, level: float = 0.95) -> Interval:
    """Interval for a statistic of n rows in time order, by leaving out one block of consecutive rows at a time.

    Neighbours in time resemble each other (one storm delays a day of flights), so whole blocks are left out: at most
    40, of at least 25 rows. estimate +- t * sqrt((b - 1) / b * sum (without_i - mean)^2); for a mean this is the method
    of batch means. Holds for smooth statistics when the dependence is shorter than a block; under 200 rows each row is
    its own block, which assumes independent rows.

    Source: Kuensch, "The jackknife and the bootstrap for general stationary observations", Ann. Statist. 17 (1989).

    Args:
        statistic: from a mask of shape (n,) to the figure; NaN on a subset that does not define it.
        n: rows, at least 2.
        level: two-sided confidence.

    >>> values = np.array([0.0, 1.0] * 520)
    >>> result = jackknife_interval(lambda rows: float(values[rows].mean()), len(values))
    >>> result.estimate, abs(result.high - result.low) < 1e-9
    (0.5, True)
    """
    if n < 2:
        raise ValueError(f"an interval needs at least two rows, found {n}")
    edges = block_edges(n)
    rows = np.ones(n, bool)
    whole = statistic(rows)
    without = np.empty(len(edges) - 1)
    for i, (start, stop) in enumerate(pairwise(edges)):
        rows[start:stop] = False
        without[i] = statistic(rows)
        rows[start:stop] = True
    count = len(without)
    half = t_quantile(0.5 + level / 2.0, count - 1) * sqrt(
        (count - 1) / count * float(((without - without.mean()) ** 2).sum())
    )
    unit = "rows" if count == n else "blocks of time"
    return Interval(whole, whole - half, whole + half, level, f"jackknife over {count} {unit}")


def quantile_interval(values: NDArray[np.float64], q: float, level: float = 0.95) -> Interval:
    """Interval for a quantile from order statistics: no assumption but exchangeable values.

    The number of values under the q-quantile is Binomial(n, q); the interval runs between the order statistics at its
    (1 - level)/2 and (1 + level)/2 points. Where n is too small for an upper bound it is infinite.

    Source: David & Nagaraja, "Order Statistics" (2003), 7.1.

    >>> result = quantile_interval(np.arange(1.0, 101.0), 0.5)
    >>> result.low, result.high
    (40.0, 61.0)
    """
    n = len(values)
    if n == 0 or not 0.0 < q < 1.0:
        raise ValueError(f"quantile_interval needs values and 0 < q < 1, found {n} values, q={q}")
    ordered = np.sort(values)
    cumulative = np.cumsum(_binomial(n, q))
    alpha = (1.0 - level) / 2.0
    low = int(np.searchsorted(cumulative, alpha, side="right"))
    high = int(np.searchsorted(cumulative, 1.0 - alpha)) + 1
    return Interval(
        estimate=float(ordered[max(0, ceil(q * n) - 1)]),
        low=float(ordered[low - 1]) if low >= 1 else float("-inf"),
        high=float(ordered[high - 1]) if high <= n else float("inf"),
        level=level,
        method="order statistics",
    )


def _binomial(n: int, q: float) -> NDArray[np.float64]:
    """Probabilities of Binomial(n, q), shape (n + 1,), by recursion outward from the mode."""
    mode = min(n, floor((n + 1) * q))
    p = np.zeros(n + 1)
    p[mode] = 1.0
    for k in range(mode, n):
        p[k + 1] = p[k] * (n - k) / (k + 1) * q / (1.0 - q)
    for k in range(mode, 0, -1):
        p[k - 1] = p[k] * k / (n - k + 1) * (1.0 - q) / q
    p /= p.sum()
    return p
