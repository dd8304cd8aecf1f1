"""What happens in the demo's world: the year's flights, an upstream fault, and a release that fails online.

The loop is told none of this. It sees requests, labels, and what a colleague registers.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def at(text: str) -> float:
    """Seconds since the epoch of an ISO time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


HISTORY_UNTIL = at("2013-02-26T05:00")
"""Flights that had landed by then are the history that version 1 is trained on: eight weeks."""
END = at("2013-12-30T05:00")
"""The source's weather ends on 30 December."""

FAULT_COLUMN = "pressure"
FAULT_FROM, FAULT_UNTIL = at("2013-09-10T14:00"), at("2013-10-01T10:00")
"""The weather feed stops sending air pressure for three weeks: requests arrive without it."""

RELEASE_AT = at("2013-12-05T05:00")
"""A colleague releases a version with one feature more, as soon as no other version is on its way."""
NEW_FEATURE = "recent_delay"
UNFILLED = 0.0
"""What the online feature store answers for the new feature: the job that fills it was never deployed."""


NOT_INPUTS = frozenset({"departed_at", "landed_at", "tailnum", "late"})
"""Columns of the year that are not sent as inputs."""


def read(path: Path) -> pa.Table:
    """The year, with the upstream fault in it: every consumer of the feed had it."""
    table = pq.read_table(path)
    faulty = pc.and_(
        pc.greater_equal(table["departed_at"], _stamp(FAULT_FROM)), pc.less(table["departed_at"], _stamp(FAULT_UNTIL))
    )
    return _with(table, FAULT_COLUMN, pc.if_else(faulty, pa.scalar(None, pa.float64()), table[FAULT_COLUMN]))


def history(year: pa.Table) -> pa.Table:
    """What is known when the demo begins."""
    return _known(year, HISTORY_UNTIL).drop_columns([NEW_FEATURE])


def warehouse(year: pa.Table, now: float) -> pa.Table:
    """The warehouse's table as of ``now``, with the new feature as it really was."""
    return _known(year, now)


def requests(year: pa.Table) -> pa.Table:
    """What is asked from the beginning of the demo to its end, with the features as the online store has them."""
    begun = pc.greater_equal(year["departed_at"], _stamp(HISTORY_UNTIL))
    online = year.filter(pc.and_(begun, pc.less(year["departed_at"], _stamp(END))))
    return _with(online, NEW_FEATURE, pa.array([UNFILLED] * online.num_rows, pa.float64()))


def write(table: pa.Table, path: Path) -> None:
    """A Parquet file, whole or not at all."""
    aside = path.with_name(f".{path.name}.tmp")
    pq.write_table(table, aside, compression="zstd")
    aside.replace(path)


def _known(year: pa.Table, now: float) -> pa.Table:
    return year.filter(pc.less(year["landed_at"], _stamp(now)))


def _stamp(seconds: float) -> pa.Scalar:
    return pa.scalar(round(seconds * 1e6), pa.timestamp("us", tz="UTC"))


def _with(table: pa.Table, name: str, column: pa.Array | pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)
