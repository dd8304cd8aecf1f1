"""What people ask for: decided by the same core, journalled with who and why, and carried out at once.

A command works with and without a running controller: both append to the journal by comparing its head, and both
converge the world.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from trimtab.controller.codec import catch_up, decode, draft
from trimtab.controller.converge import converge
from trimtab.controller.desk import Desk
from trimtab.controller.preflight import first_that_fits
from trimtab.controller.standing import standing, status_of
from trimtab.core.decide import commands as core
from trimtab.core.decide.actions import Note
from trimtab.core.decide.fold import fold
from trimtab.core.decide.moves import Move
from trimtab.core.decide.status import Status, check_invariants
from trimtab.core.domain.errors import ConflictError, InvariantError, NotFoundError, RefusedError
from trimtab.core.domain.gate import VersionRecord
from trimtab.core.domain.journal import Entry
from trimtab.core.domain.proof import Proof
from trimtab.core.rollout.plan import Strategy

_TRIES = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command did."""

    status: Status
    entry: Entry | None
    """The decision it became; None when it was already so."""
    problems: tuple[str, ...] = ()
    """Effects that failed; the controller or the next command tries them again."""


def deploy(
    desk: Desk,
    version: int,
    *,
    strategy: Strategy | None = None,
    supersede: bool = False,
    actor: str,
    reason: str = "",
) -> Outcome:
    """Roll out a registered version by the project's plan, or by another strategy; ``supersede``: in the place of a
    rollout that is under way.
    """
    plan = desk.policy.plan if strategy is None else replace(desk.policy.plan, strategy=strategy)
    return _command(desk, actor, lambda status: core.deploy(status, version, plan, actor, reason, supersede=supersede))


def rollback(
    desk: Desk,
    version: int | None = None,
    *,
    actor: str,
    reason: str = "",
    moved: Callable[[Status], None] = lambda _: None,
) -> Outcome:
    """Return to the last champion that passes its preflight, or to a named version, in one step.

    Args:
        desk: the ports.
        version: the one to return to.
        actor: who.
        reason: why.
        moved: called when the routes are as the status says, before aliases and messages follow.

    Raises:
        RefusedError: it is not legal now, or the preflight failed; then nothing was moved, and the journal keeps what
        was tried.
    """
    tried: dict[tuple[int, ...], tuple[Proof, ...]] = {}

    def ask(status: Status) -> Move | None:
        targets = core.rollback_targets(status, version)
        if targets and targets not in tried:
            tried[targets] = first_that_fits(targets, desk.world)
        return core.roll_back(status, version, actor, reason, tried.get(targets, ()))

    def tell(status: Status) -> None:
        if not any(proofs and not proofs[-1].fits for proofs in tried.values()):
            moved(status)

    outcome = _command(desk, actor, ask, tell)
    entry = outcome.entry
    if entry is not None and entry.actions[0]["type"] == Note.__name__:
        raise RefusedError(f"{entry.actions[0]['text']}. Nothing was moved; decision {entry.seq} keeps it")
    return outcome


def adopt(desk: Desk, *, actor: str, reason: str = "") -> Outcome:
    """Begin a new journal with what is deployed: the champion of the routes that are in force answers everything.

    Raises:
        NotFoundError: nothing is deployed, or the registry does not know the version.
        RefusedError: the routes are this journal's own.
    """
    routes = desk.target.routes()
    if routes is None:
        raise NotFoundError("nothing is deployed, so there is nothing to adopt")
    registry = desk.world.registry
    known = {record.version for record in registry.versions()}
    champion = registry.get(routes.split[0].version)
    warm = tuple(registry.get(version) for version in routes.warm if version in known and version != champion.version)
    return _command(desk, actor, lambda status: core.adopt(status, routes.generation, champion, warm, actor, reason))


def promote(desk: Desk, *, actor: str, reason: str = "") -> Outcome:
    """Give the challenger all traffic now."""
    return _command(desk, actor, lambda status: core.promote(status, actor, reason))


