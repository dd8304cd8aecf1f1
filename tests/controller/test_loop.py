"""The loop over fakes: what it does, and that it may die between any two of its effects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.controller.desk import Died, FakeDesk, labels, predictions
from tests.decide.worlds import record
from trimtab.controller import commands, queries
from trimtab.core.decide.policy import Mode
from trimtab.core.decide.status import check_invariants
from trimtab.core.domain.errors import ConflictError, ExternalError, NotFoundError, RefusedError
from trimtab.core.domain.times import DAY_S


def first_version(desk: FakeDesk) -> None:
    """`trimtab train` in a new project."""
    commands.record(desk, record(1), deploy=True, actor="ann")


def candidate(desk: FakeDesk, version: int = 2) -> None:
    """A second training passed its gates."""
    commands.record(desk, record(version, compared_to=1), deploy=True, actor="ann")


def compared_traffic(desk: FakeDesk, name: str, challenger_score: float, rows: int = 400) -> None:
    """Requests that both versions scored, all with the label yes; the champion says .7. One came a day before: the
    servers took the step then.
    """
    now, generation = desk.clock.now(), (desk.target.routes() or pytest.fail("no routes")).generation
    first = predictions([f"{name}-first"], 1, [0.7], at=max(now - 1.05 * DAY_S, 0.0), generation=generation)
    desk.reader.add_predictions(f"{name}-first", first)
    ids = [f"{name}-{k}" for k in range(rows)]
    half = rows // 2
    answers = [(ids[:half], 1, 0.7, 2, challenger_score), (ids[half:], 2, challenger_score, 1, 0.7)]
    for part, (mine, version, score, other, other_score) in enumerate(answers):
        desk.reader.add_predictions(
            f"{name}{part}a", predictions(mine, version, [score] * half, at=now, generation=generation)
        )
        desk.reader.add_predictions(
            f"{name}{part}b",
            predictions(mine, other, [other_score] * half, at=now, generation=generation, shadow=True),
        )
    desk.reader.add_labels(f"{name}l", labels(ids, ["yes"] * rows, at=now))


def test_a_canary_that_is_better_is_promoted() -> None:
    """From the log alone: both versions' losses by label, step by step, to the promotion and the alias."""
    desk = FakeDesk()
    first_version(desk)
    candidate(desk)
    loop = desk.loop()
    loop.tick()
    assert loop.status.rollout is not None
    for day in range(1, 4):
        desk.clock.advance(1.1 * DAY_S)
        compared_traffic(desk, f"day{day}", challenger_score=0.8)
        loop.tick()
    assert loop.status.champion == 2
    assert desk.registry.aliases() == {"champion": 2}
    assert {1, 2} <= desk.target.installed(), "the old champion stays warm"


def test_a_shadow_that_is_no_worse_asks_to_be_promoted() -> None:
    """`trimtab deploy 2 --strategy shadow`: it answers nobody, and what it scored are its requests."""
    desk = FakeDesk()
    first_version(desk)
    candidate(desk)
    commands.deploy(desk, 2, strategy="shadow", actor="ann")
    loop = desk.loop()
    routes = desk.target.routes()
    assert routes is not None
    assert routes.shadow == (2,)
    for day in range(1, 4):
        desk.clock.advance(1.1 * DAY_S)
        now, ids = desk.clock.now(), [f"{day}-{k}" for k in range(400)]
        first = predictions([f"{day}-0"], 1, [0.7], at=now - 1.05 * DAY_S, generation=routes.generation)
        desk.reader.add_predictions(f"{day}-", first)
        desk.reader.add_predictions(f"{day}a", predictions(ids, 1, [0.7] * 400, at=now, generation=routes.generation))
        shadow = predictions(ids, 2, [0.8] * 400, at=now, generation=routes.generation, shadow=True)
        desk.reader.add_predictions(f"{day}b", shadow)
        desk.reader.add_labels(f"{day}l", labels(ids, ["yes"] * 400, at=now))
        loop.tick()
    assert [question.title for question in queries.status(desk).questions] == ["promote version 2: no worse in shadow"]
    assert loop.status.champion == 1


