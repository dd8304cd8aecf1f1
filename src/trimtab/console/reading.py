"""A desk to read from: the control API decides nothing."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.controller.converge import World
from trimtab.controller.desk import Desk, View
from trimtab.core.decide.policy import Policy
from trimtab.core.domain.errors import RefusedError
from trimtab.core.domain.journal import Draft, Entry, Query
from trimtab.ports import Clock, Journal, Skimmed, Target


class ReadJournal:
    """A journal that only reads."""

    def __init__(self, inner: Journal) -> None:
        self._inner = inner

    def head(self) -> int:
        return self._inner.head()

    def read(self, after: int = 0, limit: int | None = None) -> list[Entry]:
        return self._inner.read(after, limit)

    def find(self, query: Query) -> list[Entry]:
        return self._inner.find(query)

    def skim(self, after: int = 0) -> Sequence[Skimmed]:
        return self._inner.skim(after)

    def append(self, expected: int, drafts: Sequence[Draft]) -> list[Entry]:
        """Refused: the control API only reads."""
        raise RefusedError(f"the control API only reads ({len(drafts)} drafts after entry {expected} refused)")

    def verify(self) -> int | None:
        return self._inner.verify()


class ReadingDesk:
    """The ports of a project for queries."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @property
    def name(self) -> str:
        return self._desk.name

    @property
    def policy(self) -> Policy:
        return self._desk.policy

    @property
    def journal(self) -> Journal:
        return ReadJournal(self._desk.journal)

    @property
    def target(self) -> Target:
        return self._desk.target

    @property
    def clock(self) -> Clock:
        return self._desk.clock

    @property
    def view(self) -> View:
        return self._desk.view

    @property
    def world(self) -> World:
        return self._desk.world
