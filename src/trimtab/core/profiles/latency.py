"""Latencies as counts over bins of 2 % width: any quantile within 1 %, and parts add up."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

SMALLEST_MS = 0.001
RATIO = 1.02
BINS = 1024
"""Up to ten days; slower ones count in the last."""
SAMPLE_MAX = 500
"""Latencies that ``typical_ms`` gives for one histogram at most."""


def latency_bins(latency_ms: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin of each latency, shape (rows,).

    >>> typical = bin_ms(latency_bins(np.array([0.5, 12.0, 900.0])))
    >>> bool(np.all(np.abs(typical / [0.5, 12.0, 900.0] - 1) <= 0.01))
    True
    """
    place = np.log(np.maximum(latency_ms, SMALLEST_MS) / SMALLEST_MS) / math.log(RATIO)
    return np.clip(place, 0, BINS - 1).astype(np.int64)


def bin_ms(bins: NDArray[np.int64]) -> NDArray[np.float64]:
    """The middle of each bin, milliseconds."""
    return np.asarray(SMALLEST_MS * RATIO ** (bins + 0.5), dtype=np.float64)


def typical_ms(bins: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The latencies of a histogram, ascending; beyond ``SAMPLE_MAX`` so many of them, evenly by rank."""
    total = int(counts.sum())
    ranks = np.arange(total) if total <= SAMPLE_MAX else ((np.arange(SAMPLE_MAX) + 0.5) * total / SAMPLE_MAX)
    return bin_ms(bins[np.searchsorted(np.cumsum(counts), ranks, side="right")]) if total else np.empty(0)
