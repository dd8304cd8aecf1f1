"""The only reader of the environment."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.core.domain.errors import ConfigError, Problem

if TYPE_CHECKING:
    from trimtab.project.settings import Project

CONSOLE_TOKEN = "TRIMTAB_CONSOLE_TOKEN"  # noqa: S105  the variable's name
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def environment() -> Mapping[str, str]:
    """The variables of this process."""
    return os.environ  # noqa: TID251  this is the one place


def expand(text: str, variables: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """The text with each ``${NAME}`` replaced, and the names that are not set (or empty)."""
    missing = tuple(name for name in _VARIABLE.findall(text) if not variables.get(name))
    return _VARIABLE.sub(lambda match: variables.get(match[1], ""), text), missing


def notification_urls(project: Project, variables: Mapping[str, str], file: str = "trimtab.yaml") -> tuple[str, ...]:
    """The URLs of ``notification.urls`` with their secrets in place.

    Done when messages are about to be sent, never when the file is read: the record of a project holds no secrets.

    Raises:
        ConfigError: a variable is not set; each is named.
    """
    named = {f"notification.urls[{i}]": text for i, text in enumerate(project.notification.urls)}
    return tuple(_expanded(named, variables, file))


def journal_url(project: Project, variables: Mapping[str, str], file: str = "trimtab.yaml") -> str | None:
    """``journal.url`` with its secrets in place; None where the journal is the project's own file.

    Raises:
        ConfigError: a variable is not set; each is named.
    """
    text = project.journal.url
    return None if text is None else _expanded({"journal.url": text}, variables, file)[0]


def console_token(project: Project, root: Path, variables: Mapping[str, str], file: str = "trimtab.yaml") -> str | None:
    """The token of the control API: TRIMTAB_CONSOLE_TOKEN, else the content of ``console.token_file``, else None.

    Raises:
        ConfigError: the file cannot be read, or is empty.
    """
    given = variables.get(CONSOLE_TOKEN, "").strip()
    if given or project.console.token_file is None:
        return given or None
    path = root / project.console.token_file
    try:
        text = path.read_text(encoding="utf-8").strip()
        found = "it is empty" if not text else ""
    except (OSError, UnicodeDecodeError) as error:
        text, found = "", f"it cannot be read: {getattr(error, 'strerror', None) or error}"
    if found:
        hint = f"openssl rand -hex 32 > {project.console.token_file}"
        raise ConfigError([Problem(file, None, "console.token_file", f"{path}: {found}", hint)])
    return text


def _expanded(named: Mapping[str, str], variables: Mapping[str, str], file: str) -> list[str]:
    out: list[str] = []
    problems: list[Problem] = []
    for path, text in named.items():
        value, missing = expand(text, variables)
        out.append(value)
        problems += [
            Problem(file, None, path, f"the environment has no {name}", f"export {name}=...") for name in missing
        ]
    if problems:
        raise ConfigError(problems)
    return out


def user() -> str:
    """Name of the person at the keyboard, for the journal."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no name for this user id: a container
        return f"uid {os.getuid()}"
