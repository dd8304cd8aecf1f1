"""The example's data from the real package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import prepare
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import world
from hypothesis import given
from hypothesis import strategies as st


def test_every_third_flight_that_arrived_is_there(prepared: prepare.Prepared) -> None:
    """What stands in the README and in the demo's first line."""
    assert (prepared.rows, prepared.flights, prepared.unlabelled) == (109_116, 336_776, 9_430)
    assert [path.name for path in prepared.path.parent.iterdir()] == ["flights.parquet"]


def test_flights_are_in_order_and_land_after_they_leave(prepared: prepare.Prepared) -> None:
    """The player sends rows in this order and labels when they land."""
    table = pq.read_table(prepared.path)
    left, landed = (table[name].cast("int64").to_numpy() for name in ("departed_at", "landed_at"))
    assert (np.diff(left) >= 0).all()
    assert (landed > left).all()
    assert table["late"].null_count == table["departed_at"].null_count == table["tailnum"].null_count == 0
    assert 0.24 < pc.mean(table["late"].cast("float64")).as_py() < 0.25


def test_the_weather_has_no_gaps_of_its_own(prepared: prepare.Prepared) -> None:
    """Nothing but the demo's own fault may look like one, until the source's weather ends."""
    table = pq.read_table(prepared.path)
    played = table.filter(pc.less(table["departed_at"].cast("int64"), int(world.END * 1e6)))
    for name in prepare.WEATHER:
        assert played[name].null_count == 0, name


def test_nothing_known_only_after_the_departure_is_a_feature(prepared: prepare.Prepared) -> None:
    """A delay among the features would be a leak."""
    names = set(pq.read_schema(prepared.path).names)
    assert not names & {"dep_delay", "arr_delay", "dep_time", "arr_time", "air_time"}


def test_preparing_twice_gives_the_same_bytes(prepared: prepare.Prepared, tmp_path: Path) -> None:
    """`make demo` on two machines plays the same year."""
    assert prepare.prepare(tmp_path).path.read_bytes() == prepared.path.read_bytes()


@given(
    st.lists(
        st.tuples(st.sampled_from(["JFK", "LGA"]), st.integers(0, 6 * 60), st.none() | st.integers(-20, 200)),
        max_size=30,
    )
)
def test_recent_delay_sees_only_what_had_left(flights: list[tuple[str, int, int | None]]) -> None:
    """The feature of the release is one that is really known at the time of the request."""
    origin = np.array([flight[0] for flight in flights], dtype=object)
    scheduled = np.array([60.0 * flight[1] for flight in flights])
    delay = np.array([np.nan if flight[2] is None else float(flight[2]) for flight in flights])
    found = prepare.recent_delay(origin, scheduled, delay)
    for row, (airport, minute, _) in enumerate(flights):
        before = [
            late
            for other, planned, late in flights
            if other == airport and late is not None and minute - 120 <= planned + late < minute
        ]
        assert found[row] == pytest.approx(np.mean(before)) if before else np.isnan(found[row])
