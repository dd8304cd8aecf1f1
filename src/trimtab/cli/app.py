"""The parser, built from the table of commands. Functions are imported when their command is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.cli.commands import COMMANDS
from trimtab.core.domain.errors import UserError

if TYPE_CHECKING:
    from cyclopts import App


def build() -> App:
    """All commands; none of their modules is imported."""
    from cyclopts import App, Parameter

    app = App(
        name="trimtab",
        help_format="plaintext",
        help_formatter="plain",
        version_flags=(),
        result_action="return_value",
        default_parameter=Parameter(negative=(), show_default=False),
    )
    for command in COMMANDS:
        app.command(command.function, name=command.name, group=command.group)
    return app


def parse(words: list[str]) -> int:
    """Carries the command line out; the command's exit code.

    Raises:
        UserError: a word that cannot be understood, with the nearest that can.
    """
    from cyclopts import CycloptsError

    names = [command.name for command in COMMANDS]
    if words[0] not in names:
        raise UserError(f"there is no command '{words[0]}'{_near(words[0], names)}; 'trimtab --help' lists them")
    try:
        code = build()(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        text = " ".join(str(error).split()).rstrip(".")
        raise UserError(f"{text}; see 'trimtab {words[0]} --help'") from None
    return code if isinstance(code, int) else 0


def _near(word: str, names: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(word, names, n=1)
    return f", did you mean '{near[0]}'?" if near else ""
