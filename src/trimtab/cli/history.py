"""``trimtab history``: the decisions in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from trimtab.cli.options import COMMON, Common, workspace
from trimtab.cli.show import coloured, columns, short, show, show_json
from trimtab.core.domain.errors import IntegrityError, UserError
from trimtab.core.domain.journal import Query
from trimtab.core.domain.times import parse_time

if TYPE_CHECKING:
    from trimtab.wiring import Workspace


def history(
    *,
    limit: Annotated[int, Parameter(alias="-n", help="How many, the newest ones; 0 shows all.")] = 20,
    after: Annotated[int, Parameter(help="Only decisions after this one: the first ones after it.")] = 0,
    before: Annotated[int | None, Parameter(help="Only decisions before this one.")] = None,
    kind: Annotated[str | None, Parameter(help="Only of this kind, e.g. promote, abort, roll-back.")] = None,
    rollout: Annotated[str | None, Parameter(help="Only about this rollout, e.g. r12.")] = None,
    version: Annotated[int | None, Parameter(help="Only about this version.")] = None,
    since: Annotated[str | None, Parameter(help="Only from this time on, e.g. 2026-11-22 or 2026-11-22T05:00.")] = None,
    until: Annotated[str | None, Parameter(help="Only before this time.")] = None,
    verify: Annotated[bool, Parameter(negative="", help="Check that no decision was changed afterwards.")] = False,
    common: Common = COMMON,
) -> int:
    """The decisions, newest last; 'trimtab why N' tells the story of one.

    For example:
        trimtab history -n 50
        trimtab history --version 8 --kind abort
        trimtab history --since 2026-11-01 --until 2026-11-08
    """
    from rich.text import Text

    from trimtab.controller import queries

    for name, value in (("limit", limit), ("after", after)):
        if value < 0:
            raise UserError(f"--{name} must be 0 or more, found {value}")
    desk = workspace(common)
    if verify:
        return _verify(desk, common)
    query = Query(
        after=after,
        before=before,
        kind=None if kind is None else queries.kind_of(kind),
        rollout=rollout,
        version=version,
        since=None if since is None else parse_time(since),
        until=None if until is None else parse_time(until),
        limit=limit or None,
        newest=not after,
    )
    lines = queries.history(desk, query)
    if common.json:
        show_json(lines)
        return 0
    if not lines:
        empty = desk.journal.head() == 0
        show("no decision yet: 'trimtab train' makes the first" if empty else "no decision of that kind")
        return 0
    table = columns(
        ("", "when (UTC)", "who", "what", "why", "after"),
        (
            (
                Text(str(line.seq), style="bold"),
                short(line.at),
                coloured("minor", _brief(line.actor)),
                Text(line.what),
                Text(line.why),
                "" if line.cause is None else str(line.cause),
            )
            for line in lines
        ),
        right=(0, 5),
    )
    show(table)
    return 0


def _verify(desk: Workspace, common: Common) -> int:
    from trimtab.controller import queries

    broken, length = queries.verify(desk), desk.journal.head()
    if common.json:
        show_json({"decisions": length, "intact": broken is None, "first_changed": broken})
    elif broken is None:
        show(f"{length} decisions, each as it was written")
    if broken is not None:
        raise IntegrityError(f"decision {broken} is not what was written: the journal was changed afterwards")
    return 0


def _brief(name: str, longest: int = 16) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"
