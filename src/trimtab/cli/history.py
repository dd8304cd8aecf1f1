"""``trimtab history``: the decisions in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from trimtab.cli.options import COMMON, Common, workspace
from trimtab.cli.show import coloured, columns, short, show, show_json
from trimtab.core.domain.errors import IntegrityError, UserError

if TYPE_CHECKING:
    from trimtab.wiring import Workspace


def history(
    *,
    limit: Annotated[int, Parameter(alias="-n", help="How many, the newest ones; 0 shows all.")] = 20,
    verify: Annotated[bool, Parameter(negative="", help="Check that no decision was changed afterwards.")] = False,
    common: Common = COMMON,
) -> int:
    """The decisions, newest last; 'trimtab why N' tells the story of one.

    For example:
        trimtab history -n 50
    """
    from rich.text import Text

    from trimtab.controller import queries

    if limit < 0:
        raise UserError(f"--limit must be 0 or more, found {limit}")
    desk = workspace(common)
    if verify:
        return _verify(desk, common)
    lines = queries.history(desk, limit or None)
    if common.json:
        show_json(lines)
        return 0
    if not lines:
        show("no decision yet: 'trimtab train' makes the first")
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
