"""The clock of a replay, and the newest event time of any project."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.controller.desk import FakeDesk, baseline, predictions
from tests.controller.test_loop import first_version
from trimtab.controller.event_clock import AHEAD_S, SUPPORT, EventClock
from trimtab.controller.observe import Champion, Observer, Settings
from trimtab.core.domain.times import DAY_S

HOUR_S = 3600.0
FAR = 253_402_300_000.0
"""The end of the year 9999."""


def clock(*pieces: object) -> EventClock:
    """After these reads."""
    seen = EventClock()
    for piece in pieces:
        seen.see(np.asarray(piece, dtype=float))
    return seen


def test_one_row_of_the_far_future_does_not_move_it() -> None:
    """A client wrote 9999-12-31 for 'unknown'."""
    hours = np.arange(200) * HOUR_S
    for seen in (
        clock([*hours, FAR]),
        clock(hours, [FAR]),
        clock(hours[:3], [FAR], hours),
        clock(hours, [FAR] * 3),
    ):
        assert seen.now == hours[-1]
        assert seen.ahead in (1, 3)
    assert clock([FAR, np.nan, 5.0, 7.0]).now == 7.0
    first = EventClock()
    first.see(np.array([FAR]), arrived=hours[-1])
    assert (first.now, first.ahead) == (None, 1)
    first.see(hours, arrived=hours[-1])
    assert (first.now, first.ahead) == (hours[-1], 1)


def test_it_goes_on_after_a_pause() -> None:
    """The shop was closed for a month: the first customers are believed once there are some."""
    hours = np.arange(200) * HOUR_S
    again = hours[-1] + 30 * DAY_S + np.arange(SUPPORT) * HOUR_S
    seen = clock(hours, again[:-1])
    assert (seen.now, seen.ahead) == (hours[-1], SUPPORT - 1)
    seen.see(again[-1:])
    assert (seen.now, seen.ahead) == (again[-1], 0)
    seen.see(np.array([again[-1] + AHEAD_S]))
    assert seen.now == again[-1] + AHEAD_S
    seen.see(hours)
    assert seen.now == again[-1] + AHEAD_S, "it never runs back"


def test_rows_ahead_that_are_far_from_each_other_stay_slips() -> None:
    """A column of random dates."""
    seen = clock(np.arange(200) * HOUR_S, 1e9 + np.arange(50) * 5e7)
    assert (seen.now, seen.ahead) == (199 * HOUR_S, 50)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=200), st.integers(1, 5), st.randoms(use_true_random=False))
def test_order_does_not_matter_where_rows_are_close(hours: list[int], pieces: int, chance: object) -> None:
    """Files are read in any order."""
    times = np.array(hours) * 0.5 * HOUR_S
    seen = clock(*np.array_split(times, pieces))
    assert seen.now == times.max()
    assert seen.ahead == 0


def observer(desk: FakeDesk, *, event_clock: bool) -> Observer:
    settings = Settings(event_clock=event_clock)
    return Observer(desk.reader, desk.jobs, desk.target, lambda v: Champion(v, baseline()), settings)


@pytest.mark.parametrize("event_clock", [True, False])
def test_the_controller_counts_such_rows_and_goes_on(event_clock: bool) -> None:
    """One request of the replay claims to come from 2286: blocks stay open, labels stay wanted."""
    desk = FakeDesk()
    first_version(desk)
    status = desk.loop().catch_up()
    seen = observer(desk, event_clock=event_clock)
    ids = [f"a{k}" for k in range(40)]
    desk.reader.add_predictions("a", predictions(ids, 1, [0.6] * 40, at=5_000.0, generation=1))
    slip = predictions(["slip"], 1, [0.6], at=9.9e9, generation=1)
    arrived = slip.schema.get_field_index("time")
    slip = slip.set_column(arrived, "time", predictions(["slip"], 1, [0.6], at=5_000.0, generation=1)["time"])
    desk.reader.add_predictions("b", slip)
    seen.ingest(status)
    snapshot = seen.snapshot(status)
    assert snapshot.event_time == 5_000.0
    assert snapshot.ahead == (1 if event_clock else 0), "on the wall clock the arrival stands in"
