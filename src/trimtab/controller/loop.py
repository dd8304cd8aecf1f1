"""The one loop: observe, decide, journal, act."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

from trimtab.controller.codec import catch_up, draft
from trimtab.controller.converge import Converged, Memory, World, converge
from trimtab.controller.preflight import preflight
from trimtab.controller.standing import standing
from trimtab.core.decide.actions import RollBack
from trimtab.core.decide.decide import Decision, decide
from trimtab.core.decide.moves import Move
from trimtab.core.decide.policy import Policy
from trimtab.core.decide.records import watch_records
from trimtab.core.decide.snapshot import Snapshot
from trimtab.core.decide.status import Status
from trimtab.core.domain.errors import ConflictError, ExternalError
from trimtab.core.domain.journal import Entry
from trimtab.core.domain.proof import Proof
from trimtab.ports import Clock, Journal

ACTOR = "controller"
UNFIT_S = 60.0
"""A version that did not pass its preflight is tried again after this long."""


class Observing(Protocol):
    """Where facts come from: the log (trimtab.controller.observe), or a simulated world."""

    def ingest(self, status: Status) -> None:
        """Take in what was not read yet."""
        ...

    def snapshot(self, status: Status) -> Snapshot:
        """The facts of this tick."""
        ...


@dataclass(frozen=True, slots=True)
class Tick:
    """What one tick saw and did."""

    now: float
    status: Status
    snapshot: Snapshot
    entries: tuple[Entry, ...] = ()
    """Decisions that were journalled in this tick."""
    problems: tuple[str, ...] = field(default_factory=tuple)
    """Effects that failed and will be tried again."""
    conflict: bool = False
    """Somebody else journalled first; nothing was decided."""


class Loop:
    """Ticks. Holds no truth of its own: what it remembers is the journal's fold and sums over the log, and both can
    be made anew.
    """

    def __init__(self, policy: Policy, journal: Journal, clock: Clock, observer: Observing, world: World) -> None:
        self.policy = policy
        self._journal = journal
        self._clock = clock
        self._observer = observer
        self._world = world
        self._status = Status()
        self._entries: list[Entry] = []
        self._memory = Memory()
        self._unfit: dict[int, tuple[float, Proof]] = {}

    @property
    def status(self) -> Status:
        """The fold of the journal as of the last tick."""
        return self._status

    def catch_up(self) -> Status:
        """Read what was journalled since the last time, by anyone."""
        if self._status.seq == 0:
            self._status, entries = standing(self._journal, self._world.shelf, self._world.outbox.delivered())
        else:
            entries = self._journal.read(self._status.seq)
            self._status = catch_up(self._status, entries)
        self._entries.extend(entries)
        return self._status

    def tick(self) -> Tick:
        """Look once, decide, write it down, and only then act.

        Raises:
            ExternalError: the journal or what is observed failed. What was decided before is carried out all the same:
                a rollback does not wait for a log that cannot be read.
        """
        status = self.catch_up()
        try:
            self._observer.ingest(status)
            now = self._clock.now()
            snapshot = self._observer.snapshot(status)
        except ExternalError:
            self._watch_records(status)
            self._converge()
            raise
        decision, snapshot = self._decide(status, snapshot, now)
        try:
            entries = self._append(status.seq, decision.moves, now)
        except ConflictError:
            return Tick(now, status, snapshot, conflict=True)
        self._status = catch_up(status, entries)
        self._entries.extend(entries)
        done = self._converge()
        return Tick(now, self._status, snapshot, tuple(entries), tuple(done.problems))

    def _decide(self, status: Status, snapshot: Snapshot, now: float) -> tuple[Decision, Snapshot]:
        """Decide; a version that would take traffic back is tried first, and what was found is decided upon again."""
        self._unfit = {version: (until, proof) for version, (until, proof) in self._unfit.items() if now < until}
        snapshot = replace(snapshot, proofs={version: proof for version, (_, proof) in self._unfit.items()})
        while True:
            decision = decide(self.policy, status, snapshot, now)
            targets = (action.version for action in decision.actions if isinstance(action, RollBack))
            untried = next((version for version in targets if version not in snapshot.proofs), None)
            if untried is None:
                return decision, snapshot
            proof = preflight(untried, self._world)
            snapshot = replace(snapshot, proofs={**snapshot.proofs, untried: proof})
            if not proof.fits:
                self._unfit[untried] = (now + UNFIT_S, proof)

    def _watch_records(self, status: Status) -> None:
        """The log cannot be read: that servers cannot write it either is told all the same. Nothing else is decided."""
        try:
            ready = [server for server in self._world.target.servers() if server.ready]
        except ExternalError:  # what failed first is what is raised
            return
        unrecorded = {server.url: server.unrecorded for server in ready if server.unrecorded}
        if not unrecorded:
            return
        now = self._clock.now()
        move = watch_records(self.policy, status, Snapshot(servers=len(ready), unrecorded=unrecorded), now)
        if move is None:
            return
        try:
            entries = self._append(status.seq, (move,), now)
        except ConflictError:  # somebody else journalled first: look again
            return
        self._status = catch_up(status, entries)
        self._entries.extend(entries)

    def _converge(self) -> Converged:
        done = converge(self.policy, self._status, self._entries, self._world, self._memory)
        self._forget()
        return done

    def _append(self, expected: int, moves: tuple[Move, ...], now: float) -> list[Entry]:
        if not moves:
            return []
        return self._journal.append(expected, [draft(move, now, ACTOR) for move in moves])

    def _forget(self) -> None:
        """Entries whose messages were delivered are not needed any more."""
        delivered = self._world.outbox.delivered()
        self._entries = [entry for entry in self._entries if entry.seq > delivered]
