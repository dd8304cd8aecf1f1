"""Defects of the production that the simulation found, each told once more by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.controller.desk import FakeDesk
from tests.decide.worlds import PLAN, World, drifted, fault, looks, paired_look, record
from trimtab.controller import commands
from trimtab.controller.codec import decode
from trimtab.core.decide import commands as core
from trimtab.core.decide.actions import PauseRollout, RollBack, StartTraining
from trimtab.core.decide.policy import Policy
from trimtab.core.decide.snapshot import Snapshot
from trimtab.core.decide.status import routes_of
from trimtab.core.diagnosis.result import Assessment
from trimtab.core.domain.errors import ExternalError, RefusedError
from trimtab.core.domain.times import DAY_S


def answered(world: World, approved: bool) -> None:
    """A person answers the only question."""
    key, question = next(iter(world.status.approvals.items()))
    actions = tuple(decode(action) for action in question.actions)
    world.apply(core.answer(world.status, key, approved, actions, world.now, "ann", "").actions)


def test_a_declined_rollout_is_not_asked_for_again() -> None:
    """Somebody says no at night; the next tick must not ask again, and again."""
    world = World().with_champion().in_mode("approve").with_candidate()
    assert world.tick() == ["AskApproval"]
    answered(world, approved=False)
    assert world.tick() == []
    assert 2 in world.status.barred
    world.with_candidate(3)
    assert world.tick() == ["AskApproval"], "another candidate is another question"


def test_a_declined_training_waits_for_the_cool_down() -> None:
    """No to the monthly training is not a no for the next minute only."""
    world = World().with_champion().in_mode("approve")
    world.policy = replace(world.policy, retrain=replace(world.policy.retrain, every_s=DAY_S))
    assert world.tick(after_s=2 * DAY_S) == ["AskApproval"]
    answered(world, approved=False)
    assert world.tick() == []
    assert world.tick(after_s=8 * DAY_S) == ["AskApproval"]


def test_a_declined_promotion_leaves_the_rollout_paused() -> None:
    """The shadow looks good, and a person does not want it yet."""
    world = World().with_champion().with_candidate()
    world.apply(core.start_rollout(world.status, 2, replace(PLAN, strategy="shadow"), "ann"))
    good = looks(*(paired_look(world.now + k * 3600, -0.02) for k in range(1, 20)))
    assert world.tick(good, after_s=1.1 * DAY_S) == ["AskApproval"]
    answered(world, approved=False)
    assert world.status.rollout is not None
    assert world.status.rollout.paused
    assert world.tick(good) == []
    world.apply(core.resume(world.status, "ann", "").actions)  # type: ignore[union-attr]
    later = looks(*(good.rollout.looks if good.rollout else ()), paired_look(world.now + 3600, -0.02))
    assert world.tick(later, after_s=1.1 * DAY_S) == ["AskApproval"]


def test_a_question_that_cannot_be_carried_out_any_more_goes() -> None:
    """The champion changed while a question waited: a new one is asked, about today's champion."""
    world = World().with_champion().in_mode("approve").with_candidate(2).with_candidate(3)
    assert world.tick() == ["AskApproval"]
    world.apply((RollBack(2, 1),))
    assert not world.status.approvals
    assert world.tick() == ["AskApproval"]
    question = next(iter(world.status.approvals.values()))
    assert question.actions[0]["champion"] == 2


def test_approved_training_does_not_begin_on_data_that_broke_meanwhile() -> None:
    """Asked on Friday, a feed breaks on Saturday, approved on Monday."""
    world = World().with_champion().in_mode("approve")
    assert world.tick(Snapshot(event_time=1.0, assessment=drifted())) == ["OpenIncident", "AskApproval"]
    broken = Assessment(drifted().diagnosis, faults=(fault(since=5.0),))
    assert world.tick(Snapshot(event_time=9.0, assessment=broken)) == ["OpenIncident"]
    with pytest.raises(RefusedError, match="nothing is trained on broken data"):
        answered(world, approved=True)
    mended = Assessment(drifted().diagnosis, faults=(fault(since=5.0, until=DAY_S),))
    world.tick(Snapshot(event_time=2 * DAY_S, assessment=mended))
    answered(world, approved=True)
    assert world.status.training is not None
    spec: StartTraining = world.status.training.spec
    assert spec.quarantines == ((5.0, DAY_S, ("wind",)),), "the window that broke after the question is left out"
    assert spec.until == world.now


def test_a_rollback_to_the_version_that_waits_ends_its_waiting() -> None:
    """It would have become its own challenger, and the controller would have died of it at each tick."""
    world = World().with_champion().with_candidate()
    world.apply((RollBack(2, 1),))  # journals of earlier releases hold such moves
    assert world.status.waiting is None
    assert world.tick() == []
    assert world.status.champion == 2


