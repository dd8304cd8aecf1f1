"""The reference cut into blocks of event time: what 'normal variation' is measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.core.profiles.columns import Categorical, Columns, Numbers
from trimtab.core.profiles.layout import Binned, FeatureKind, Layout, bin_column
from trimtab.core.profiles.profile import INFINITE, MISFIT, SQUARES, STATS, SUM, UNSEEN, ZERO

BLOCKS_MAX = 400
"""Blocks that are kept; of a longer reference the newest ones."""
CELLS_MAX = 8_000_000
"""Blocks x bins that are kept."""


@dataclass(frozen=True, slots=True, eq=False)
class BlockTable:
    """Profiles of the B blocks, stacked."""

    starts: Numbers
    """(B,) event time of each block's start, ascending."""
    rows: NDArray[np.int64]
    """(B,)"""
    counts: NDArray[np.int32]
    """(B, layout.size)"""
    stats: NDArray[np.float64]
    """(B, F, STATS); UNSEEN here is the number of rows whose level occurs in no other block."""
    low: NDArray[np.float64]
    """(B, F)"""
    high: NDArray[np.float64]
    """(B, F)"""

    def __len__(self) -> int:
        return len(self.starts)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """By name, for the codec."""
        return {
            "starts": self.starts,
            "rows": self.rows,
            "counts": self.counts,
            "stats": self.stats,
            "low": self.low,
            "high": self.high,
        }


def blocks_of(time: Numbers, block_s: float, most: int) -> tuple[Numbers, NDArray[np.intp]]:
    """Starts of the blocks that hold rows (the newest ``most``), and the block of each row; negative for rows older
    than those."""
    index = np.floor(time / block_s).astype(np.int64)
    starts, of = np.unique(index, return_inverse=True)
    if len(starts) > most:
        of = of - (len(starts) - most)
        starts = starts[-most:]
    return starts.astype(np.float64) * block_s, of


def tabulate(layout: Layout, block_s: float, parts: Sequence[tuple[Columns, Numbers | None]]) -> BlockTable:
    """Stack the blocks of several tables (inputs; answers) over one grid of time. Tables without times add nothing."""
    timed = [(columns, time) for columns, time in parts if time is not None and len(time)]
    most = max(40, min(BLOCKS_MAX, CELLS_MAX // max(layout.size, 1)))
    every = np.concatenate([time for _, time in timed]) if timed else np.zeros(0)
    starts, _ = blocks_of(every, block_s, most)
    table = empty_table(layout, starts)
    for number, (columns, time) in enumerate(timed):
        of = np.searchsorted(starts, time, side="right") - 1
        if number == 0:
            table.rows[:] = np.bincount(of[of >= 0], minlength=len(starts))
        fill(table, layout, columns, of)
        for at, feature in enumerate(layout.features):
            column = columns.get(feature.name)
            if isinstance(column, Categorical):
                table.stats[:, at, UNSEEN] = _only_here(column, of, len(starts))
    return table


def empty_table(layout: Layout, starts: Numbers) -> BlockTable:
    """Blocks that hold nothing yet."""
    shape = (len(starts), len(layout.features))
    return BlockTable(
        starts,
        np.zeros(len(starts), dtype=np.int64),
        np.zeros((len(starts), layout.size), dtype=np.int32),
        np.zeros((*shape, STATS)),
        np.full(shape, np.inf),
        np.full(shape, -np.inf),
    )


def fill(table: BlockTable, layout: Layout, columns: Columns, of: NDArray[np.intp]) -> None:
    """Count columns into the table; ``of`` is the (n,) block of each row, negative for rows that are left out."""
    kept = of >= 0
    for at, feature in enumerate(layout.features):
        column = columns.get(feature.name)
        if column is not None:
            _count(table, layout, at, bin_column(feature, column), of, kept)


def _count(
    table: BlockTable, layout: Layout, at: int, binned: Binned, of: NDArray[np.intp], kept: NDArray[np.bool_]
) -> None:
    """Fill the columns of feature ``at``."""
    feature, size = layout.features[at], len(table)
    block, codes, values = of, binned.codes, binned.values
    if not kept.all():
        block, codes, values = of[kept], codes[kept], None if values is None else values[kept]
    flat = block * feature.bins + codes
    table.counts[:, layout.part(at)] = np.bincount(flat, minlength=size * feature.bins).reshape(size, feature.bins)
    if feature.kind is FeatureKind.CATEGORY or values is None:
        return
    stats = table.stats[:, at]
    stats[:, MISFIT] = 0
    finite = np.isfinite(values)
    if not finite.all():
        stats[:, INFINITE] = np.bincount(block[np.isinf(values)], minlength=size)
        values, block = values[finite], block[finite]
    centred = values - feature.centre
    stats[:, ZERO] = np.bincount(block[values == 0], minlength=size)
    stats[:, SUM] = np.bincount(block, weights=centred, minlength=size)
    stats[:, SQUARES] = np.bincount(block, weights=centred**2, minlength=size)
    np.minimum.at(table.low[:, at], block, values)
    np.maximum.at(table.high[:, at], block, values)


def _only_here(column: Categorical, of: NDArray[np.intp], blocks: int) -> NDArray[np.float64]:
    """(blocks,) rows whose level occurs in no other block: what an unseen level looks like on normal days."""
    known = (column.codes >= 0) & (of >= 0)
    codes, block = column.codes[known].astype(np.int64), of[known]
    pairs, counts = np.unique(codes * max(blocks, 1) + block, return_counts=True)
    level = pairs // max(blocks, 1)
    _, first, times = np.unique(level, return_index=True, return_counts=True)
    single = first[times == 1]
    return np.bincount(pairs[single] % max(blocks, 1), weights=counts[single], minlength=blocks).astype(np.float64)
