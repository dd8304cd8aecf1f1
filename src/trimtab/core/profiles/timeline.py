"""Counts by bucket of event time for rows whose span is not known beforehand: buckets double as the span grows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.core.profiles.blocks import CELLS_MAX, BlockTable, empty_table, fill
from trimtab.core.profiles.columns import Columns, Numbers
from trimtab.core.profiles.layout import Layout

BUCKETS_MAX = 512
"""Buckets that are kept; fewer where there are many features."""
SHORTEST_S = 2.0**-20
"""A bucket of rows that all have the same time."""


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Profiles by bucket. Buckets are 2^k seconds long and begin at whole multiples, so two timelines nest:
    ``a + b`` is exact for counts, associative and commutative."""

    bucket_s: float
    table: BlockTable
    """Buckets that hold rows, oldest first."""

    def __add__(self, other: Timeline) -> Timeline:
        bucket = max(self.bucket_s, other.bucket_s)
        starts = np.concatenate([self.table.starts, other.table.starts])
        bucket = _fitting(starts, bucket, _most(self.table.counts.shape[1]))
        return Timeline(bucket, _merged([self.table, other.table], bucket))


def empty_timeline(layout: Layout) -> Timeline:
    """Of no rows: the neutral element of +."""
    return Timeline(SHORTEST_S, empty_table(layout, np.zeros(0)))


def timeline_of(layout: Layout, columns: Columns, time: Numbers) -> Timeline:
    """Count rows by time.

    Args:
        time: (n,) finite event times in seconds (or any unit).
    """
    if not len(time):
        return empty_timeline(layout)
    bucket = _fitting(time, SHORTEST_S, _most(layout.size))
    index = np.floor(time / bucket).astype(np.int64)
    first, of = np.unique(index, return_inverse=True)
    table = empty_table(layout, (first * bucket).astype(np.float64))
    fill(table, layout, columns, of)
    table.rows[:] = np.bincount(of, minlength=len(first))
    return Timeline(bucket, table)


def _most(size: int) -> int:
    return max(40, min(BUCKETS_MAX, CELLS_MAX // max(size, 1)))


def _fitting(times: Numbers, shortest: float, most: int) -> float:
    """The shortest power of two times ``shortest`` with which at most ``most`` buckets hold rows."""
    bucket = shortest
    span = float(times.max() - times.min()) if len(times) else 0.0
    if span / bucket > 1e9:  # far from fitting: counting distinct buckets begins nearer
        bucket *= 2.0 ** np.floor(np.log2(span / bucket / 1e9))
    while len(np.unique(np.floor(times / bucket))) > most:
        bucket *= 2.0
    return float(bucket)


def _merged(tables: list[BlockTable], bucket: float) -> BlockTable:
    places = np.concatenate([np.floor(table.starts / bucket) for table in tables])
    first, of = np.unique(places, return_inverse=True)

    def added(name: str) -> NDArray[np.generic]:
        parts = np.concatenate([getattr(table, name) for table in tables])
        out = np.zeros((len(first), *parts.shape[1:]), dtype=parts.dtype)
        np.add.at(out, of, parts)
        return out

    low = np.full((len(first), *tables[0].low.shape[1:]), np.inf)
    high = -low
    np.minimum.at(low, of, np.concatenate([table.low for table in tables]))
    np.maximum.at(high, of, np.concatenate([table.high for table in tables]))
    return BlockTable(first * bucket, added("rows"), added("counts"), added("stats"), low, high)  # type: ignore[arg-type]
