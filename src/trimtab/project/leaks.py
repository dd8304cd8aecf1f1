"""Columns that alone tell the target: known only afterwards, as a rule.

Each column is cut into bins (64 quantiles for numbers, the values for text, one more for missing); the mean of the
target per bin is learnt on every other row and judged on the rest. So it sees any shape (not only 'larger means more'),
categories, and columns that are missing for one class only, and a column of many values cannot look good by memorising.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

BINS = 64
ROWS_MIN = 200
CLASS_ROWS_MIN = 20
SMOOTHING = 1.0
"""So many rows of the overall mean pull each bin's mean: a bin of one row says little."""

Floats = NDArray[np.float64]


def encode(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Bin of each row, shape (n,): quantiles of a number or time, codes of a category; the last bin is 'missing'."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    missing = np.asarray(column.is_null())
    if pa.types.is_temporal(kind):
        column = column.cast(pa.timestamp("us")).cast(pa.int64()) if not pa.types.is_int64(kind) else column
        kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        values = np.asarray(pc.fill_null(column.cast(pa.float64(), safe=False), float("nan")))
        missing = missing | ~np.isfinite(values)
        present = values[~missing]
        if not len(present):
            return np.zeros(len(values), np.int64)
        edges = _edges(present)
        codes = np.searchsorted(edges, values, side="right").astype(np.int64)
        return np.where(missing, len(edges) + 1, codes)
    encoded = column.combine_chunks()
    if not pa.types.is_dictionary(kind):
        encoded = encoded.dictionary_encode()
    return np.asarray(pc.fill_null(encoded.indices.cast(pa.int64()), len(encoded.dictionary)))


def _edges(values: Floats) -> Floats:
    """Where bins begin: quantiles of the rows and of the different values, so that rare values are not lumped in."""
    distinct = np.unique(values)
    if len(distinct) <= 2 * BINS:
        return distinct[1:]
    inner = np.linspace(0, 1, BINS + 1)[1:-1]
    return np.unique(np.concatenate([np.quantile(values, inner), np.quantile(distinct, inner)]))


def told(codes: NDArray[np.int64], target: Floats) -> Floats:
    """The target's mean in each row's bin, learnt on the even rows, for the odd rows; shape (n // 2,)."""
    learn, judge = codes[::2], codes[1::2]
    size = int(codes.max(initial=0)) + 1
    overall = float(target[::2].mean())
    counts = np.bincount(learn, minlength=size)
    sums = np.bincount(learn, weights=target[::2], minlength=size)
    return ((sums + SMOOTHING * overall) / (counts + SMOOTHING))[judge]


def auroc(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """Chance that a positive row has the higher score than a negative one, ties half; 0.5 where one kind is missing.

    >>> auroc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
    0.75
    """
    hits, misses = int(positive.sum()), int((~positive).sum())
    if not hits or not misses:
        return 0.5
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[inverse]
    return float((ranks[positive].sum() - hits * (hits + 1) / 2) / (hits * misses))


def class_skill(column: pa.ChunkedArray, classes: NDArray[np.int64]) -> float:
    """Largest AUROC with which the column alone tells one class (of at least ``CLASS_ROWS_MIN``) from the others."""
    codes = encode(column)
    best = 0.5
    for code, count in zip(*np.unique(classes, return_counts=True), strict=True):
        if count < CLASS_ROWS_MIN:
            continue
        positive = classes == code
        best = max(best, auroc(told(codes, positive.astype(float)), positive[1::2]))
    return best


def value_skill(column: pa.ChunkedArray, target: Floats) -> float:
    """Share of the target's variance that the column alone explains (R2 on rows not learnt from), at least 0."""
    rest = target[1::2]
    spread = float(((rest - rest.mean()) ** 2).sum())
    if not spread:
        return 0.0
    return max(0.0, 1 - float(((rest - told(encode(column), target)) ** 2).sum()) / spread)
