"""Every command in every phase of a rollout, against the table; and what a rollback may and may not do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.decide.worlds import PLAN, World, given, paired_look, record
from trimtab.core.decide import commands
from trimtab.core.decide.actions import RollBack
from trimtab.core.decide.moves import Move
from trimtab.core.decide.rollouts import start_rollout
from trimtab.core.decide.snapshot import Snapshot
from trimtab.core.decide.status import Status, routes_of, warm_of
from trimtab.core.domain.errors import NotFoundError, RefusedError
from trimtab.core.domain.proof import Proof
from trimtab.core.rollout.facts import RolloutFacts
from trimtab.core.rollout.table import Event, Phase, legal_events

Ask = Callable[[Status], Move | None]

COMMANDS: dict[Event, Ask] = {
    Event.PAUSE: lambda status: commands.pause(status, "ann", "freeze"),
    Event.RESUME: lambda status: commands.resume(status, "ann", "thaw"),
    Event.PROMOTE: lambda status: commands.promote(status, "ann", "now"),
    Event.ABORT: lambda status: commands.abort(status, "ann", "no"),
    Event.SUPERSEDE: lambda status: commands.deploy(status, 3, PLAN, "ann", "newer", supersede=True),
}
LEADS = {
    Event.PAUSE: Phase.PAUSED,
    Event.PROMOTE: Phase.PROMOTED,
    Event.ABORT: Phase.ABORTED,
    Event.SUPERSEDE: Phase.SUPERSEDED,
}


def at(place: str) -> World:
    """A rollout of version 2 that stands there; version 3 may take its place."""
    world = World().with_champion().with_candidate(2)
    if place.startswith("shadow"):
        from dataclasses import replace

        world.apply(start_rollout(world.status, 2, replace(PLAN, strategy="shadow"), "ann"))
    else:
        assert world.tick() == ["StartRollout", "EnterStep"]
    world.apply(given(commands.record(world.status, record(3, compared_to=1), deploy=False)).actions)
    if place.endswith("paused"):
        world.apply(given(commands.pause(world.status, "bo", "")).actions)
    return world


@pytest.mark.parametrize("place", ["shadowing", "progressing", "shadowing-paused", "progressing-paused"])
@pytest.mark.parametrize("event", list(COMMANDS))
def test_each_command_does_what_the_table_says(place: str, event: Event) -> None:
    """A person types it, and types it again because the connection broke."""
    world = at(place)
    before = world.status.rollout
    assert before is not None
    event_by_table = Event.RESUME_SHADOW if event is Event.RESUME and before.weight == 0 else event
    move = COMMANDS[event](world.status)
    if event_by_table not in legal_events(before.phase):
        assert move is None, "it is so already"
        return
    assert [reason.text.startswith("ann: ") for reason in given(move).reasons] == [True]
    world.apply(given(move).actions)
    after = world.status.rollout
    if event is Event.RESUME:
        assert after is not None
        assert after.phase is (Phase.PROGRESSING if before.weight else Phase.SHADOWING)
    elif event is Event.PAUSE:
        assert after is not None
        assert (after.phase, after.weight) == (Phase.PAUSED, before.weight)
    else:
        ended = world.status.ended
        assert ended is not None
        assert (ended.id, ended.version, ended.phase) == (before.id, 2, LEADS[event])
        assert (after is None) == (event is not Event.SUPERSEDE)
    assert COMMANDS[event](world.status) is None, "the second time nothing is left to do"


@pytest.mark.parametrize("event", [Event.PAUSE, Event.RESUME, Event.PROMOTE, Event.ABORT])
@pytest.mark.parametrize("end", [Event.PROMOTE, Event.ABORT])
def test_what_has_ended_is_not_moved(event: Event, end: Event) -> None:
    """The loop was quicker than the person."""
    world = at("progressing")
    world.apply(given(COMMANDS[end](world.status)).actions)
    if event is end:
        assert COMMANDS[event](world.status) is None
        return
    with pytest.raises(RefusedError, match="there is no rollout to"):
        COMMANDS[event](world.status)


def test_a_newer_candidate_takes_the_place_of_a_rollout() -> None:
    """Version 2 was trained on too little; nothing is held against it."""
    world = at("progressing")
    with pytest.raises(RefusedError, match="--supersede"):
        commands.deploy(world.status, 3, PLAN, "ann", "")
    world.apply(given(COMMANDS[Event.SUPERSEDE](world.status)).actions)
    rollout, routes = world.status.rollout, routes_of(world.status)
    assert rollout is not None
    assert routes is not None
    assert (rollout.version, rollout.champion, rollout.first_generation) == (3, 1, world.status.generation)
    assert [(share.version, share.weight) for share in routes.split] == [(1, 90), (3, 10)]
    assert 2 not in world.status.barred


def test_the_newest_candidate_wins() -> None:
    """Two trainings end the wrong way round; and one waits while a newer one is rolled out by hand."""
    world = World().with_champion().with_candidate(3).with_candidate(2)
    assert world.status.waiting == 3
    world.apply(given(commands.deploy(world.status, 3, PLAN, "ann", "")).actions)
    assert world.status.waiting is None


def test_a_newer_candidate_makes_the_question_about_an_older_one_moot() -> None:
    """Nobody answered over the weekend, and on Sunday there was another training."""
    world = World().with_champion().in_mode("approve").with_candidate(2)
    assert world.tick() == ["AskApproval"]
    world.with_candidate(3)
    assert not world.status.approvals
    assert world.tick() == ["AskApproval"]
    (question,) = world.status.approvals.values()
    assert question.actions[0]["version"] == 3


def promoted(*versions: int) -> World:
    """Champions one after the other; the last one is under watch."""
    world = World().with_champion(versions[0])
    for version in versions[1:]:
        world.apply(given(commands.record(world.status, record(version, compared_to=1), deploy=False)).actions)
        world.apply(given(commands.deploy(world.status, version, PLAN, "ann", "")).actions)
        world.apply(given(commands.promote(world.status, "ann", "")).actions)
    return world


def test_a_rollback_given_twice_goes_one_step() -> None:
    """Two people at three in the morning, or the watch and a person at once."""
    world = promoted(1, 2, 3)
    world.apply(given(commands.roll_back(world.status, None, "ann", "errors")).actions)
    assert (world.status.champion, world.status.returned_from) == (2, 3)
    assert commands.roll_back(world.status, None, "bo", "errors") is None
    world.apply(given(commands.roll_back(world.status, 1, "bo", "errors here too")).actions)
    assert world.status.champion == 1


def test_the_first_version_that_fits_takes_over_and_the_others_are_on_record() -> None:
    """The last champion's package was damaged on disk."""
    world = promoted(1, 2, 3)
    proofs = (Proof(2, False, "sha256 does not match"), Proof(1, True, "answers 64 recent requests", 64))
    move = given(commands.roll_back(world.status, None, "ann", "errors", proofs))
    assert [(reason.code, reason.text) for reason in move.reasons[1:]] == [
        ("PreflightFailed", "version 2: sha256 does not match"),
        ("PreflightPassed", "version 1: answers 64 recent requests"),
    ]
    assert [tried["fits"] for tried in move.evidence["preflight"]] == [False, True]
    world.apply(move.actions)
    assert world.status.champion == 1


