"""A desk to read from: its journal is read from the database once, and then only what is new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from trimtab.controller.converge import World
from trimtab.controller.desk import Desk, View
from trimtab.core.decide.policy import Policy
from trimtab.core.domain.errors import RefusedError
from trimtab.core.domain.journal import Draft, Entry
from trimtab.ports import Clock, Journal, Target


@dataclass(slots=True)
class KnownJournal:
    """A journal whose entries are kept once read: they never change. Not for several threads at once."""

    inner: Journal
    _known: list[Entry] = field(default_factory=list)

    def head(self) -> int:
        """Sequence number of the newest entry; 0 when empty."""
        return self.inner.head()

    def read(self, after: int = 0) -> list[Entry]:
        """Entries with ``seq > after``, in order."""
        self._known.extend(self.inner.read(self._known[-1].seq if self._known else 0))
        return [entry for entry in self._known if entry.seq > after] if after else list(self._known)

    def append(self, expected: int, drafts: Sequence[Draft]) -> list[Entry]:
        """Refused: the control API only reads."""
        raise RefusedError(f"the control API only reads ({len(drafts)} drafts after entry {expected} refused)")

    def verify(self) -> int | None:
        """As the journal itself says: from the database, not from what is kept here."""
        return self.inner.verify()


class ReadingDesk:
    """The ports of a project for queries."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._journal: KnownJournal | None = None

    @property
    def name(self) -> str:
        return self._desk.name

    @property
    def policy(self) -> Policy:
        return self._desk.policy

    @property
    def journal(self) -> Journal:
        if self._journal is None:
            self._journal = KnownJournal(self._desk.journal)
        return self._journal

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