def test_a_canary_that_is_worse_is_aborted_and_people_are_told() -> None:
    """The challenger's answers are worse on the same rows."""
    desk = FakeDesk()
    first_version(desk)
    candidate(desk)
    loop = desk.loop()
    loop.tick()
    desk.clock.advance(3600)
    compared_traffic(desk, "hour", challenger_score=0.4)
    tick = loop.tick()
    assert loop.status.rollout is None
    assert loop.status.champion == 1
    assert "aborted" in desk.notifier.sent[-1].title
    story = queries.why(desk, tick.entries[0].seq)
    assert [entry.actions[0]["type"] for entry in story] == ["RecordVersion", "StartRollout", "Abort"]


def test_two_controllers_at_once_do_not_both_act() -> None:
    """A deployment of the controller itself: for a moment there are two."""
    desk = FakeDesk()
    first_version(desk)
    candidate(desk)
    one, two = desk.loop(), desk.loop()
    one.catch_up()
    two.catch_up()
    original = desk.journal.append

    def late(expected: int, drafts: Any) -> Any:
        desk.journal.append = original  # type: ignore[method-assign]
        one.tick()
        return original(expected, drafts)

    desk.journal.append = late  # type: ignore[method-assign]
    tick = two.tick()
    assert tick.conflict
    starts = [a for e in desk.journal.read() for a in e.actions if a["type"] == "StartRollout"]
    assert len(starts) == 1
    assert two.tick().status == one.status


EFFECTS: list[tuple[str, str]] = [
    ("target", "install"),
    ("target", "apply"),
    ("registry", "set_alias"),
    ("notifier", "send"),
    ("outbox", "deliver"),
    ("journal", "append"),
]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("port", "method"), EFFECTS, ids=[f"{port}.{method}" for port, method in EFFECTS])
def test_death_at_any_effect_is_mended_by_the_next_controller(port: str, method: str, after: bool) -> None:
    """kill -9 right before or right after an effect, at each time that effect happens in a rollout."""
    quiet = _life(FakeDesk(), lambda desk: None)
    for nth in (1, 2, 3, 4):
        calls: list[int] = [0]
        state = _life(FakeDesk(), lambda d, n=nth, c=calls: _die_at(d, port, method, n, after, c))  # type: ignore[misc]
        assert state == quiet, f"{port}.{method} number {nth}"
        if nth == 1:
            assert calls[0], "it never happened: this proves nothing"


def _die_at(desk: FakeDesk, port: str, method: str, nth: int, after: bool, calls: list[int]) -> None:
    owner = getattr(desk, port)
    original: Callable[..., Any] = getattr(owner, method)

    def dying(*args: Any) -> Any:
        calls[0] += 1
        if calls[0] != nth:
            return original(*args)
        if after:
            original(*args)
        raise Died

    setattr(owner, method, dying)


def _life(desk: FakeDesk, arm: Callable[[FakeDesk], None]) -> tuple[Any, ...]:
    """A whole rollout; whenever the controller dies, another begins. What is true at its end."""
    first_version(desk)
    candidate(desk)
    arm(desk)
    loop = desk.loop()
    for day in range(5):
        for _ in range(3):
            try:
                loop.tick()
            except Died:
                loop = desk.loop()
        check_invariants(loop.status)
        if day < 4:
            desk.clock.advance(1.1 * DAY_S)
            if desk.target.routes() is not None:
                compared_traffic(desk, f"day{day}", challenger_score=0.8)
    loop.tick()
    routes = desk.target.routes()
    assert routes is not None
    kinds = [a["type"] for e in desk.journal.read() for a in e.actions]
    told = {notice.id for notice in desk.notifier.sent}
    return loop.status.champion, routes.split, routes.shadow, desk.registry.aliases(), kinds, told


def test_an_effect_that_fails_is_told_and_tried_again() -> None:
    """The registry is away for an hour."""
    desk = FakeDesk()
    original = desk.registry.set_alias

    def away(alias: str, version: int | None) -> None:
        raise ExternalError("MLflow does not answer")

    desk.registry.set_alias = away  # type: ignore[method-assign]
    first_version(desk)
    loop = desk.loop()
    assert loop.tick().problems == ("aliases: MLflow does not answer",)
    desk.registry.set_alias = original  # type: ignore[method-assign]
    assert loop.tick().problems == ()
    assert desk.registry.aliases() == {"champion": 1}


