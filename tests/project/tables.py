"""A table like those that people bring: a year of events with every kind of column."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

START_S = datetime(2024, 1, 1, tzinfo=UTC).timestamp()


def times(seconds: np.ndarray[Any, Any]) -> pa.Array:
    return pa.array((seconds * 1e6).astype("int64"), pa.timestamp("us", tz="UTC"))


def events(rows: int = 3000, seed: int = 7) -> pa.Table:
    """Sorted by time. ``late`` depends on ``distance`` and ``carrier``; ``delay`` tells it afterwards."""
    chance = np.random.default_rng(seed)
    at = START_S + np.sort(chance.uniform(0, 300 * 86400, rows))
    distance = chance.uniform(100, 3000, rows)
    carrier = chance.choice(["AA", "BB", "CC"], rows)
    late = chance.uniform(size=rows) < 1 / (1 + np.exp(-(distance / 800 - 3 + (carrier == "AA"))))
    delay = np.where(late, chance.uniform(15, 90, rows), chance.uniform(-20, 15, rows))
    return pa.table(
        {
            "flight_id": pa.array([f"f{i:06d}" for i in range(rows)]),
            "number": np.arange(rows),
            "departed_at": times(at),
            "label_time": times(at + 3600 + 60 * np.abs(delay)),
            "landed_at": times(at + 3600),
            "scheduled_at": times(at - 600),
            "carrier": carrier,
            "tailnum": chance.choice([f"N{i}" for i in range(150)], rows),
            "distance": distance,
            "wind": pa.array(
                np.where(chance.uniform(size=rows) < 0.1, np.nan, chance.normal(10, 3, rows)), from_pandas=True
            ),
            "delay": delay,
            "refund": pa.array([50.0 if x else None for x in late]),
            "country": ["US"] * rows,
            "legs": [[1]] * rows,
            "late": late,
        }
    )


def write(table: pa.Table, path: Path) -> Path:
    pq.write_table(table, path)
    return path
