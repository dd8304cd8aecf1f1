"""``trimtab gate``: what the gates said of a version, asked again, or overridden."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from trimtab.cli.options import COMMON, Common, actor, workspace
from trimtab.cli.show import coloured, columns, show, show_json
from trimtab.core.domain.errors import UserError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from trimtab.core.domain.gate import GateResult

REJECTED = 3
WORDS = {"successful": "passed", "failed": "FAILED", "inconclusive": "needs a person", "error": "not measured"}


def gate(
    version: Annotated[int, Parameter(help="Number of the version, as in 'trimtab versions'.")],
    /,
    *,
    again: Annotated[bool, Parameter(help="Judge it anew: today's settings and champion, its own rows.")] = False,
    override: Annotated[str | None, Parameter(help="Name of the person who lets it pass; needs --reason.")] = None,
    reason: Annotated[str, Parameter(alias="-r", help="Why, for the journal.")] = "",
    common: Common = COMMON,
) -> int:
    """What the gates said of a version: passed, failed, or a person must look;
    with the figures. Exits with 3 where it may not be deployed.

    With --again the gates are asked anew, on the version's own evaluation rows.
    With --override a named person lets it pass; name and reason stay on record.

    For example:
        trimtab gate 9
        trimtab gate 9 --again
        trimtab gate 9 --override "Ada Byron" --reason "the old labels were wrong"
    """
    if override is not None:
        return _override(version, override, reason, again, common)
    if reason:
        raise UserError("--reason goes with --override NAME")
    desk = workspace(common)
    record = desk.registry.get(version)
    gates = _again(version, common) if again else record.gates
    if common.json:
        show_json({"version": version, "again": again, "gates": gates, "overridden_by": record.overridden_by})
    else:
        if record.made:
            show(record.made)
        show(table(gates))
        if record.overridden_by:
            show(coloured("inconclusive", f"overridden by {record.overridden_by}"))
        elif any(each.verdict.value != "successful" for each in gates):
            show(f"to let it pass on record: trimtab gate {version} --override NAME --reason WHY")
    passed = all(each.verdict.value == "successful" for each in gates)
    return 0 if passed or record.overridden_by else REJECTED


def table(gates: tuple[GateResult, ...]) -> RenderableType:
    """One line per gate: name, answer, figures in words."""
    from rich.text import Text

    rows = ((each.gate, coloured(each.verdict.value, WORDS[each.verdict.value]), Text(each.text)) for each in gates)
    return columns(("gate", "answer", "figures"), rows)


def _again(version: int, common: Common) -> tuple[GateResult, ...]:
    from trimtab.cli.train import progress
    from trimtab.controller import commands
    from trimtab.training.regate import regate

    desk = workspace(common)
    champion = commands.current(desk).champion
    with progress(quiet=common.json) as say:
        return regate(version, desk.services(), champion, desk.clock.now(), say)


def _override(version: int, name: str, reason: str, again: bool, common: Common) -> int:
    from trimtab.cli.act import done
    from trimtab.controller import commands

    if again:
        raise UserError("--again and --override exclude each other: look first, then override")
    if not name.strip() or not reason.strip():
        raise UserError("an override needs the person's name and --reason: both stay on record")
    outcome = commands.override(workspace(common), version, actor=actor(name), reason=reason)
    return done(outcome, f"the gates of version {version} are overridden already", common)