def abort(desk: Desk, *, actor: str, reason: str = "") -> Outcome:
    """End the rollout; the champion answers everything."""
    return _command(desk, actor, lambda status: core.abort(status, actor, reason))


def pause(desk: Desk, *, actor: str, reason: str = "") -> Outcome:
    """Keep the rollout at its weight."""
    return _command(desk, actor, lambda status: core.pause(status, actor, reason))


def resume(desk: Desk, *, actor: str, reason: str = "") -> Outcome:
    """Let a paused rollout go on."""
    return _command(desk, actor, lambda status: core.resume(status, actor, reason))


def approve(desk: Desk, approval: str, *, actor: str, reason: str = "") -> Outcome:
    """Confirm what the loop asked for; ``approval`` is the number of the decision that asked."""
    return _answer(desk, approval, True, actor, reason)


def reject(desk: Desk, approval: str, *, actor: str, reason: str = "") -> Outcome:
    """Decline what the loop asked for."""
    return _answer(desk, approval, False, actor, reason)


def override(desk: Desk, version: int, *, actor: str, reason: str) -> Outcome:
    """Let a version pass against its gates, on record."""
    return _command(desk, actor, lambda status: core.override(status, version, actor, reason))


def record(desk: Desk, version: VersionRecord, *, deploy: bool, actor: str) -> Outcome:
    """Enter a version that was trained outside the loop; the first deployable one is deployed at once."""
    outcome = _command(desk, actor, lambda status: core.record(status, version, deploy))
    if deploy and version.deployable and outcome.status.champion is None:
        plan = desk.policy.plan
        return _command(
            desk, actor, lambda status: core.deploy(status, version.version, plan, actor, "the first version")
        )
    return outcome


def current(desk: Desk) -> Status:
    """The status by the journal, now."""
    return status_of(desk.journal, desk.world.shelf)


def _answer(desk: Desk, approval: str, approved: bool, actor: str, reason: str) -> Outcome:
    key = approval if approval.startswith("a") else f"a{approval}"

    def answer(status: Status) -> Move | None:
        question = status.approvals.get(key)
        actions = tuple(decode(action) for action in question.actions) if question is not None else ()
        return core.answer(status, key, approved, actions, desk.clock.now(), actor, reason)

    return _command(desk, actor, answer)


def _command(
    desk: Desk,
    actor: str,
    ask: Callable[[Status], Move | None],
    moved: Callable[[Status], None] = lambda _: None,
) -> Outcome:
    for _ in range(_TRIES):
        status, entries = standing(desk.journal, desk.world.shelf, desk.world.outbox.delivered())
        now = max(desk.clock.now(), status.at)
        move = ask(status)
        if move is None:
            return _carry_out(desk, status, entries, None, moved)
        try:
            check_invariants(fold(status, status.seq + 1, now, move.actions))
        except InvariantError as error:
            raise RefusedError(f"this cannot be done now: {error}") from error
        try:
            added = desk.journal.append(status.seq, [draft(move, now, actor)])
        except ConflictError:
            continue
        return _carry_out(desk, catch_up(status, added), [*entries, *added], added[0], moved)
    raise ConflictError(f"the journal changed {_TRIES} times while the command was decided; try again")


def _carry_out(
    desk: Desk, status: Status, entries: list[Entry], entry: Entry | None, moved: Callable[[Status], None]
) -> Outcome:
    """Make the world match; where the controller decided something meanwhile, what it decided is what must be
    matched.
    """
    for _ in range(_TRIES):
        done = converge(desk.policy, status, entries, desk.world, moved=partial(moved, status))
        newer = desk.journal.read(status.seq)
        if not done.problems or not newer:
            break
        entries = [*entries, *newer]
        status = catch_up(status, newer)
    return Outcome(status, entry, tuple(done.problems))