def test_a_watched_version_that_a_server_refuses_is_taken_back() -> None:
    """Promoted by hand, and its package is damaged on one server."""
    world = World().with_champion().with_candidate()
    world.tick()
    world.apply(core.promote(world.status, "ann", "in a hurry").actions)
    assert world.tick(Snapshot(servers=2, refused={2: "sha256 does not match"})) == ["RollBack"]
    assert world.status.champion == 1
    assert 2 in world.status.barred


def deployed(keep: int = 3, versions: int = 3) -> FakeDesk:
    """Versions 1, 2, … were champion one after the other."""
    desk = FakeDesk(policy=Policy(plan=replace(PLAN, strategy="blue-green", watch_s=0.0), keep=keep))
    commands.record(desk, record(1), deploy=True, actor="ann")
    for version in range(2, versions + 1):
        commands.record(desk, record(version, compared_to=1), deploy=False, actor="ann")
        commands.deploy(desk, version, actor="ann")
        commands.promote(desk, actor="ann")
    return desk


def test_a_rollback_does_not_wait_for_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """An older version that is to become warm must be fetched; the one that is to answer is there."""
    desk = deployed(keep=1)
    assert desk.target.installed() == {2, 3}

    def away(version: int, to: Path) -> Path:
        raise ExternalError("MLflow does not answer")

    monkeypatch.setattr(desk.registry, "fetch", away)
    outcome = commands.rollback(desk, actor="ann", reason="errors")
    routes = desk.target.routes()
    assert routes is not None
    assert routes.split[0].version == 2
    assert outcome.problems == ("earlier versions: MLflow does not answer",)


def test_what_was_decided_does_not_wait_for_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rollback's process died after the journal knew; a broken file keeps the controller from observing."""
    desk = deployed(versions=2)
    loop = desk.loop()
    loop.tick()
    monkeypatch.setattr(desk.target, "apply", lambda routes: _fail("the disk is full"))
    assert commands.rollback(desk, actor="ann").problems
    monkeypatch.undo()
    monkeypatch.setattr(desk.reader, "read", lambda cursor: _fail("a file of the log cannot be read"))
    with pytest.raises(ExternalError, match="a file of the log"):
        loop.tick()
    routes = desk.target.routes()
    assert routes is not None
    assert routes == routes_of(loop.status)
    assert routes.split[0].version == 1


def _fail(text: str) -> Any:
    raise ExternalError(text)


@pytest.mark.parametrize("call", ["apply", "retire"])
def test_a_race_at_the_target_is_no_defect(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command and the controller change the target in the same second: one of them looks again."""
    desk = deployed(keep=1)
    commands.deploy(desk, 1, strategy="canary", actor="ann")
    original = getattr(desk.target, call)

    def raced(arg: Any) -> None:
        if call == "apply":
            desk.target._installed.discard(2)
        else:
            assert desk.target._routes is not None
            desk.target._routes = replace(desk.target._routes, shadow=(arg,))
        original(arg)

    monkeypatch.setattr(desk.target, call, raced)
    outcome = commands.rollback(desk, 2, actor="ann")
    assert len(outcome.problems) == 1
    assert "somebody else" in outcome.problems[0]
    monkeypatch.undo()
    if call == "apply":
        desk.loop().tick()
        assert desk.target.routes() == routes_of(desk.loop().catch_up())


def test_an_alias_that_moved_though_the_call_failed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry set the alias and its answer was lost; the rollout is over before the next tick."""
    desk = deployed(versions=2)
    loop = desk.loop()
    loop.tick()
    commands.record(desk, record(3, compared_to=1), deploy=False, actor="ann")
    original = desk.registry.set_alias

    def lost(alias: str, version: int | None) -> None:
        original(alias, version)
        raise ExternalError("timed out")

    monkeypatch.setattr(desk.registry, "aliases", lambda: _fail("timed out"))
    commands.deploy(desk, 3, strategy="shadow", actor="ann")
    monkeypatch.undo()
    monkeypatch.setattr(desk.registry, "set_alias", lost)
    assert loop.tick().problems == ("aliases: timed out",)
    assert desk.registry.aliases()["challenger"] == 3
    monkeypatch.setattr(desk.registry, "aliases", lambda: _fail("timed out"))
    commands.abort(desk, actor="ann")
    monkeypatch.undo()
    loop.tick()
    assert desk.registry.aliases() == {"champion": 2}


def test_a_declined_promotion_of_a_paused_rollout_pauses_nothing_twice() -> None:
    """It was paused by hand before the answer."""
    world = World().with_champion().with_candidate()
    world.apply(core.start_rollout(world.status, 2, replace(PLAN, strategy="shadow"), "ann"))
    good = looks(*(paired_look(world.now + k * 3600, -0.02) for k in range(1, 20)))
    world.tick(good, after_s=1.1 * DAY_S)
    world.apply((PauseRollout(world.status.rollout.id),))  # type: ignore[union-attr]
    answered(world, approved=False)
    assert world.status.rollout is not None
    assert world.status.rollout.paused
