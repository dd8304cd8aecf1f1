"""The Clock port."""

import datetime as dt

import pytest

from trimtab.adapters.system import SystemClock
from trimtab.core.domain.errors import InvariantError
from trimtab.ports import Clock
from trimtab.replay.fakes import FakeClock


@pytest.mark.parametrize("clock", [SystemClock(), FakeClock(1.8e9)], ids=["system", "fake"])
def test_time_is_seconds_since_the_epoch_and_does_not_go_back(clock: Clock) -> None:
    """Every tick reads it once."""
    first = clock.now()
    assert first > dt.datetime(2024, 1, 1, tzinfo=dt.UTC).timestamp()
    assert clock.now() >= first


def test_the_system_clock_agrees_with_the_calendar() -> None:
    """UTC, whatever the machine's zone."""
    now = dt.datetime.now(dt.UTC)
    assert abs(dt.datetime.fromtimestamp(SystemClock().now(), dt.UTC) - now) < dt.timedelta(minutes=1)


def test_the_fake_moves_only_when_told() -> None:
    """A month of a rollout in a test."""
    clock = FakeClock(100.0)
    assert (clock.now(), clock.now()) == (100.0, 100.0)
    clock.advance(2.5)
    assert clock.now() == 102.5
    with pytest.raises(InvariantError, match="does not go back"):
        clock.advance(-1)
