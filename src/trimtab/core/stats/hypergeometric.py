"""Exact tests of many shares at once: how surprising is it that k of the m current rows fall in a region that holds
T of all N rows?
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

_SMALL = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, 256)))])


def log_factorial(n: Values) -> Values:
    """ln n! for whole n >= 0: a table under 256, Stirling's series from there (relative error under 1e-15).

    >>> float(np.round(log_factorial(np.array([5.0]))[0], 6)) == round(float(np.log(120)), 6)
    True
    """
    x = np.maximum(n, 1.0)
    inverse = 1.0 / x
    series = inverse * (1 / 12 - inverse**2 * (1 / 360 - inverse**2 / 1260))
    stirling = x * np.log(x) - x + 0.5 * np.log(2 * np.pi * x) + series
    return np.where(n < 256, _SMALL[np.clip(n, 0, 255).astype(np.intp)], stirling)


def log_choose(n: Values, k: Values) -> Values:
    """ln of n over k, for 0 <= k <= n."""
    return log_factorial(n) - log_factorial(k) - log_factorial(n - k)


SLIGHT = 0.01
"""A direction in which not even the most extreme count has a smaller probability than this can show nothing."""


def region_p(k: Values, drawn: Values, marked: Values, total: Values) -> tuple[Values, Values]:
    """Rigorous upper bounds of the p-values of hypergeometric counts, and the least that could have come out.

    ``k`` of the ``drawn`` (m) rows are among the ``marked`` (T) of all ``total`` (N). With l = P(k) and r the ratio of
    the next probability outward to this one, the tail beyond k is at most l / (1 - r) (ratios fall outward); 1 where
    r >= 1. The p-value is twice that, or once where T, m and N alone say that the other direction can show nothing (the
    most extreme count there has a probability above ``SLIGHT``): then all of the evidence is looked for on one side.
    Valid for every size, also where every expected count is below one.

    Args:
        k, drawn, marked, total: whole numbers, broadcast together.

    Returns:
        (p, least): ``least`` depends on T, m and N only, so a family may leave out regions by it without harm to the
        validity of the rest (Tarone 1990); 1 where neither direction can show anything.

    >>> p, least = region_p(np.array([4.0]), np.array([500.0]), np.array([4.0]), np.array([5500.0]))
    >>> float(p[0]) < 7e-5, bool(least[0] == p[0])  # all four marked rows are among the drawn ones
    (True, True)
    """
    k, m, t, n = np.broadcast_arrays(*(np.asarray(each, dtype=np.float64) for each in (k, drawn, marked, total)))
    whole, rest = log_factorial(t) + log_factorial(n - t) - log_choose(n, m), n - t - m

    def log_p(x: Values) -> Values:
        inside = log_factorial(x) + log_factorial(t - x)
        return whole - inside - log_factorial(m - x) - log_factorial(rest + x)

    with np.errstate(divide="ignore", over="ignore"):
        low = np.exp(log_p(np.maximum(0.0, m + t - n)))
        high = np.exp(log_p(np.minimum(t, m)))
        upward = k * n >= m * t
        up = (t - k) * (m - k) / ((k + 1) * (rest + k + 1))
        down = k * (rest + k) / ((t - k + 1) * (m - k + 1))
        ratio = np.where(upward, up, down)
        tail = np.where(ratio < 1, np.exp(log_p(k)) / np.where(ratio < 1, 1 - ratio, 1.0), 1.0)
    sides = (low <= SLIGHT).astype(np.float64) + (high <= SLIGHT)
    shown = np.where(upward, high, low) <= SLIGHT
    p = np.where(shown, np.minimum(sides * tail, 1.0), 1.0)
    best = np.minimum(np.where(low <= SLIGHT, low, 1.0), np.where(high <= SLIGHT, high, 1.0))
    return p, np.where(sides > 0, np.minimum(sides * best, 1.0), 1.0)
