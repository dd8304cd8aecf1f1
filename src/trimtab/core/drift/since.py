"""When did a feature's change begin? The stretch of buckets whose cells differ most from all other rows.

The gain of a stretch is the G statistic (twice the log likelihood ratio) of 'the stretch has shares of its own'
against 'all rows share them', as in ``trimtab.core.diagnosis.rows.when``, here on sums.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trimtab.core.profiles.layout import Feature, FeatureKind

Values = NDArray[np.float64]

STEPS = 64
"""Steps in which stretches are tried; the start is then refined to the bucket."""
CELLS = 16
"""Cells that a number's bins are joined to, besides both tails and missing."""


def onset(feature: Feature, reference: NDArray[np.int64], buckets: NDArray[np.int32]) -> int:
    """Index of the bucket in which the difference begins; 0 where all of the current rows differ.

    Args:
        reference: (bins,) counts of the baseline.
        buckets: (T, bins) counts of the current rows by bucket of time, oldest first; T >= 1.
    """
    cells = _cells(feature, reference)
    size = int(cells.max()) + 1
    before = np.bincount(cells, weights=reference, minlength=size)
    now = np.zeros((len(buckets), size))
    np.add.at(now.T, cells, buckets.T)
    edges = np.unique(np.linspace(0, len(now), min(STEPS, len(now)) + 1).astype(np.int64))
    sums = np.concatenate([np.zeros((1, size)), np.cumsum(now, axis=0)])
    whole = sums[-1] + before
    first, end = np.triu_indices(len(edges), 1)
    inside = sums[edges[end]] - sums[edges[first]]
    gains = 2 * (_likelihood(inside) + _likelihood(whole - inside) - _likelihood(whole[None, :]))
    lasting = end == len(edges) - 1
    open_at, any_at = int(np.argmax(np.where(lasting, gains, -np.inf))), int(np.argmax(gains))
    chosen = any_at if gains[any_at] > 1.2 * gains[open_at] + 30 else open_at
    start, stop = int(first[chosen]), int(end[chosen])
    near = slice(int(edges[max(start - 1, 0)]), int(edges[min(start + 1, stop)]))
    own = inside[chosen] + 0.5
    rest = whole - inside[chosen] + 0.5
    score = now[near] @ np.log((own / own.sum()) / (rest / rest.sum()))
    # rows before the onset speak against the new shares, rows after it for them
    return near.start + int(np.argmin(np.concatenate([[0.0], np.cumsum(score)])[:-1]))


def _cells(feature: Feature, reference: NDArray[np.int64]) -> NDArray[np.intp]:
    """(bins,) cell of each bin: levels as they are; a number's bins joined to equal shares of the reference."""
    if feature.kind is FeatureKind.CATEGORY or feature.bins <= CELLS + 3:
        return np.arange(feature.bins)
    inner = reference[1 : feature.missing - 1]
    below = (np.cumsum(inner) - inner / 2) / max(int(inner.sum()), 1)
    joined = np.minimum((below * CELLS).astype(np.intp), CELLS - 1)
    return np.concatenate([[0], joined + 1, [CELLS + 1, CELLS + 2]])


def _likelihood(counts: Values) -> Values:
    total = counts.sum(axis=1)
    found: Values = (counts * np.log(np.maximum(counts, 1.0))).sum(axis=1) - total * np.log(np.maximum(total, 1.0))
    return found
