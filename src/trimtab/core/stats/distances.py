"""Distances between two distributions given as counts over the same bins. All are figures, not alarms: none has a
fixed safe limit.

Two samples of 200 rows of the same distribution reach PSI 0.2 easily, and with a million rows every KS test
rejects; alarms stand in
``trimtab.core.drift``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64] | NDArray[np.int32] | NDArray[np.float64]


def shares(counts: Counts) -> NDArray[np.float64]:
    """Counts as shares; all zero where there is nothing."""
    total = float(counts.sum())
    return counts / total if total > 0 else np.zeros(len(counts))


def ks_distance(reference: Counts, current: Counts) -> float:
    """Largest difference of the cumulative shares at the bins' edges, 0 to 1.

    The exact Kolmogorov-Smirnov distance exceeds this by at most the larger of the two samples' shares in one bin
    (1/128 for a continuous reference), because both cumulative functions are exact at every edge.

    >>> ks_distance(np.array([5.0, 5.0]), np.array([10.0, 0.0]))
    0.5
    """
    if not reference.sum() or not current.sum():
        return 0.0
    return float(np.abs(np.cumsum(shares(reference)) - np.cumsum(shares(current))).max())


def variation_distance(reference: Counts, current: Counts) -> float:
    """Half the sum of absolute differences of shares, 0 to 1: for categories, where order means nothing."""
    if not reference.sum() or not current.sum():
        return 0.0
    return float(0.5 * np.abs(shares(reference) - shares(current)).sum())


def psi(reference: Counts, current: Counts) -> float:
    """Population stability index Σ (c - r) ln(c / r), half a row added to every bin so that empty ones stay finite."""
    if not reference.sum() or not current.sum():
        return 0.0
    r = (reference + 0.5) / (reference.sum() + 0.5 * len(reference))
    c = (current + 0.5) / (current.sum() + 0.5 * len(current))
    return float(((c - r) * np.log(c / r)).sum())


def js_distance(reference: Counts, current: Counts) -> float:
    """Jensen-Shannon distance, base 2: the square root of the divergence, 0 to 1 (Endres & Schindelin 2003)."""
    if not reference.sum() or not current.sum():
        return 0.0
    r, c = shares(reference), shares(current)
    middle = (r + c) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(r > 0, r * np.log2(r / middle), 0.0).sum()
        right = np.where(c > 0, c * np.log2(c / middle), 0.0).sum()
    return float(np.sqrt(max((left + right) / 2, 0.0)))


def wasserstein(edges: NDArray[np.float64], reference: Counts, current: Counts, low: float, high: float) -> float:
    """Distance moved (Wasserstein-1) in the units of the edges, rows spread evenly within their bins.

    Args:
        edges: (m,) ascending.
        reference: (m + 1,) counts below ``edges[0]``, between neighbouring edges, and from ``edges[-1]`` on.
        current: likewise.
        low: smallest value of either sample: the open lower tail reaches to here.
        high: largest value of either sample.

    The error is at most the mean over rows of the width of their bin (each row is moved within its own bin only).
    """
    if not reference.sum() or not current.sum():
        return 0.0
    points = np.concatenate([[min(low, float(edges[0]))], edges, [max(high, float(edges[-1]))]])
    gap = np.concatenate([[0.0], np.cumsum(shares(current) - shares(reference))])
    gap[-1] = 0.0
    width = np.diff(points)
    a, b = gap[:-1], gap[1:]
    same = a * b >= 0
    total = np.abs(a) + np.abs(b)
    crossing = np.where(same, total / 2, (a**2 + b**2) / (2 * np.where(total > 0, total, 1.0)))
    return float((crossing * width).sum())
