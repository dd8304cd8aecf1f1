"""``trimtab why``: a decision as a chain of causes, with the arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from trimtab.cli.options import COMMON, Common, workspace
from trimtab.cli.show import short, show, show_json

if TYPE_CHECKING:
    from rich.console import RenderableType

    from trimtab.core.domain.journal import Entry


def why(
    decision: Annotated[int, Parameter(help="Its number, as in 'trimtab history'.")],
    /,
    *,
    common: Common = COMMON,
) -> int:
    """The story of a decision: its first cause, what followed from it, and the
    figures at each step.

    For example:
        trimtab why 17
    """
    from trimtab.controller import queries

    desk = workspace(common)
    chain = queries.why(desk, decision)
    after = queries.consequences(desk, decision)
    if common.json:
        show_json({"chain": chain, "consequences": after})
        return 0
    for i, entry in enumerate(chain):
        show(*story(entry, last=i == len(chain) - 1))
    if after:
        show(f"led to: {', '.join(f'{entry.seq} {_did(entry)}' for entry in after)}")
    return 0


def story(entry: Entry, *, last: bool) -> Iterator[RenderableType]:
    """One link of the chain: when, who, what; because of what; with which figures; who was told."""
    from rich.table import Table
    from rich.text import Text

    yield Text.assemble(
        (f"{entry.seq} ", "bold"), (f"{short(entry.at)} {entry.actor}: ", "dim"), (_did(entry), "bold" if last else "")
    )
    table = Table.grid(padding=(0, 1))
    for reason in entry.reasons:
        table.add_row("   because", Text(str(reason["text"])))
    for name, text in evidence(entry.evidence):
        table.add_row(Text(f"   {name}", style="dim"), Text(text, style="dim"))
    for action in entry.actions:
        if action["type"] == "Alert":
            table.add_row(Text("   told", style="dim"), Text(f"{action['title']} ({action['severity']})", style="dim"))
    if table.row_count:
        yield table
    if not last:
        yield Text("   which led to", style="dim")


def evidence(seen: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The figures that were looked at, one line each: metrics in words, the rest as name and value."""
    for key, value in seen.items():
        if key == "metrics" and isinstance(value, list):
            for metric in value:
                yield str(metric.get("verdict", "")), str(metric.get("text", metric.get("name", "")))
        elif isinstance(value, list):
            if value:
                yield key, ", ".join(map(str, value))
        elif isinstance(value, dict):
            yield key, ", ".join(f"{name} {item}" for name, item in value.items())
        elif value is not None:
            yield key, f"{value:g}" if isinstance(value, float) else str(value)


def _did(entry: Entry) -> str:
    from trimtab.controller.queries import describe

    told = [action for action in entry.actions if action["type"] != "Alert"] or list(entry.actions)
    return ", ".join(describe(action) for action in told)
