"""The controller as a process, when a tick fails: requests are answered on, and people can read why."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tests.controller.desk import FakeDesk
from trimtab.controller import queries
from trimtab.controller.loop import Loop, Tick
from trimtab.controller.runner import run
from trimtab.core.domain.errors import ExternalError


@dataclass
class Ticks:
    """Lets the controller tick so many times."""

    left: int
    told: list[Tick] = field(default_factory=list)

    def stop(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ValueError("Integer value out of range"), "a defect of Trimtab (ValueError: Integer value out of range at "),
        (ExternalError("disk full"), "disk full"),
    ],
)
def test_a_tick_that_fails_does_not_end_the_controller(error: Exception, says: str) -> None:
    """At three in the morning a row of the log is nothing that anybody foresaw; or the disk is full for a while."""
    desk, ticks, begun = FakeDesk(), Ticks(40), []

    def begin() -> Loop:
        loop = desk.loop()
        begun.append(loop)
        if len(begun) == 1:

            def fails() -> Tick:
                loop.tick = Loop.tick.__get__(loop)  # type: ignore[method-assign]
                raise error

            loop.tick = fails  # type: ignore[method-assign]
        return loop

    run(begin, desk.view, every_s=0.01, stop=ticks.stop, tell=ticks.told.append)
    assert [tick.problems[0].startswith(says) for tick in ticks.told] == [True]
    assert desk.view.last is not None
    assert desk.view.last["controller"]["problems"] == [], "the next tick went well"
    assert len(begun) == (1 if isinstance(error, ExternalError) else 2), "a defect starts from what is on disk"


def test_what_failed_stands_in_the_status() -> None:
    """The on-call engineer types 'trimtab status' and not 'tail up.log'."""
    desk, ticks = FakeDesk(), Ticks(3)
    desk.view.save({"now": 5.0, "controller": {"pid": 1, "at": 5.0, "problems": []}, "health": {"diagnosis": "none"}})

    def begin() -> Loop:
        loop = desk.loop()

        def fails() -> Tick:
            raise KeyError("x")

        loop.tick = fails  # type: ignore[method-assign]
        return loop

    run(begin, desk.view, every_s=0.01, stop=ticks.stop, tell=ticks.told.append)
    report = queries.status(desk)
    assert report.controller is not None
    assert "KeyError: 'x' at tests.controller.test_runner:" in report.controller["problems"][0]
    assert report.controller["at"] == 5.0, "when it last saw something"
    assert report.health == {"diagnosis": "none"}


def test_a_problem_that_stays_is_told_once() -> None:
    """The registry is down for an hour, with a look every ten seconds: one line, not three hundred and sixty."""
    desk, ticks = FakeDesk(), Ticks(30)

    def begin() -> Loop:
        loop = desk.loop()

        def fails() -> Tick:
            raise ExternalError("the registry does not answer")

        loop.tick = fails  # type: ignore[method-assign]
        return loop

    run(begin, desk.view, every_s=0.01, stop=ticks.stop, tell=ticks.told.append)
    assert [tick.problems for tick in ticks.told] == [("the registry does not answer",)]
    assert desk.view.last is not None
    assert desk.view.last["controller"]["problems"] == ["the registry does not answer"]
