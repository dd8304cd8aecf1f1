"""Rows of the log that nobody should have sent."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tests.controller.desk import FakeDesk, labels, predictions
from tests.controller.test_loop import first_version
from trimtab.controller.evidence import Evidence
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


def test_a_label_beyond_all_measure_is_an_orphan() -> None:
    """A regression's label arrives as 1.8e308, the greatest number there is: some systems' word for 'unknown'."""
    evidence = Evidence(event_clock=False)
    table = predictions(["a", "b"], 1, [0.7, 0.7], at=1.0, generation=1)
    table = table.drop_columns(["y.score.no", "y.score.yes", "y.prediction"])
    table = table.append_column("y.prediction", pa.array([3.0, 3.0]))
    said = labels(["a", "b"], ["x", "x"], at=2.0)
    said = said.set_column(said.schema.get_field_index("label"), "label", pa.array([1.8e308 / 2, 4.0]))
    assert [row.id for row in evidence.add(table, said)] == ["b"]
    assert evidence.orphans == 1
