"""Columns that alone tell the target: known only afterwards, as a rule.

Each column is cut into bins (64 quantiles for numbers, the values for text, one more for missing); the mean of the
target per bin is learnt on every other row and judged on the rest. So it sees any shape (not only 'larger means more'),
categories, and columns that are missing for one class only, and a column of many values cannot look good by memorising.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trimtab.core.gates.leakage import FILLER_VALUES, ColumnFacts

if TYPE_CHECKING:
    import pyarrow as pa

BINS = 64
ROWS_MIN = 200
CLASS_ROWS_MIN = 20
CLASSES_MAX = 30
OTHERS_ROWS, ROUNDS, SHRINKAGE = 20_000, 6, 20.0
LOOKED_AT = 0.01
"""A column that tells less than so much, or whose most common value does, is not looked at as a filler."""
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


LAGS = (1, 2, 3, 7, 24, 48)
"""Rows back that a column may be a memory of: the last one, a day of hours, a week of days."""


class Others:
    """The other columns of a table: what they tell of a target together, so that one column's own part is seen.

    A sum of one step function for each column, by backfitting (Breiman & Friedman, JASA 80, 1985), learnt on one half
    of the rows for the other. Interactions are left out; measured against boosted trees on seven labelled sets, the
    leftovers lead to the same answer about a column.
    """

    def __init__(self, table: pa.Table, names: Sequence[str]) -> None:
        """``names``: of the features; at most ``OTHERS_ROWS`` evenly spread rows are looked at."""
        n = table.num_rows
        self.rows = np.unique(np.linspace(0, n - 1, min(n, OTHERS_ROWS)).astype(int)) if n else np.arange(0)
        self._table, self._names = table, names
        self._codes: dict[str, NDArray[np.int64]] = {}

    def leftover(self, name: str, values: Floats) -> Floats:
        """What the columns but ``name`` leave of ``values`` (all rows), for ``rows``."""
        values = values[self.rows]
        codes = [self._code(other) for other in self._names if other != name]
        even = np.arange(len(values)) % 2 == 0
        left = np.empty(len(values))
        for learn in (even, ~even):
            told_by = np.full(len(values), float(values[learn].mean()))
            for _ in range(ROUNDS):
                for code in codes:
                    size = int(code.max(initial=0)) + 1
                    counts = np.bincount(code[learn], minlength=size)
                    sums = np.bincount(code[learn], weights=(values - told_by)[learn], minlength=size)
                    told_by += (sums / (counts + SHRINKAGE))[code]
            left[~learn] = (values - told_by)[~learn]
        return left

    def _code(self, name: str) -> NDArray[np.int64]:
        if name not in self._codes:
            import pyarrow as pa

            self._codes[name] = encode(self._table[name].take(pa.array(self.rows)))
        return self._codes[name]


def column_facts(
    name: str,
    column: pa.ChunkedArray,
    target: pa.ChunkedArray,
    *,
    classification: bool,
    others: Others | None = None,
) -> ColumnFacts:
    """What the column alone tells of the target; rows with a target only.

    Args:
        name: of the column.
        column: (n,) values.
        target: (n,) classes of any type, or numbers.
        classification: or regression.
        others: the columns of the same rows, to tell what this one adds to them; None: a filler is not looked for.
    """
    codes = encode(column)
    if classification:
        skill, share, values = _class_skill(codes, encode(target.cast("string")))
    else:
        values = np.asarray(target.cast("float64", safe=False))
        share = told_share(codes, values)
        skill = max(share, _straight(column, values))
    facts = ColumnFacts(name, skill, share)
    if others is None or not _categorical(column) or (count := len(column.unique())) < FILLER_VALUES:
        return facts
    if share < LOOKED_AT or _filler(codes, values)[1] < LOOKED_AT:
        return facts
    left = others.leftover(name, values)
    common, of_whole = _filler(codes[others.rows], left)
    text = column[int(np.flatnonzero(codes == common)[0])].as_py()
    filler = "missing" if text is None else f"'{text}'"
    return ColumnFacts(name, skill, share, count, filler, of_whole, told_share(codes[others.rows], left))


def remembered(column: pa.ChunkedArray, target: pa.ChunkedArray, *, classification: bool) -> float:
    """How well the column tells the target of earlier rows (``LAGS`` back), the best of them; the skill of
    ``column_facts``.

    Args:
        column: (n,) consecutive rows in the order of time.
        target: likewise.
    """
    best = 0.0
    for lag in LAGS:
        if len(column) > 2 * ROWS_MIN + lag:
            facts = column_facts("", column[lag:], target[:-lag], classification=classification)
            best = max(best, facts.skill)
    return best


def _categorical(column: pa.ChunkedArray) -> bool:
    import pyarrow as pa

    kind = column.type
    return bool(pa.types.is_dictionary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _filler(codes: NDArray[np.int64], values: Floats) -> tuple[int, float]:
    """The most common code, and the share of the between-group variance that it makes by itself."""
    counts, sums = np.bincount(codes), np.bincount(codes, weights=values)
    common, mean, rows = int(counts.argmax()), float(values.mean()), len(values)
    there = counts > 0
    whole = float((counts[there] * (sums[there] / counts[there] - mean) ** 2).sum())
    inside, outside = int(counts[common]), rows - int(counts[common])
    if not whole or not outside:
        return common, 0.0
    gap = sums[common] / inside - (sums.sum() - sums[common]) / outside
    return common, float(inside * outside / rows * gap**2 / whole)


def _class_skill(codes: NDArray[np.int64], classes: NDArray[np.int64]) -> tuple[float, float, Floats]:
    """The largest AUROC and share of variance over the classes (of at least ``CLASS_ROWS_MIN``) against the others, and
    the indicator of the class of that share.
    """
    skill, share, values = 0.5, 0.0, np.zeros(len(classes))
    found, counts = np.unique(classes, return_counts=True)
    if len(found) == 2:  # the one is the other's complement
        found, counts = found[1:], counts.min(keepdims=True)
    for code in found[counts >= CLASS_ROWS_MIN][:CLASSES_MAX]:
        positive = classes == code
        indicator = positive.astype(np.float64)
        scores, rest = told(codes, indicator), indicator[1::2]
        skill = max(skill, auroc(scores, positive[1::2]))
        explained = _share(scores, rest)
        if explained >= share:
            share, values = explained, indicator
    return skill, share, values


def told_share(codes: NDArray[np.int64], values: Floats) -> float:
    """Share of the variance that the column alone explains (R2 on rows not learnt from), at least 0."""
    return _share(told(codes, values), values[1::2])


def _share(scores: Floats, rest: Floats) -> float:
    spread = float(((rest - rest.mean()) ** 2).sum())
    return max(0.0, 1.0 - float(((rest - scores) ** 2).sum()) / spread) if spread else 0.0


def _straight(column: pa.ChunkedArray, values: Floats) -> float:
    """R2 of a straight line through a number: an exact copy in other units is 1, which bins cannot show."""
    import pyarrow as pa

    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return 0.0
    x = np.asarray(column.cast(pa.float64(), safe=False).to_numpy())
    good = np.isfinite(x) & np.isfinite(values)
    if good.sum() < max(ROWS_MIN, 0.95 * len(x)) or x[good].std() == 0 or values[good].std() == 0:
        return 0.0
    return float(np.corrcoef(x[good], values[good])[0, 1] ** 2)
