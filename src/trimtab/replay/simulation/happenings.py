"""What happens around an endpoint whoever acts in it: time and traffic, training jobs, faults of the data, servers,
outages, clocks that are set, and somebody who moves an alias by hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from trimtab.core.domain.gate import GateResult, VersionRecord
from trimtab.core.domain.times import DAY_S, HOUR_S, MINUTE_S, duration_text
from trimtab.core.domain.verdict import Verdict
from trimtab.ports import RunLog
from trimtab.replay.fakes import FakeClock, MemoryJobs, MemoryRegistry
from trimtab.replay.simulation.chance import Chance
from trimtab.replay.simulation.chaos import Chaos
from trimtab.replay.simulation.world import Fleet, Truth

_FOLLOWS = 0.7
_PORTS = ("registry", "registry", "registry", "target", "jobs", "notifier", "journal", "outbox", "log")
_PASSES = (1.0, MINUTE_S, 10 * MINUTE_S, HOUR_S, HOUR_S, 3 * HOUR_S, 8 * HOUR_S, DAY_S)
_LEVELS = ("good", "good", "good", "same", "same", "same", "bad", "broken")
_NEW_SCHEMA = 0.12
_SKEWS = (0.0, 0.0, 0.0, 2.0, -2.0, 90.0, -90.0)
"""Seconds by which the clocks of machines differ."""
_JUMPS = (MINUTE_S, -MINUTE_S, HOUR_S, -HOUR_S, 3 * DAY_S, -3 * DAY_S, 30 * DAY_S)


class MachineClock:
    """The ``Clock`` of one machine: the true time and what it is off by."""

    def __init__(self, true: FakeClock, off_s: float) -> None:
        self._true = true
        self.off_s = off_s

    def now(self) -> float:
        return self._true.now() + self.off_s


@dataclass(slots=True)
class Happenings:
    """The events that no controller and no person causes. Each tells itself through ``say``."""

    chance: Chance
    clock: FakeClock
    truth: Truth
    chaos: Chaos
    fleet: Fleet
    jobs: MemoryJobs
    registry: MemoryRegistry
    unloadable: set[int]
    counts: Counter[str]
    say: Callable[[str], None]
    clocks: list[MachineClock] = field(default_factory=list)

    def machine(self) -> MachineClock:
        """The clock of one more machine."""
        clock = MachineClock(self.clock, self.chance.one_of(_SKEWS))
        self.clocks.append(clock)
        return clock

    def set_clock(self) -> None:
        """Somebody sets a machine's clock wrong, or it is put right again."""
        clock = self.chance.one_of(self.clocks)
        if abs(clock.off_s) > MINUTE_S:
            self.set_clocks_right()
            return
        clock.off_s = self.chance.one_of(_JUMPS)
        self.counts["jumps"] += 1
        ahead = "ahead" if clock.off_s > 0 else "behind"
        self.say(f"the clock of a machine is {duration_text(abs(clock.off_s))} {ahead}")

    def set_clocks_right(self) -> None:
        """All machines agree about the time."""
        for clock in self.clocks:
            clock.off_s = 0.0
        self.say("all clocks are right")

    def pass_time(self) -> None:
        passed = self.chance.one_of(_PASSES)
        self.clock.advance(passed)
        routes = self.fleet.routes()
        busy = routes is not None and self.chance.happens(0.85)
        if routes is not None and busy:
            for server in self.fleet.fleet:
                if self.chance.happens(_FOLLOWS):
                    self.fleet.follow(server)
            self.truth.traffic(routes, self.clock.now())
        self.say(f"{duration_text(passed)} pass {'with' if busy else 'without'} traffic")

    def trained(self) -> VersionRecord:
        """A person trained a version by hand."""
        return self.register(f"by-hand-{len(self.registry.runs)}", self.gates())

    def gates(self) -> Verdict:
        drawn = self.chance.share()
        return Verdict.SUCCESSFUL if drawn < 0.8 else Verdict.FAILED if drawn < 0.93 else Verdict.INCONCLUSIVE

    def register(self, job: str, verdict: Verdict) -> VersionRecord:
        gate = GateResult("performance", verdict, "log loss 0.50 against 0.51")
        run = RunLog(job, self.clock.now(), {}, {}, {"job": job}, (), Path(job), verdict, (gate,))
        record = self.registry.register(run)
        self.truth.levels[record.version] = self.chance.one_of(_LEVELS)
        self.truth.created[record.version] = self.clock.now()
        if self.chance.happens(0.1):
            self.unloadable.add(record.version)
        if self.chance.happens(0.1):
            self.fleet.unfit[record.version] = "its recorded answers are others now"
        return record

    def end_job(self) -> None:
        """A training job ends: well, rejected, failed or lost; or it takes longer."""
        running = self.jobs.running()
        if not running or self.chance.happens(0.3):
            return
        job = running[0]
        drawn = self.chance.share()
        if drawn < 0.12:
            self.jobs.lose(job)
            self.say(f"job {job} is lost")
            return
        if drawn < 0.3:
            self.jobs.finish(job, {"outcome": "failed", "record": None, "error": "no labelled rows"})
            self.say(f"job {job} failed")
            return
        verdict = self.gates()
        record = self.register(job, verdict)
        outcome = "registered" if verdict is Verdict.SUCCESSFUL else "rejected"
        self.jobs.finish(job, {"outcome": outcome, "record": asdict(record), "error": ""})
        self.say(f"job {job}: version {record.version} {outcome}, {self.truth.levels[record.version]}")

    def stir_data(self) -> None:
        if self.chance.happens(_NEW_SCHEMA):
            self.change_schema()
        else:
            self.say(self.truth.stir(self.clock.now()))

    def change_schema(self) -> None:
        """Requests carry another column from now on: no version but the newest can answer them, so none passes its
        preflight; or the producers take it back.
        """
        versions = [record.version for record in self.registry.versions()]
        changed = dict.fromkeys(versions[:-1], "today's requests lack column 'hour'")
        if changed and not changed.keys() <= self.fleet.unfit.keys():
            self.fleet.unfit.update(changed)
            self.say(f"requests changed: versions {', '.join(map(str, changed))} cannot answer them")
        else:
            self.fleet.unfit.clear()
            self.say("every version can answer today's requests")

    def stir_servers(self) -> None:
        server = self.chance.one_of(self.fleet.fleet)
        if self.chance.happens(0.2):
            server.up = not server.up
            self.say(f"a server {'comes back' if server.up else 'goes down'}")
        for each in self.fleet.fleet:
            if self.chance.happens(0.8):
                self.fleet.follow(each)

    def toggle_outage(self) -> bool:
        """A port goes away, or what is away comes back. True where one went."""
        if self.chaos.out:
            self.say(f"{', '.join(sorted(self.chaos.out))} answer again")
            self.chaos.out.clear()
            return False
        port = self.chance.one_of(_PORTS)
        self.chaos.out.add(port)
        self.counts["outages"] += 1
        self.say(f"{port} is away")
        return True

    def move_alias(self) -> None:
        """Somebody moves an alias in the registry by hand."""
        versions = [record.version for record in self.registry.versions()]
        if versions:
            self.registry.set_alias(self.chance.one_of(("champion", "challenger")), self.chance.one_of(versions))
            self.say("somebody moved an alias by hand")
