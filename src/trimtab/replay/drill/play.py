"""One scenario, played: rows come in, the production loop looks, and people do what they are asked to.

The clock is the time of the data. The loop is looked at once a block (a little after its end, when the first rows of
the next are there), and four times as often while a version is on its way. People answer every question with yes, and
mend a broken pipeline ``mend_s`` after they were told of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from trimtab.controller import commands
from trimtab.controller.converge import World
from trimtab.controller.loop import Loop
from trimtab.controller.observe import Champion, Observer, Settings
from trimtab.core.decide.policy import Policy
from trimtab.core.domain.errors import InvariantError, TrimtabError
from trimtab.core.domain.journal import Entry
from trimtab.ports import Clock, Jobs, Journal, Target
from trimtab.replay.drill.fleet import Fleet
from trimtab.replay.drill.ground import Ground
from trimtab.replay.drill.models import Skew, Trained, Workshop, WorkshopJobs
from trimtab.replay.drill.tape import Scene, Tape
from trimtab.replay.fakes import FakeClock, MemoryJournal, MemoryNotifier, MemoryTarget

LATE = 1 / 24
"""Of a block: how long after its end the loop looks, so that rows of the next have shown that it is over."""
BUSY_LOOKS = 4
"""Looks in a block while a version is on its way."""
TICKS_MAX = 40
"""At one look: one change of traffic each, far more than there can be."""
PERSON = "drill"


@dataclass(slots=True)
class Outbox:
    """Up to which decision people were told."""

    seq: int = 0

    def delivered(self) -> int:
        return self.seq

    def deliver(self, seq: int) -> None:
        self.seq = seq


@dataclass(slots=True)
class NoView:
    """Nobody looks at what the controller saw last."""

    def save(self, seen: dict[str, Any]) -> None:
        """It is not kept."""

    def load(self) -> dict[str, Any] | None:
        return None


@dataclass(slots=True, eq=False)
class DrillDesk:
    """The ports of one endpoint, in memory."""

    name: str
    policy: Policy
    clock: Clock
    journal: Journal
    target: Target
    world: World
    view: NoView = field(default_factory=NoView)


@dataclass(frozen=True, slots=True)
class Release:
    """A version that a colleague releases at the onset, and what it meets where it is served."""

    skew: Skew
    failing: float


@dataclass(slots=True, eq=False)
class Play:
    """A scene in play, and what came of it."""

    ground: Ground
    scene: Scene
    policy: Policy
    settings: Settings
    onset_s: float
    mend_s: float
    """From being told of a fault until it is mended."""
    mendable: bool
    fleet: Fleet
    workshop: Workshop
    desk: DrillDesk
    loop: Loop
    clock: FakeClock
    told_at: float | None = None
    """When people first heard of a fault of data or labels since the onset."""
    mended_at: float | None = None
    released: int | None = None
    """The version of the colleague."""
    problems: list[str] = field(default_factory=list)

    @property
    def entries(self) -> list[Entry]:
        return self.desk.journal.read()

    def run(self, release: Release | None) -> None:
        """Play to the end."""
        tape, now = self.scene.broken, float(self.scene.broken.at[0])
        end = float(max(self.scene.broken.at[-1], self.scene.clean.at[-1])) + 1.0
        self._look(now)
        while now < end:
            until = min(self._next(now), end)
            if release is not None and self.released is None and until >= self.onset_s:
                until = max(now, self.onset_s)
            now = self._play(tape, now, until)
            if release is not None and self.released is None and now >= self.onset_s:
                self._release(release)
            self._look(now)
            if self.mended_at is None and self.mendable and self._due(now):
                self.mended_at, tape = now, self.scene.clean

    def _play(self, tape: Tape, now: float, until: float) -> float:
        routes = self.desk.target.routes()
        if routes is None:
            raise InvariantError("nothing is deployed")
        self.fleet.serve(tape, *tape.between(now, until), routes)
        self.fleet.label(until)
        return until

    def _next(self, now: float) -> float:
        """The next look, or the moment at which a mended pipeline delivers again."""
        status, block_s = self.loop.status, self.ground.block_s
        busy = status.rollout is not None or status.waiting is not None
        if busy:
            return now + max(block_s / BUSY_LOOKS, 1.0)
        late = LATE * block_s
        return float((np.floor((now - late) / block_s + 1e-9) + 1) * block_s + late)

    def _due(self, now: float) -> bool:
        return self.told_at is not None and now >= self.told_at + self.mend_s

    def _look(self, now: float) -> None:
        """Tick until nothing is left to decide."""
        self.clock.advance(now - self.clock.now())
        for _ in range(TICKS_MAX):
            tick = self.loop.tick()
            self.problems += tick.problems
            self._hear(tick.entries, now)
            if not tick.entries and not self._answer():
                return
        raise InvariantError(f"the loop did not come to rest within {TICKS_MAX} ticks")

    def _hear(self, entries: tuple[Entry, ...], now: float) -> None:
        for entry in entries:
            for action in entry.actions:
                fault = action["type"] == "OpenIncident" and action["remedy"] in ("fix-data", "fix-labels")
                if fault and now >= self.onset_s and self.told_at is None:
                    self.told_at = now

    def _answer(self) -> bool:
        """People say yes to whatever is asked; whether anything was."""
        asked = list(self.loop.catch_up().approvals)
        for question in asked:
            commands.approve(self.desk, question, actor=PERSON, reason="the drill says yes to everything")
        return bool(asked)

    def _release(self, release: Release) -> None:
        """A colleague trains on all that is known and releases."""
        spec = {"job": "release", "trigger": "manual", "now": self.clock.now(), "champion": 1, "actor": "a colleague"}
        result = self.workshop.run(spec, answered_rows(self.scene, self.fleet))
        if result["record"] is None:
            raise TrimtabError(f"the release could not be trained: {result['error']}")
        self.released = int(result["record"]["version"])
        made = self.workshop.versions[self.released]
        made.skew, made.failing = release.skew, release.failing
        commands.record(self.desk, made.record, deploy=True, actor="a colleague")
        if not made.record.deployable:
            commands.override(self.desk, self.released, actor="a colleague", reason="the drill releases it")
            commands.deploy(self.desk, self.released, actor="a colleague", reason="the drill releases it")


def answered_rows(scene: Scene, fleet: Fleet) -> list[tuple[Tape, slice]]:
    """What can be learnt from: the reference, and all that was answered."""
    return [(scene.reference, slice(None)), *((tape, rows) for tape, rows, _ in fleet.answered)]


def begin(
    ground: Ground,
    scene: Scene,
    policy: Policy,
    settings: Settings,
    mend_s: float,
    *,
    mendable: bool,
    ready: Trained | None,
) -> Play:
    """The ports of a scenario with its first version deployed by the production command."""
    workshop = Workshop(ground)
    fleet = Fleet(ground, workshop)
    clock, journal, target = FakeClock(float(scene.broken.at[0])), MemoryJournal(), MemoryTarget()
    jobs: Jobs = WorkshopJobs(workshop, lambda: answered_rows(scene, fleet))
    world = World(workshop.registry, target, jobs, MemoryNotifier(), Outbox(), reader=fleet.reader)
    desk = DrillDesk(ground.project.name, policy, clock, journal, target, world)
    first = workshop.first(scene.reference, ready)
    commands.record(desk, first.record, deploy=True, actor=PERSON)
    if not first.record.deployable:
        commands.override(desk, first.record.version, actor=PERSON, reason="a drill needs a first version")
        commands.deploy(desk, first.record.version, actor=PERSON, reason="a drill needs a first version")
    observer = Observer(
        fleet.reader,
        jobs,
        target,
        lambda version: Champion(version, workshop.versions[version].baseline),
        replace(settings, event_clock=True, from_profiles=False),
    )
    loop = Loop(policy, journal, clock, observer, world)
    onset_s = ground.onset_s
    return Play(ground, scene, policy, settings, onset_s, mend_s, mendable, fleet, workshop, desk, loop, clock)
