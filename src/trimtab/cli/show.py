"""How things look on a terminal: one console, colours of verdicts, ages in words, JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from trimtab.core.domain.times import duration_text, iso

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

COLOURS = {
    "successful": "green",
    "failed": "bold red",
    "inconclusive": "yellow",
    "error": "magenta",
    "champion": "bold green",
    "challenger": "cyan",
    "waiting": "cyan",
    "rejected": "red",
    "barred": "red",
    "severe": "bold red",
    "moderate": "yellow",
    "minor": "dim",
}

WIDTH = 120
"""Of output that goes into a file or a pipe."""


def console() -> Console:
    """The console of standard output: plain text when it is no terminal."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else WIDTH
    return Console(width=width, highlight=False, emoji=False, markup=False, soft_wrap=False)


def show(*parts: RenderableType) -> None:
    """Prints the parts one below the other; without the blanks at line ends when it is no terminal."""
    target = console()
    if sys.stdout.isatty():
        for part in parts:
            target.print(part)
        return
    with target.capture() as captured:
        for part in parts:
            target.print(part)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def show_json(value: Any) -> None:
    """Prints a value of ours (dataclasses, enums, tuples) as JSON, the same every time."""
    import json

    from trimtab.controller.plain import plain

    sys.stdout.write(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def grid(rows: Iterable[tuple[str, RenderableType]]) -> Table:
    """Two columns: what, and what it is."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(name, style="bold"), value)
    return table


def columns(heads: Iterable[str], rows: Iterable[Iterable[RenderableType]], right: Iterable[int] = ()) -> Table:
    """A table without borders; ``right`` are the columns of figures."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    figures = set(right)
    for i, head in enumerate(heads):
        table.add_column(head, justify="right" if i in figures else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def coloured(word: str, text: str | None = None) -> RenderableType:
    """A word in the colour of its meaning."""
    from rich.text import Text

    return Text(word if text is None else text, style=COLOURS.get(word, ""))


def ago(then: float, now: float) -> str:
    """``3h12m ago``; the date where the clock says otherwise."""
    return f"{duration_text(now - then)} ago" if now >= then else iso(then)


def short(at: float) -> str:
    """``2013-03-10 05:00``, UTC."""
    return iso(at).replace("T", " ")[:16]
