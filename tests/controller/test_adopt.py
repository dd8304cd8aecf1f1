"""The journal is lost and the deployment stands: the way out that needs no downtime."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.controller.desk import FakeDesk
from tests.controller.test_loop import first_version
from tests.decide.worlds import record
from trimtab.controller import commands, queries
from trimtab.core.domain.errors import NotFoundError, RefusedError
from trimtab.core.domain.verdict import Verdict
from trimtab.replay.fakes import MemoryJournal


def deployed() -> FakeDesk:
    """Version 3 serves, 2 and 1 are warm, 4 is at its first weight; then somebody deletes journal.db."""
    desk = FakeDesk()
    first_version(desk)
    for version in (2, 3, 4):
        commands.record(desk, record(version, compared_to=1), deploy=False, actor="ann")
        commands.deploy(desk, version, actor="ann")
        if version < 4:
            commands.promote(desk, actor="ann")
    desk.registry.versions = lambda: list(desk.registry.kept.values())  # type: ignore[method-assign]
    desk.journal = MemoryJournal()
    desk.outbox.seq = 0
    return desk


def test_a_new_training_conflicts_until_what_serves_is_adopted() -> None:
    """The night after: nothing was moved by mistake, and one command mends it."""
    desk = deployed()
    before = desk.target.routes()
    assert before is not None
    outcome = commands.record(desk, record(1), deploy=True, actor="bo")
    assert outcome.status.champion == 1
    assert any("routes" in problem for problem in outcome.problems), "the old routes are later"
    assert desk.target.routes() == before
    done = commands.adopt(desk, actor="ann", reason="journal.db was deleted")
    assert not done.problems
    routes = desk.target.routes()
    assert routes is not None
    assert routes.generation > before.generation
    assert [(share.version, share.weight) for share in routes.split] == [(3, 100)]
    assert (done.status.champion, done.status.previous) == (3, (2, 1))
    assert desk.registry.aliases()["champion"] == 3
    told = queries.why(desk, done.status.seq)[0]
    assert told.reasons[0]["text"] == "ann: adopt version 3 as it is served (journal.db was deleted)"
    assert desk.loop().tick().problems == ()
    assert commands.rollback(desk, actor="ann").status.champion == 2


def test_it_is_idempotent_and_refused_where_a_journal_knows_better() -> None:
    """Typed twice; typed in the wrong project."""
    desk = deployed()
    assert commands.adopt(desk, actor="ann").entry is not None
    assert commands.adopt(desk, actor="ann").entry is None
    other = FakeDesk()
    first_version(other)
    candidate = record(2, compared_to=1)
    commands.record(other, candidate, deploy=False, actor="ann")
    assert commands.adopt(other, actor="ann").entry is None, "it serves what the journal says"
    commands.deploy(other, 2, actor="ann")
    commands.promote(other, actor="ann")
    old = other.target.routes()
    commands.rollback(other, actor="ann")
    other.target.routes = lambda: old  # type: ignore[method-assign]
    with pytest.raises(
        RefusedError, match="this journal's own, whose champion is version 1: there is nothing to adopt"
    ):
        commands.adopt(other, actor="ann")


def test_without_a_deployment_there_is_nothing_to_adopt() -> None:
    """A new project."""
    with pytest.raises(NotFoundError, match="nothing is deployed"):
        commands.adopt(FakeDesk(), actor="ann")


def test_a_version_that_served_against_its_gates_is_let_through_by_name() -> None:
    """Its override was in the journal that is lost."""
    desk = deployed()
    desk.registry.kept[3] = replace(desk.registry.kept[3], verdict=Verdict.FAILED)
    done = commands.adopt(desk, actor="ann")
    assert done.status.champion == 3
    assert done.status.previous == (2, 1)
    assert done.status.versions[3].overridden_by == "ann: it served when the journal was lost"
