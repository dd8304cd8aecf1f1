"""The demo's world: what is sent, what is known, what breaks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import world

HOUR_S = 3600.0


@pytest.fixture
def year(tmp_path: Path) -> pa.Table:
    """A flight every hour from February to December, landing two hours later."""
    at = np.arange(world.at("2013-02-01"), world.at("2013-12-31"), HOUR_S)
    table = pa.table(
        {
            "departed_at": pa.array((at * 1e6).astype(np.int64), pa.timestamp("us", tz="UTC")),
            "landed_at": pa.array(((at + 2 * HOUR_S) * 1e6).astype(np.int64), pa.timestamp("us", tz="UTC")),
            "tailnum": ["N1"] * len(at),
            "pressure": np.full(len(at), 1015.0),
            "recent_delay": np.full(len(at), 12.0),
            "late": at % 7200 == 0,
        }
    )
    world.write(table, tmp_path / "flights.parquet")
    return world.read(tmp_path / "flights.parquet")


def times(table: pa.Table, name: str = "departed_at") -> np.ndarray:
    return np.asarray(table[name].cast(pa.int64())) / 1e6


def test_the_fault_empties_one_column_for_its_weeks_only(year: pa.Table) -> None:
    """The feed stops and comes back."""
    empty = pc.is_null(year["pressure"]).to_numpy(zero_copy_only=False)
    inside = (times(year) >= world.FAULT_FROM) & (times(year) < world.FAULT_UNTIL)
    assert (empty == inside).all()
    assert 400 < inside.sum() < 600
    assert year["recent_delay"].null_count == 0


def test_history_and_warehouse_hold_only_what_was_known(year: pa.Table) -> None:
    """A table with tomorrow's landings would make every gate too kind."""
    history, warehouse = world.history(year), world.warehouse(year, world.RELEASE_AT)
    assert times(history, "landed_at").max() < world.HISTORY_UNTIL
    assert world.NEW_FEATURE not in history.column_names
    assert times(warehouse, "landed_at").max() < world.RELEASE_AT
    assert set(warehouse[world.NEW_FEATURE].to_pylist()) == {12.0}


def test_requests_carry_the_online_value_of_the_new_feature(year: pa.Table) -> None:
    """Training-serving skew: right in the warehouse, unfilled online."""
    sent = world.requests(year)
    assert times(sent).min() >= world.HISTORY_UNTIL
    assert times(sent).max() < world.END
    assert set(sent[world.NEW_FEATURE].to_pylist()) == {world.UNFILLED}
