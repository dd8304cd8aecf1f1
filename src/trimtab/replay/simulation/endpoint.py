"""One simulated endpoint: the production core and loop over fakes of every port, and what happens to it.

``step()`` lets one thing happen (time with traffic, a tick, a command, a fault, a crash) and then checks every
invariant. All chance comes from one seeded generator, so a seed tells the same story every time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.controller import commands
from trimtab.controller.converge import World
from trimtab.controller.loop import Loop, Tick
from trimtab.core.decide.status import Status, routes_of
from trimtab.core.domain.errors import ExternalError
from trimtab.core.domain.journal import Draft, Entry
from trimtab.core.domain.routes import Routes
from trimtab.core.domain.times import iso
from trimtab.core.domain.verdict import Severity, Verdict
from trimtab.core.rollout.analysis import analyse
from trimtab.replay.fakes import FakeClock, MemoryJobs, MemoryJournal, MemoryNotifier, MemoryRegistry
from trimtab.replay.simulation.chance import Chance, Wheel, seeded
from trimtab.replay.simulation.chaos import (
    Chaos,
    Died,
    Outbox,
    Silent,
    Strike,
    TroubledJobs,
    TroubledJournal,
    TroubledNotifier,
    TroubledRegistry,
    TroubledTarget,
)
from trimtab.replay.simulation.checks import Checker, Ledger, Violation
from trimtab.replay.simulation.happenings import Happenings
from trimtab.replay.simulation.people import People, SimulatedDesk
from trimtab.replay.simulation.projects import policy_of
from trimtab.replay.simulation.world import Fleet, Observer, Truth

BEGIN_S = 1_700_000_000.0
QUIET_TICKS = 22
"""After the faults stop, every controller ticks so often; then the world must be as the journal says. More than
``converge.ALIAS_LOOKS``: an alias that somebody moved is found again within that many.
"""
_STRIKES = 0.28
_EARLY, _LATE = 6, 26
"""Half-calls of a port before a strike: half of the strikes come while it is decided, half anywhere in the act."""
_OUTAGE_ENDS = 0.12
_FAULT_ENDS = 0.1
_EMERGENCIES = 0.3
_BEGUN = 0.85
_GROWN = 0.4
"""Shares of the stories that begin with a first version, and with a history of champions."""
_WHEEL = Wheel(
    {
        "tick": 34,
        "traffic": 30,
        "command": 9,
        "jobs": 9,
        "data": 7,
        "servers": 5,
        "outage": 3,
        "controllers": 4,
        "alias": 0.5,
        "clock": 1.5,
    }
)


@dataclass(frozen=True, slots=True)
class Build:
    """The parts of the production that a broken build replaces."""

    loop: type[Loop] = Loop
    journal: type[MemoryJournal] = MemoryJournal
    fleet: type[Fleet] = Fleet


PRODUCTION = Build()


class Endpoint:
    """The world, its controllers and people, and the checker."""

    def __init__(self, seed: int, build: Build = PRODUCTION, tell: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self.counts: Counter[str] = Counter()
        self._tell = tell
        self.chance = Chance(seeded(seed))
        self.policy = policy_of(self.chance)
        self.clock = FakeClock(BEGIN_S)
        self.truth = Truth(self.chance)
        self.chaos = Chaos(tell=None if tell is None else lambda text: self._say(f"  {text}"))
        self.ledger = Ledger()
        self._unloadable: set[int] = set()
        self._make_ports(build)
        self._build = build
        self._tick = 0
        self._acting = 0
        self._ticked: Tick | None = None
        self.controllers: list[Loop | None] = [self._controller()]
        plan = self.policy.plan
        self._say(
            f"seed {seed}: {self.policy.mode}, {plan.strategy}, steps {plan.steps}, {len(self.fleet.fleet)} servers"
        )
        self._events: dict[str, Callable[[], None]] = {
            "tick": self._tick_event,
            "traffic": self.happenings.pass_time,
            "command": self._command,
            "jobs": self.happenings.end_job,
            "data": self.happenings.stir_data,
            "servers": self.happenings.stir_servers,
            "outage": self._outage,
            "controllers": self._controllers,
            "alias": self.happenings.move_alias,
            "clock": self.happenings.set_clock,
        }

    def begin(self) -> None:
        """Most stories begin with a version, some with a history of champions.

        Raises:
            Violation: a rule was broken.
        """
        if not self.chance.happens(_BEGUN):
            return
        desk, versions = self.people.desk, 1 + (self.chance.below(4) if self.chance.happens(_GROWN) else 0)
        for version in range(1, versions + 1):
            record = self.happenings.register(f"manual-{version}", Verdict.SUCCESSFUL)
            commands.record(desk, record, deploy=version == 1, actor="ann")
            if version > 1:
                commands.deploy(desk, version, actor="ann")
                commands.promote(desk, actor="ann")
        self._say(f"ann: {versions} versions, one after the other")
        self._check()

    def _make_ports(self, build: Build) -> None:
        self.journal = build.journal()
        self.registry = MemoryRegistry(disk=False)
        self.fleet = build.fleet(1 + self.chance.below(3), self._unloadable)
        self.jobs = MemoryJobs()
        self.notifier = MemoryNotifier()
        self.happenings = Happenings(
            self.chance,
            self.clock,
            self.truth,
            self.chaos,
            self.fleet,
            self.jobs,
            self.registry,
            self._unloadable,
            self.counts,
            self._say,
        )
        self._note_effects()
        severity = self.chance.one_of((Severity.MINOR, Severity.MINOR, Severity.MODERATE))
        cooldown_s = self.policy.retrain.cooldown_s
        self.checker = Checker(
            self.journal, self.registry, self.jobs, self.notifier, self.ledger, cooldown_s, self.fleet.unfit
        )
        self._journal = TroubledJournal(self.journal, self.chaos)
        self._target = TroubledTarget(self.fleet, self.chaos)
        self._jobs_port = TroubledJobs(self.jobs, self.chaos)
        self.world = World(
            TroubledRegistry(self.registry, self.chaos),
            self._target,
            self._jobs_port,
            TroubledNotifier(self.notifier, self.chaos),
            Outbox(self.chaos),
            severity,
        )
        clock = self.happenings.machine()
        desk = SimulatedDesk("simulated", self.policy, self._journal, self._target, clock, Silent(), self.world)
        self.people = People(self.chance, desk, self.happenings.trained)

    def _note_effects(self) -> None:
        """The ledger sees the effects behind the ports, at the moment they happen."""
        apply, start, append = self.fleet.apply, self.jobs.start, self.journal.append

        def applied(routes: Routes) -> None:
            apply(routes)
            self.ledger.applied.append((routes, self.journal.head()))

        def started(job: str, spec: dict[str, Any]) -> None:
            if job not in self.jobs.specs:
                self.ledger.started.append((job, self.journal.head()))
            start(job, spec)

        def appended(expected: int, drafts: Sequence[Draft]) -> list[Entry]:
            added = append(expected, drafts)
            if added:
                self.ledger.ticks.append((self._acting, added[0].seq, added[-1].seq))
            return added

        self.fleet.apply = applied  # type: ignore[method-assign]
        self.jobs.start = started  # type: ignore[method-assign]
        self.journal.append = appended  # type: ignore[method-assign]

    def _controller(self) -> Loop:
        observer = Observer(self.truth, self._jobs_port, self._target, self.chaos)
        return self._build.loop(self.policy, self._journal, self.happenings.machine(), observer, self.world)

    def _say(self, text: str) -> None:
        if self._tell is not None:
            self._tell(f"{iso(self.clock.now())} {text}")

    # what may happen

    def step(self) -> None:
        """One thing happens, and everything is checked.

        Raises:
            Violation: a rule was broken.
        """
        if self.chaos.out and self.chance.happens(_OUTAGE_ENDS):
            self._outage()
        elif self.truth.broken and self.chance.happens(_FAULT_ENDS):
            self._say(self.truth.mend(self.clock.now()))
        else:
            self._events[_WHEEL.spin(self.chance)]()
        self._check()

    def _check(self) -> None:
        if self._tell is not None:
            for entry in self.journal.read(self.checker.status.seq):
                kinds = ", ".join(_brief(action) for action in entry.actions)
                why = entry.reasons[0]["text"] if entry.reasons else ""
                self._say(f"    decision {entry.seq} by {entry.actor}: {kinds}. {why}")
        self.checker.check()
        ticked, self._ticked = self._ticked, None
        if ticked is not None:
            self._audit(ticked)

    def _tick_event(self) -> None:
        place = self.chance.below(len(self.controllers))
        if self.controllers[place] is None:
            self._say(f"controller {place} starts")
            self.controllers[place] = self._controller()
        self._arm()
        self._run_tick(place)

    def _arm(self) -> None:
        """Something may strike during what comes now."""
        self.chaos.calm()
        if not self.chance.happens(_STRIKES):
            return
        drawn = self.chance.share()
        strike = Strike.DEATH if drawn < 0.35 else Strike.FAILURE if drawn < 0.6 else Strike.OTHER
        calls = _EARLY if self.chance.happens(0.5) else _LATE
        self.chaos.arm(strike, 1 + self.chance.below(calls), self._somebody_else)

    def _run_tick(self, place: int) -> None:
        loop = self.controllers[place]
        if loop is None:
            return
        self._tick += 1
        before, self._acting = self._acting, self._tick
        self.counts["ticks"] += 1
        try:
            tick = loop.tick()
        except Died:
            self.counts["crashes"] += 1
            self.controllers[place] = None
            self._say(f"controller {place} died")
        except ExternalError as error:
            self.counts["failures"] += 1
            self._say(f"controller {place}: {error}")
            self._routed(loop.status)
        else:
            self._after(place, tick)
            self._routed(loop.status)
        finally:
            self._acting = before
            self.chaos.disarm()

    def _routed(self, status: Status) -> None:
        """What was decided is in force after a tick or command that nobody disturbed, whatever else is away: an old
        version comes back though the registry is down, and nothing waits for a log that cannot be read.
        """
        if self.chaos.struck or not self.chaos.out.isdisjoint(("target", "journal")):
            return
        wanted, found = routes_of(status), self.fleet.routes()
        if wanted is None or found == wanted or not wanted.versions <= self.fleet.installed():
            return
        if found is None or found.generation < wanted.generation:
            away = ", ".join(sorted(self.chaos.out)) or "nothing"
            raise Violation(f"generation {wanted.generation} is decided and installed, not in force; {away} is away")

    def _after(self, place: int, tick: Tick) -> None:
        self.counts["conflicts"] += tick.conflict
        self.counts["problems"] += len(tick.problems)
        self._ticked = tick
        if self._tell is not None and (tick.entries or tick.problems or tick.conflict):
            conflict = "; somebody else was first" if tick.conflict else ""
            self._say(f"controller {place} ticks: {len(tick.entries)} decisions{conflict}; {'; '.join(tick.problems)}")

    def _audit(self, tick: Tick) -> None:
        """What was seen in a tick must bear out what was done in it, by the production's own analysis."""
        facts, status = tick.snapshot.rollout, tick.status
        watch = status.watch
        held = watch is not None and (watch.held or bool(tick.entries))  # people were told: nobody else can take over
        if watch is not None and watch.version in tick.snapshot.refused and not tick.conflict and not held:
            raise Violation(f"version {watch.version} is refused by a server and stays champion, though it is watched")
        if facts is None or tick.conflict:
            return
        for entry in tick.entries:
            moved = self.checker.moved.get(entry.seq)
            if moved is not None:
                taken_s = None if facts.step is None else facts.step.taken_s
                if taken_s is None or tick.now - taken_s < moved.plan.bake_s:
                    raise Violation(f"rollout {moved.id} leaves a step before its bake time since the servers took it")
                verdict = analyse(moved.plan, facts, moved.step_started_at, tick.now).verdict
                if verdict is not Verdict.SUCCESSFUL:
                    raise Violation(f"entry {entry.seq} moves rollout {moved.id} on, what was seen is {verdict}")
        rollout = status.rollout
        if rollout is not None and facts.looks:
            verdict = analyse(rollout.plan, facts, rollout.step_started_at, tick.now).verdict
            if verdict is Verdict.FAILED:
                raise Violation(f"rollout {rollout.id} goes on though what was seen shows harm")

    def _somebody_else(self) -> None:
        """Another controller or a person acts in the middle of somebody's act."""
        before, self._acting = self._acting, 0
        self.counts["interleaved"] += 1
        try:
            others = [place for place, loop in enumerate(self.controllers) if loop is not None]
            if len(others) > 1 and self.chance.happens(0.6):
                self._other_tick(self.chance.one_of(others))
            else:
                self._person()
        finally:
            self._acting = before

    def _other_tick(self, place: int) -> None:
        """A second process, so a second loop: one that is in the middle of a tick cannot begin another."""
        if self.controllers[place] is not None:
            kept = self.controllers[place]
            self.controllers[place] = self._controller()
            self._run_tick(place)
            self.controllers[place] = kept

    def _command(self) -> None:
        self._arm()
        before, self._acting = self._acting, 0
        try:
            self._person()
        except Died:
            self.counts["crashes"] += 1
            self._say("the command's process died")
        finally:
            self._acting = before
            self.chaos.disarm()

    def _person(self) -> None:
        words, after = self.people.act(self.checker.status)
        self.counts["refusals" if after is None else "commands"] += 1
        self._say(words)
        if after is not None:
            self._routed(after)

    def _outage(self) -> None:
        if self.happenings.toggle_outage() and self.chance.happens(_EMERGENCIES):
            self._say(self._emergency())

    def _emergency(self) -> str:
        """Troubles come together: somebody rolls back while a port is away."""
        self.chaos.calm()
        words, after = self.people.roll_back(self.checker.status)
        self.counts["refusals" if after is None else "commands"] += 1
        if after is not None:
            self._routed(after)
        return words

    def _controllers(self) -> None:
        """A deployment of the controller itself: for a while there are two; or one is killed between its ticks."""
        if len(self.controllers) == 1:
            self.controllers.append(self._controller())
            self._say("a second controller starts")
        elif self.chance.happens(0.5):
            self.controllers.pop(self.chance.below(2))
            self._say("one controller is stopped")
        else:
            self.controllers[self.chance.below(2)] = None
            self.counts["crashes"] += 1
            self._say("a controller is killed between two ticks")

    # the end

    def settle(self) -> None:
        """The faults stop; after some quiet ticks the world must be as the journal says, and stay so.

        Raises:
            Violation: it is not.
        """
        self.chaos.out.clear()
        self.happenings.set_clocks_right()
        self._say("the faults stop")
        self.controllers = [loop or self._controller() for loop in self.controllers]
        head = 0
        for round_ in range(QUIET_TICKS):
            if round_ == QUIET_TICKS - 2:
                head = self.journal.head()
            self.clock.advance(1.0)
            for server in self.fleet.fleet:
                server.up = True
                self.fleet.follow(server)
            for place in range(len(self.controllers)):
                self._run_tick(place)
            self._check()
        if self.journal.head() != head:
            raise Violation(f"liveness: decisions {head + 1} and on were still made in a quiet world")
        self.checker.end(self.fleet.routes(), self.world.severity_min)


def _brief(action: dict[str, Any]) -> str:
    skip = ("type", "plan", "record", "text", "body", "actions", "quarantines")
    shown = " ".join(f"{key}={value}" for key, value in action.items() if key not in skip and value is not None)
    return f"{action['type']}({shown})"
