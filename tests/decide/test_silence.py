"""Requests that stop coming."""

from __future__ import annotations

from tests.decide.worlds import POLICY
from trimtab.core.decide.decide import decide
from trimtab.core.decide.snapshot import Arrivals, Snapshot
from trimtab.core.decide.status import Status
from trimtab.core.domain.times import DAY_S, HOUR_S


def opened(first: float, last: float, pause_s: float, now: float, **more: object) -> list[str]:
    """Codes of what is decided."""
    snapshot = Snapshot(arrivals=Arrivals(first, last, pause_s), **more)  # type: ignore[arg-type]
    moves = decide(POLICY, Status(), snapshot, now).moves
    return [reason.code for move in moves for reason in move.reasons]


def test_no_request_for_days_is_told() -> None:
    """A gateway sends its traffic elsewhere after a month of steady requests."""
    month = 30 * DAY_S
    assert opened(0.0, month, HOUR_S, month + 2.5 * DAY_S) == ["MissingRows"]
    assert opened(0.0, month, HOUR_S, month + 1.5 * DAY_S) == []


def test_weekends_a_young_endpoint_and_a_full_disk_are_no_silence() -> None:
    """A shop that is closed for two days a week; an endpoint of three days; a log that cannot be written."""
    month = 30 * DAY_S
    assert opened(0.0, month, 2 * DAY_S, month + 4 * DAY_S) == []
    assert opened(0.0, 3 * DAY_S, HOUR_S, 9 * DAY_S) == []
    full = {"unrecorded": {"http://a": "no space"}}
    assert "MissingRows" not in opened(0.0, month, HOUR_S, month + 5 * DAY_S, **full)
