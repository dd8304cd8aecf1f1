"""What a run was made from besides data: the code with its uncommitted changes, and the exact environment."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib import metadata
from typing import Protocol


class Git(Protocol):
    """The user's working tree (``adapters.git``)."""

    def is_repository(self) -> bool: ...
    def commit(self) -> str | None: ...
    def is_dirty(self) -> bool: ...
    def diff(self) -> str: ...


@dataclass(frozen=True, slots=True)
class CodeState:
    """The user's code as it was when the run began."""

    commit: str | None = None
    """None outside of a git repository and before the first commit."""
    dirty: bool = False
    diff: str = ""
    """What differs from the commit."""


def code_state(git: Git | None) -> CodeState:
    """Ask git once; without git or a repository nothing is known.

    Raises:
        ExternalError: there is a repository and git cannot read it.
    """
    if git is None or not git.is_repository():
        return CodeState()
    dirty = git.is_dirty()
    return CodeState(git.commit(), dirty, git.diff() if dirty else "")


def environment() -> str:
    """Exact versions of every installed distribution, in the form of a requirements file, one a line."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        told = distribution.metadata  # parsed anew at each access
        name, version = told["Name"], told["Version"]
        if name:
            found.setdefault(name.lower().replace("_", "-"), f"{name}=={version}")
    lines = [f"# Python {platform.python_version()}", *(found[name] for name in sorted(found))]
    return "\n".join(lines) + "\n"
