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


def two_sided_bound(k: Values, drawn: Values, marked: Values, total: Values) -> Values:
    """A rigorous upper bound of the two-sided p-value of a hypergeometric count, elementwise.

    ``k`` of the ``drawn`` (m) rows are among the ``marked`` (T) of all ``total`` (N). With l = P(k) and r the ratio of
    the next probability outward to this one, the tail beyond k is at most l / (1 - r) (ratios fall outward), so
    p = min(1, 2 l / (1 - r)), or 1 where r >= 1. Valid for every size, also where every expected count is below one.
    """
    k, m, t, n = np.broadcast_arrays(*(np.asarray(each, dtype=np.float64) for each in (k, drawn, marked, total)))
    log_l = log_choose(t, k) + log_choose(n - t, m - k) - log_choose(n, m)
    upward = k * n >= m * t
    up = (t - k) * (m - k) / ((k + 1) * (n - t - m + k + 1))
    down = k * (n - t - m + k) / ((t - k + 1) * (m - k + 1))
    ratio = np.where(upward, up, down)
    with np.errstate(divide="ignore", over="ignore"):
        p = 2.0 * np.exp(log_l) / np.where(ratio < 1, 1 - ratio, 1.0)
    return np.where(ratio < 1, np.minimum(p, 1.0), 1.0)
