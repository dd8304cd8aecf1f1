"""Options that many commands share, and the person who gives a command."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from trimtab.wiring import Workspace


By = Annotated[str | None, Parameter(help="Who does it. Default: your name in git, or of your account.")]
Json = Annotated[bool, Parameter(help="Print JSON instead of words.")]
Start = Annotated[Path, Parameter(alias="-p", help="Directory of the project, or its trimtab.yaml.")]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Common:
    """Of every command that works in a project."""

    json: Json = False
    project: Start = Path()


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Person:
    """Who does it, and why: kept in the journal."""

    reason: Annotated[str, Parameter(alias="-r", help="Why, for the journal.")] = ""
    by: By = None

    @property
    def name(self) -> str:
        """The name for the journal."""
        return actor(self.by)


COMMON = Common()
PERSON = Person()


def actor(by: str | None) -> str:
    """The name for the journal: as given, or git's, or the account's."""
    from trimtab.project.environment import user

    return (by or "").strip() or git_user() or user()


def git_user() -> str:
    """``user.name`` of git; empty where there is none."""
    try:
        done = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):  # no git here: the account's name will do
        return ""
    return done.stdout.strip()


def workspace(common: Common) -> Workspace:
    """The project that the command is about.

    Raises:
        NotFoundError: there is no trimtab.yaml.
        ConfigError: everything that is wrong in it.
    """
    from trimtab.wiring import open_workspace

    return open_workspace(common.project)