def test_where_none_fits_nothing_moves_and_the_record_says_so() -> None:
    """The schema changed since."""
    world = promoted(1, 2)
    move = given(commands.roll_back(world.status, None, "ann", "", (Proof(1, False, "input 'wind' is missing"),)))
    before = routes_of(world.status)
    world.apply(move.actions)
    assert routes_of(world.status) == before
    assert [type(action).__name__ for action in move.actions] == ["Note"]


def test_only_what_served_can_be_returned_to() -> None:
    """A number was mistyped."""
    world = at("progressing")
    with pytest.raises(RefusedError, match="version 2 never served"):
        commands.roll_back(world.status, 2, "ann", "")
    with pytest.raises(NotFoundError, match="version 9 is not registered"):
        commands.roll_back(world.status, 9, "ann", "")


def test_a_rollback_aborts_the_rollout_under_way() -> None:
    """The champion is bad, and so its comparison says nothing."""
    world = promoted(1, 2)
    world.apply(given(commands.record(world.status, record(3, compared_to=2), deploy=False)).actions)
    world.apply(given(commands.deploy(world.status, 3, PLAN, "ann", "")).actions)
    world.apply(given(commands.roll_back(world.status, 1, "ann", "")).actions)
    assert world.status.rollout is None
    assert world.status.ended is not None
    assert world.status.ended.phase is Phase.ABORTED
    assert world.status.barred == {2, 3}


def watched_harm(*unfit: int) -> Snapshot:
    """The new champion does worse than its predecessor."""
    facts = RolloutFacts(tuple(paired_look(100.0 * i, 0.3) for i in range(1, 6)))
    return Snapshot(watch=facts, proofs={version: Proof(version, False, "damaged") for version in unfit})


def test_the_watch_returns_to_the_next_version_where_the_last_does_not_fit() -> None:
    """The predecessor's package was damaged meanwhile."""
    world = promoted(1, 2, 3)
    assert world.tick(watched_harm(2)) == ["RollBack"]
    assert world.status.champion == 1
    reasons = world.decisions[-1].moves[0].reasons
    assert [reason.text for reason in reasons if reason.code == "PreflightFailed"] == ["version 2: damaged"]


def test_people_are_told_once_where_nothing_can_take_over() -> None:
    """And as soon as one fits again, it does."""
    world = promoted(1, 2, 3)
    assert world.tick(watched_harm(1, 2)) == ["HoldWatch"]
    assert world.tick(watched_harm(1, 2)) == []
    assert world.tick(watched_harm(2)) == ["RollBack"]
    assert [a for d in world.decisions for a in d.actions if isinstance(a, RollBack)] == [RollBack(1, 3)]


def test_the_newest_earlier_champions_stay_warm() -> None:
    """Three of them by default; older ones leave the servers' memory."""
    world = promoted(1, 2, 3, 4, 5)
    assert warm_of(world.status, 3) == (4, 3, 2)
