"""Rows of the log that nobody should have sent."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tests.controller.desk import FakeDesk, predictions
from tests.controller.test_loop import first_version
from trimtab.core.domain.times import DAY_S

YEAR_1_S, YEAR_9999_S = -62_135_596_800.0, 253_402_214_400.0


def claiming(name: str, at: float, event_time: float) -> pa.Table:
    """One request that arrived now and claims another time."""
    table = predictions([name], 1, [0.7], at=at, generation=1)
    claimed = pa.array([int(event_time * 1e6)], pa.timestamp("us", tz="UTC"))
    return table.set_column(table.schema.get_field_index("event_time"), "event_time", claimed)


@pytest.mark.parametrize("event_time", [YEAR_1_S, YEAR_9999_S])
def test_one_odd_event_time_neither_stops_nor_blinds_the_loop(event_time: float) -> None:
    """A client sends the calendar's first or last day for 'unknown', as many databases do."""
    desk = FakeDesk()
    desk.clock.advance(1_700_000_000.0)
    first_version(desk)
    loop = desk.loop()
    loop.tick()
    now = desk.clock.now()
    desk.reader.add_predictions("odd", claiming("odd", now, event_time))
    desk.reader.add_predictions("even", predictions(["even"], 1, [0.7], at=now, generation=1))
    seen = loop.tick().snapshot.event_time
    assert seen is not None
    assert now - DAY_S <= seen <= now + DAY_S
