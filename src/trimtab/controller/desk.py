"""What queries and commands work on: the ports of one project. ``trimtab.wiring.Workspace`` is one; a test's fakes
are another.
"""

from __future__ import annotations

from typing import Any, Protocol

from trimtab.controller.converge import World
from trimtab.core.decide.policy import Policy
from trimtab.ports import Clock, Journal, Target


class View(Protocol):
    """What the running controller saw at its last tick; kept beside the journal, may be missing or old."""

    def save(self, seen: dict[str, Any]) -> None: ...

    def load(self) -> dict[str, Any] | None: ...


class Desk(Protocol):
    """The ports of one endpoint."""

    @property
    def name(self) -> str:
        """The endpoint's name."""
        ...

    @property
    def policy(self) -> Policy: ...

    @property
    def journal(self) -> Journal: ...

    @property
    def target(self) -> Target: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def view(self) -> View: ...

    @property
    def world(self) -> World: ...
