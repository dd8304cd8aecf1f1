"""The only reader of the environment."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from trimtab.core.domain.errors import ConfigError, Problem

if TYPE_CHECKING:
    from trimtab.project.settings import Project

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
    urls: list[str] = []
    problems: list[Problem] = []
    for i, text in enumerate(project.notification.urls):
        url, missing = expand(text, variables)
        urls.append(url)
        problems += [
            Problem(file, None, f"notification.urls[{i}]", f"the environment has no {name}", f"export {name}=...")
            for name in missing
        ]
    if problems:
        raise ConfigError(problems)
    return tuple(urls)


def user() -> str:
    """Name of the person at the keyboard, for the journal."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no name for this user id: a container
        return f"uid {os.getuid()}"