def test_a_restarted_controller_sees_the_same_evidence() -> None:
    """Everything the observer remembers is made anew from the log."""
    desk = FakeDesk()
    first_version(desk)
    candidate(desk)
    loop = desk.loop()
    loop.tick()
    desk.clock.advance(3600)
    compared_traffic(desk, "hour", challenger_score=0.71, rows=40)
    one = loop.tick().snapshot.rollout
    two = desk.loop().tick().snapshot.rollout
    assert one is not None
    assert two is not None
    assert [(look.at_s, look.champion, look.challenger) for look in one.looks] == [
        (look.at_s, look.champion, look.challenger) for look in two.looks
    ]
    assert sum(len(look.paired_champion_loss) for look in two.looks) == 40


def test_rows_that_were_read_before_their_rollout_was_known_count_all_the_same() -> None:
    """A person deploys between the controller's look at the journal and its look at the log."""
    desk = FakeDesk()
    first_version(desk)
    candidate(desk)
    desk.policy = replace(desk.policy, mode=Mode.OBSERVE)
    loop = desk.loop()
    loop.tick()
    original = desk.reader.read

    def deployed_meanwhile(cursor: frozenset[str], limit: int = 256) -> Any:
        desk.reader.read = original  # type: ignore[method-assign]
        commands.deploy(desk, 2, actor="ann", reason="now")
        compared_traffic(desk, "early", challenger_score=0.71, rows=40)
        return original(cursor, limit)

    desk.reader.read = deployed_meanwhile  # type: ignore[method-assign]
    loop.tick()
    facts = loop.tick().snapshot.rollout
    assert facts is not None
    assert sum(len(look.paired_champion_loss) for look in facts.looks) == 40


def test_commands_say_why_they_are_refused_and_change_nothing() -> None:
    """Typed at the wrong moment."""
    desk = FakeDesk()
    with pytest.raises(RefusedError, match="nothing is deployed"):
        commands.rollback(desk, actor="ann")
    first_version(desk)
    before = desk.journal.head()
    with pytest.raises(RefusedError, match="no rollout to promote; champion is 1"):
        commands.promote(desk, actor="ann")
    with pytest.raises(NotFoundError, match="version 7 is not registered"):
        commands.deploy(desk, 7, actor="ann")
    with pytest.raises(NotFoundError, match="no decision 99"):
        queries.why(desk, 99)
    assert desk.journal.head() == before


def test_a_command_whose_controller_went_further_is_done() -> None:
    """The controller advances the rollout while the command that began it still writes the routes."""
    desk = FakeDesk()
    first_version(desk)
    candidate(desk)
    commands.override(desk, 2, actor="ann", reason="to have an entry")
    controller = desk.loop()
    original, once = desk.target.apply, [True]

    def slow(routes: Any) -> None:
        if once[0]:
            once[0] = False
            controller.catch_up()
            commands.abort(desk, actor="bob", reason="no")
        original(routes)

    desk.target.apply = slow  # type: ignore[method-assign]
    outcome = commands.deploy(desk, 2, actor="ann", reason="go")
    assert outcome.problems == ()
    routes = desk.target.routes()
    assert routes is not None
    assert [share.version for share in routes.split] == [1]


def test_a_command_tries_again_when_the_controller_was_quicker() -> None:
    """A person and the controller append in the same second."""
    desk = FakeDesk()
    first_version(desk)
    original, failures = desk.journal.append, [2]

    def busy(expected: int, drafts: Any) -> Any:
        if failures[0]:
            failures[0] -= 1
            raise ConflictError("lost the race")
        return original(expected, drafts)

    desk.journal.append = busy  # type: ignore[method-assign]
    candidate(desk)
    outcome = commands.deploy(desk, 2, strategy="shadow", actor="ann", reason="look first")
    assert outcome.entry is not None
    assert outcome.status.rollout is not None
    assert outcome.status.rollout.weight == 0
