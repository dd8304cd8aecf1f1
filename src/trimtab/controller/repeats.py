"""Which rows of the log repeat another one: counted by a hash of inputs, entity and event time."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trimtab.controller.evidence import floats, micros_of

if TYPE_CHECKING:
    import pyarrow as pa

BLOCKS_KEPT = 3
"""Newest blocks whose rows are remembered; repeats of older ones are not counted."""
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_SHIFT = np.uint64(31)

Keys = NDArray[np.uint64]


@dataclass(slots=True)
class Repeats:
    """Counts by block; eight bytes for each row of the newest blocks."""

    counts: dict[int, int] = field(default_factory=dict)
    _known: dict[int, Keys] = field(default_factory=dict)

    def add(self, block: int, keys: Keys) -> None:
        """Rows of one block."""
        known = self._known.get(block)
        if known is None and self._known and block < max(self._known) - BLOCKS_KEPT:
            return
        known = np.empty(0, dtype=np.uint64) if known is None else known
        both = np.unique(np.concatenate([known, keys]))
        self.counts[block] = self.counts.get(block, 0) + len(known) + len(keys) - len(both)
        self._known[block] = both
        for old in [each for each in self._known if each < max(self._known) - BLOCKS_KEPT]:
            del self._known[old]


def row_keys(table: pa.Table) -> Keys:
    """(n,) a hash of each row's inputs ``x.*``, entity and event time; equal rows have equal ones."""
    keys = np.zeros(table.num_rows, dtype=np.uint64)
    for name in sorted(table.column_names):
        if name.startswith("x.") or name in ("entity", "event_time"):
            keys = (keys ^ _column(table.column(name))) * _MULTIPLIER
            keys ^= keys >> _SHIFT
    return keys * _MIX


def _column(column: pa.ChunkedArray) -> Keys:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_timestamp(kind):
        column = micros_of(column)
        kind = column.type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        numbers: Keys = np.asarray((floats(column) + 0.0).view(np.uint64), dtype=np.uint64)
        return numbers
    coded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    hashed = [
        blake2b(each.encode("utf-8", "surrogatepass"), digest_size=8).digest() for each in coded.dictionary.to_pylist()
    ]
    levels = np.frombuffer(b"".join([*hashed, bytes(8)]), dtype=np.uint64)
    found: Keys = levels[np.asarray(pc.fill_null(coded.indices, len(hashed)))]
    return found
