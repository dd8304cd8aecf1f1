"""Writes docs/cli.md from the commands' own --help: ``python -m trimtab.cli.reference``."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from trimtab.cli.app import build
from trimtab.cli.commands import COMMANDS, overview

PAGE = "cli.md"
WIDTH = 100


def markdown() -> str:
    """The page: the overview, then every command."""
    parts = [
        "# The command line",
        "This page is generated from the commands' own help: `python -m trimtab.cli.reference`.",
        _block("trimtab --help", overview()),
    ]
    for command in COMMANDS:
        parts += [f"## trimtab {command.name}", _block(f"trimtab {command.name} --help", help_of(command.name))]
    return "\n\n".join(parts) + "\n"


def help_of(name: str) -> str:
    """What ``trimtab NAME --help`` prints on a terminal of ``WIDTH`` columns."""
    from rich.console import Console

    out = io.StringIO()
    build().help_print([name], console=Console(file=out, width=WIDTH, no_color=True))
    return out.getvalue()


def _block(command: str, text: str) -> str:
    body = "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
    return f"```console\n$ {command}\n{body}\n```"


if __name__ == "__main__":
    (Path(sys.argv[1] if len(sys.argv) > 1 else "docs") / PAGE).write_text(markdown(), encoding="utf-8")
