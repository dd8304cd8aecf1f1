"""A small history with a change of the world in the middle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

DAY_US = 86_400_000_000
START_US = 1_577_836_800_000_000


def table(rows: int = 1400, change: float = 0.5, *, number: bool = False) -> pa.Table:
    """One row every 30 minutes; what x means turns round at ``change``; labels come 2 to 6 days later."""
    rng = np.random.default_rng(8)
    x, noise = rng.normal(size=rows), rng.normal(size=rows)
    colour = rng.choice(["red", "green", "blue"], rows)
    sign = np.where(np.arange(rows) < rows * change, 1.0, -1.0)
    level = 2.0 * sign * x + (colour == "red")
    at = START_US + np.arange(rows) * DAY_US // 48
    delay = (rng.uniform(2, 6, rows) * DAY_US).astype(np.int64)
    late = rng.random(rows) < 1 / (1 + np.exp(-level))
    target = pa.array(level + 0.3 * noise) if number else pa.array(np.where(late, "late", "well"))
    return pa.table(
        {
            "at": pa.array(at, pa.timestamp("us")),
            "known": pa.array(at + delay, pa.timestamp("us")),
            "x": x,
            "noise": noise,
            "colour": colour,
            "late": target,
        }
    )


@pytest.fixture(scope="session")
def history_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("history") / "history.parquet"
    pq.write_table(table(), path)
    return path
