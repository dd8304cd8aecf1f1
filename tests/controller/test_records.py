"""Servers that cannot record, seen by the loop: told once, also while the log cannot be read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.controller.desk import FakeDesk
from tests.controller.test_loop import first_version
from trimtab.core.domain.errors import ExternalError
from trimtab.ports import LogSlice, ServerReport

FULL = "it cannot be written since 4 s: No space left on device; 0 rows lost, 12 wait"


class Disk:
    """What servers say of theirs, and whether the controller can read it."""

    def __init__(self, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said = ""
        self.readable = True
        servers, read = desk.target.servers, desk.reader.read

        def told() -> list[ServerReport]:
            return [replace(server, unrecorded=self.said) for server in servers()]

        def reading(cursor: frozenset[str], limit: int = 256) -> LogSlice:
            if not self.readable:
                raise ExternalError("the log directory cannot be read: Not a directory")
            return read(cursor, limit)

        monkeypatch.setattr(desk.target, "servers", told)
        monkeypatch.setattr(desk.reader, "read", reading)


def titles(desk: FakeDesk) -> list[str]:
    return [notice.title for notice in desk.notifier.sent if "recorded" in notice.title]


@pytest.mark.parametrize("readable", [True, False])
def test_told_once_and_once_more_at_the_end(monkeypatch: pytest.MonkeyPatch, readable: bool) -> None:
    """The volume of the logs is full, or is gone altogether, for an hour of ticks."""
    desk = FakeDesk()
    first_version(desk)
    disk = Disk(desk, monkeypatch)
    loop = desk.loop()
    loop.tick()
    disk.said, disk.readable = FULL, readable
    for _ in range(5):
        desk.clock.advance(60.0)
        if readable:
            loop.tick()
        else:
            with pytest.raises(ExternalError, match="cannot be read"):
                loop.tick()
    assert titles(desk) == ["predictions are not recorded"]
    assert [incident.text.startswith("the log of memory://") for incident in loop.status.open_incidents] == [True]
    disk.said, disk.readable = "", True
    for _ in range(3):
        desk.clock.advance(60.0)
        loop.tick()
    assert titles(desk) == ["predictions are not recorded", "predictions are recorded again"]
    assert not loop.status.open_incidents
