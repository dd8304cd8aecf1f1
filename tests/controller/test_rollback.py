"""A rollback through the ports: tried before, one step, the servers asked afterwards."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.controller.desk import FakeDesk
from tests.decide.worlds import record
from trimtab.controller import commands
from trimtab.controller.follow import follow
from trimtab.core.domain.errors import RefusedError
from trimtab.ports import ServerReport
from trimtab.replay.fakes import MemoryTarget


def champions(count: int) -> FakeDesk:
    """Versions 1 to ``count`` were champion one after the other."""
    desk = FakeDesk()
    for version in range(1, count + 1):
        commands.record(desk, record(version, compared_to=1), deploy=version == 1, actor="ann")
        if version > 1:
            commands.deploy(desk, version, actor="ann")
            commands.promote(desk, actor="ann")
    return desk


def test_three_earlier_versions_stay_warm() -> None:
    """A rollback is a change of weights alone."""
    desk = champions(5)
    routes = desk.target.routes()
    assert routes is not None
    assert set(routes.versions) | set(routes.warm) == {5, 4, 3, 2}
    assert desk.target.installed() == {5, 4, 3, 2}


def test_another_number_of_warm_versions_needs_no_new_generation() -> None:
    """Somebody sets `rollout.keep: 1` in the project file."""
    desk = champions(5)
    before = desk.target.routes()
    desk.policy = replace(desk.policy, keep=1)
    commands.promote(desk, actor="ann")
    after = desk.target.routes()
    assert before is not None
    assert after is not None
    assert (after, after.warm) == (before, ())
    assert desk.target.installed() == {5, 4}


def test_a_damaged_version_is_passed_over_and_the_record_says_why() -> None:
    """The disk lost a file of the last champion."""
    desk = champions(3)
    desk.target.unfit[2] = "sha256 of model.onnx does not match"
    outcome = commands.rollback(desk, actor="ann", reason="errors")
    assert outcome.status.champion == 1
    assert outcome.entry is not None
    assert [reason["code"] for reason in outcome.entry.reasons] == ["Command", "PreflightFailed", "PreflightPassed"]
    assert "(errors)" in outcome.entry.reasons[0]["text"]


def test_where_the_preflight_fails_nothing_moves() -> None:
    """The schema changed since; the journal keeps who asked, and what was found."""
    desk = champions(3)
    desk.target.unfit[2] = "cannot answer 64 of 64 recent requests: input 'wind' is missing"
    before, seen = desk.target.routes(), []
    with pytest.raises(RefusedError, match=r"input 'wind' is missing.*Nothing was moved; decision"):
        commands.rollback(desk, 2, actor="ann", moved=seen.append)
    assert (desk.target.routes(), seen) == (before, [])
    assert desk.journal.read()[-1].actor == "ann"


def test_the_servers_are_asked_before_aliases_follow() -> None:
    """The registry takes seconds to answer; the person wants to know now."""
    desk, order = champions(2), []
    set_alias = desk.registry.set_alias
    desk.registry.set_alias = lambda *a: (order.append("alias"), set_alias(*a))[1]  # type: ignore[method-assign]
    commands.rollback(desk, actor="ann", moved=lambda status: order.append(f"serves {status.champion}"))
    assert order[:2] == ["serves 1", "alias"]


class Slow(MemoryTarget):
    """Servers that need a few looks, or never follow."""

    def __init__(self, reports: list[ServerReport]) -> None:
        super().__init__()
        self.reports = reports

    def servers(self) -> list[ServerReport]:
        return [self.reports.pop(0) if len(self.reports) > 1 else self.reports[0]]


def test_a_server_that_follows_late_is_waited_for_and_one_that_does_not_is_told() -> None:
    """It loads; it is stuck; it refuses."""
    desk = champions(2)
    status = commands.current(desk)
    now = ServerReport("http://a", True, status.generation, (2, 1))
    before = ServerReport("http://a", True, status.generation - 1, (2,))
    for reports, ok, text in (
        ([before, before, now], True, f"the server answers with version 2, generation {status.generation}"),
        ([before], False, f"http://a still answers with generation {status.generation - 1}"),
        ([ServerReport("http://a", False, None)], False, "http://a does not answer"),
        ([replace(before, refused=((2, "damaged"),))], False, "it refuses version 2: damaged"),
    ):
        desk.target = Slow(reports)
        followed = follow(desk, status, within_s=0.3)
        assert followed.ok == ok
        assert text in followed.text
