"""What a person asks for: deploy, roll back, promote, abort, pause, resume, approve, reject, override."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from trimtab.cli.options import COMMON, PERSON, Common, Person, workspace
from trimtab.cli.show import coloured, show, show_json
from trimtab.core.domain.errors import UserError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from trimtab.controller.commands import Outcome
    from trimtab.controller.follow import Followed
    from trimtab.core.decide.status import Status

Strategy = Literal["canary", "blue-green", "shadow", "shadow-then-canary"]
Version = Annotated[int, Parameter(help="Number of the version, as in 'trimtab versions'.")]
Question = Annotated[int, Parameter(help="Number of the decision that asks, as in 'trimtab status'.")]


def deploy(
    version: Version,
    /,
    *,
    strategy: Annotated[Strategy | None, Parameter(help="Another one than the project's.")] = None,
    supersede: Annotated[bool, Parameter(help="Take the place of a rollout that is under way.")] = False,
    person: Person = PERSON,
    common: Common = COMMON,
) -> int:
    """Roll a registered version out: by the project's strategy, or by another one.

    The first version takes all traffic at once; later ones meet the champion in
    a rollout. A version that did not pass its gates is refused.

    For example:
        trimtab deploy 8 --strategy shadow
        trimtab deploy 9 --supersede --reason "8 was trained on too little"
    """
    from trimtab.controller import commands

    desk = workspace(common)
    return done(
        commands.deploy(desk, version, strategy=strategy, supersede=supersede, actor=person.name, reason=person.reason),
        f"version {version} serves already, or its rollout is under way",
        common,
    )


def rollback(
    version: Annotated[
        int | None, Parameter(help="To which version. Default: the last one that served before.")
    ] = None,
    /,
    *,
    person: Person = PERSON,
    common: Common = COMMON,
) -> int:
    """Return to an earlier version at once, in one step. A rollout that is under
    way is aborted.

    First the version is tried: it loads, gives its recorded answers, and takes
    what recent requests carried; else nothing is moved. Afterwards the servers
    are asked what they answer with (exit code 1 where one does not follow).

    For example:
        trimtab rollback --reason "complaints about night flights"
        trimtab rollback 3
    """
    from trimtab.controller import commands
    from trimtab.controller.follow import follow

    desk = workspace(common)
    seen: list[Followed] = []

    def moved(status: Status) -> None:
        """What the servers answer with is told before aliases and messages follow."""
        seen.append(follow(desk, status))
        if not common.json:
            show(answered(seen[-1]))

    outcome = commands.rollback(desk, version, actor=person.name, reason=person.reason, moved=moved)
    serves = f"version {outcome.status.champion} serves already"
    returned = outcome.status.returned_from
    if version is None and returned is not None:
        serves += f", since a rollback from version {returned}; to go further back, name the version"
    return done(outcome, serves, common, seen[-1] if seen else None)


def adopt(*, person: Person = PERSON, common: Common = COMMON) -> int:
    """Begin a new journal with what is deployed, where the old one is lost: the
    champion that the servers answer with is entered as it is, with its record
    from the registry, and takes all traffic. Nothing is retrained or reloaded.

    For example:
        trimtab adopt --reason "journal.db was deleted"
    """
    from trimtab.controller import commands
    from trimtab.controller.follow import follow

    desk = workspace(common)
    outcome = commands.adopt(desk, actor=person.name, reason=person.reason)
    return done(outcome, "the journal knows what is deployed", common, follow(desk, outcome.status))


def promote(*, person: Person = PERSON, common: Common = COMMON) -> int:
    """Give the challenger all traffic now, whatever its analysis says.

    For example:
        trimtab promote --reason "labels come too late to wait"
    """
    from trimtab.controller import commands
    from trimtab.controller.follow import follow

    desk = workspace(common)
    outcome = commands.promote(desk, actor=person.name, reason=person.reason)
    return done(
        outcome, f"version {outcome.status.champion} was promoted already", common, follow(desk, outcome.status)
    )


def abort(*, person: Person = PERSON, common: Common = COMMON) -> int:
    """End the rollout: the champion answers everything, and the challenger is not
    rolled out again by itself.

    For example:
        trimtab abort --reason "wrong training data"
    """
    from trimtab.controller import commands
    from trimtab.controller.follow import follow

    desk = workspace(common)
    outcome = commands.abort(desk, actor=person.name, reason=person.reason)
    return done(outcome, "the last rollout was aborted already", common, follow(desk, outcome.status))


def pause(*, person: Person = PERSON, common: Common = COMMON) -> int:
    """Keep the rollout at its weight. Harm still aborts it.

    For example:
        trimtab pause --reason "release freeze"
    """
    from trimtab.controller import commands

    outcome = commands.pause(workspace(common), actor=person.name, reason=person.reason)
    return done(outcome, "the rollout is paused already", common)


def resume(*, person: Person = PERSON, common: Common = COMMON) -> int:
    """Let a paused rollout go on from where it was.

    For example:
        trimtab resume
    """
    from trimtab.controller import commands

    outcome = commands.resume(workspace(common), actor=person.name, reason=person.reason)
    return done(outcome, "the rollout is not paused", common)


def approve(question: Question, /, *, person: Person = PERSON, common: Common = COMMON) -> int:
    """Confirm what the loop asked for: it is done at once.

    For example:
        trimtab approve 41
    """
    from trimtab.controller import commands

    outcome = commands.approve(workspace(common), str(question), actor=person.name, reason=person.reason)
    return done(outcome, "", common)


def reject(question: Question, /, *, person: Person = PERSON, common: Common = COMMON) -> int:
    """Decline what the loop asked for: nothing is changed.

    For example:
        trimtab reject 41 --reason "wait until after the holidays"
    """
    from trimtab.controller import commands

    outcome = commands.reject(workspace(common), str(question), actor=person.name, reason=person.reason)
    return done(outcome, "", common)


def override(version: Version, /, *, person: Person = PERSON, common: Common = COMMON) -> int:
    """Let a version pass against its gates. Needs a reason; your name and the
    reason stay on record.

    For example:
        trimtab override 9 --reason "the old labels were wrong: incident 31"
    """
    from trimtab.controller import commands

    if not person.reason.strip():
        raise UserError("an override needs --reason: it stays on record with your name")
    outcome = commands.override(workspace(common), version, actor=person.name, reason=person.reason)
    return done(outcome, f"the gates of version {version} are overridden already", common)


def done(outcome: Outcome, already: str, common: Common, followed: Followed | None = None) -> int:
    """Tells what a command did. Effects that failed are told, and the exit code is 1: the decision stands.

    ``followed``: what the servers said that were asked.
    """
    from trimtab.controller.queries import describe

    if common.json:
        show_json({"decision": outcome.entry, "problems": outcome.problems, "servers": followed})
    elif outcome.entry is None:
        show(f"nothing to do: {already or 'it is so already'}")
    else:
        told = [action for action in outcome.entry.actions if action["type"] not in ("Alert", "Answer")]
        words = ", ".join(describe(action) for action in told or outcome.entry.actions)
        show(f"decision {outcome.entry.seq}: {words}")
    if not common.json:
        for problem in outcome.problems:
            show(coloured("failed", f"not done yet, will be tried again: {problem}"))
        for reason in outcome.entry.reasons if outcome.entry is not None else ():
            if reason["code"].startswith("Preflight"):
                show(f"preflight of {reason['text']}")
    return 1 if outcome.problems or (followed is not None and not followed.ok) else 0


def answered(followed: Followed) -> RenderableType:
    """What the servers said, as a line."""
    return followed.text if followed.ok else coloured("failed", f"the servers do not follow: {followed.text}")
