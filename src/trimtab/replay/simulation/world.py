"""The world that a simulated endpoint lives in: time, traffic, faults of data, drift, servers, training jobs.

It holds what is true, which the loop can only see through its ports and snapshots.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from trimtab.controller.observe import ended_jobs, loaded_by_all, refused_by_any
from trimtab.core.decide.snapshot import Snapshot
from trimtab.core.decide.status import Status
from trimtab.core.diagnosis.result import Assessment, BlockView, Fault
from trimtab.core.domain.diagnosis import Diagnosis, Kind, Remedy
from trimtab.core.domain.routes import Routes
from trimtab.core.domain.verdict import Reason, Severity
from trimtab.core.policy.advise import Advice
from trimtab.core.rollout.facts import RolloutFacts
from trimtab.ports import Jobs, ServerReport, Target
from trimtab.replay.fakes import MemoryTarget
from trimtab.replay.simulation.chance import Chance
from trimtab.replay.simulation.chaos import Chaos
from trimtab.replay.simulation.evidence import LABELS, NOTHING, TRAFFIC, Comparison

FEATURES = ("wind", "hour", "carrier")

ADVICE_WAIT = Advice(False, Reason("RetrainNotYet", "expected gains add up to 0.02, the price is 0.1", 0.02, 0.1), 0.02)
ADVICE_TRAIN = Advice(True, Reason("RetrainPays", "expected gains add up to 0.12, the price is 0.1", 0.12, 0.1), 0.12)

LEVELS = {"good": -1, "same": 0, "bad": 1, "broken": 2}
"""How well versions do; a difference of levels is what a comparison shows."""


_LABELS_DRAWN = (*LABELS, "prompt", "prompt", "late")


@dataclass(slots=True)
class Server:
    """One server: what it loaded, of which generation."""

    generation: int | None = None
    loaded: tuple[int, ...] = ()
    refused: tuple[tuple[int, str], ...] = ()
    up: bool = True


class Fleet(MemoryTarget):
    """A deployment directory with servers that follow it in their own time and may refuse a version."""

    def __init__(self, count: int, unloadable: set[int]) -> None:
        super().__init__()
        self.fleet = [Server() for _ in range(count)]
        self._unloadable = unloadable

    def follow(self, server: Server) -> None:
        """The server reads the routes and loads what they name."""
        routes = self._routes
        if routes is None or not server.up:
            return
        wanted = sorted(routes.versions)
        refused = tuple((v, "sha256 of model.onnx does not match") for v in wanted if v in self._unloadable)
        server.loaded = tuple(v for v in wanted if v not in self._unloadable)
        server.refused = refused
        server.generation = routes.generation

    def servers(self) -> list[ServerReport]:
        return [
            ServerReport(f"memory://{place}", server.up, server.generation, server.loaded, server.refused)
            for place, server in enumerate(self.fleet)
            if server.generation is not None
        ]


@dataclass(slots=True)
class Truth:
    """What is so, whether or not anybody has seen it."""

    chance: Chance
    levels: dict[int, str] = field(default_factory=dict)
    """Version to how well it does."""
    created: dict[int, float] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    label_fault_since: float | None = None
    drift_since: float | None = None
    harmless_since: float | None = None
    event_time: float | None = None
    comparisons: dict[Pair, Comparison] = field(default_factory=dict)
    changes: int = 0
    """Counts what an assessment depends on."""

    @property
    def broken(self) -> bool:
        """Whether a fault of the data or of the labels is open."""
        return self.label_fault_since is not None or any(fault.until_s is None for fault in self.faults)

    def stir(self, now: float) -> str:
        """A fault of the data, of the labels, or drift begins; drift may also go as it came. What it was, in words."""
        self.changes += 1
        drawn = self.chance.share()
        if drawn < 0.4:
            return self._column_fault(now)
        if drawn < 0.5:
            self.label_fault_since = now if self.label_fault_since is None else self.label_fault_since
            return "labels are all of one class"
        if drawn < 0.9:
            self.drift_since = now if self.drift_since is None or self.chance.happens(0.6) else None
            return "the world drifts" if self.drift_since is not None else "the world is as before"
        self.harmless_since = now if self.harmless_since is None else None
        return "the mix of traffic moves"

    def _column_fault(self, now: float) -> str:
        feature, severity = self.chance.one_of(FEATURES), self.chance.one_of(tuple(Severity))
        if all(fault.until_s is not None for fault in self.faults if fault.features == (feature,)):
            self.faults.append(Fault("MissingFlood", (feature,), now, None, severity, f"{feature} missing", 1.0, 0.02))
        return f"{feature} arrives empty ({severity})"

    def mend(self, now: float) -> str:
        """One fault of the data or the labels ends; which, in words."""
        self.changes += 1
        for place, fault in enumerate(self.faults):
            if fault.until_s is None:
                self.faults[place] = replace(fault, until_s=now)
                return f"{fault.features[0]} is sound again"
        self.label_fault_since = None
        return "labels are right again"

    def traffic(self, routes: Routes, now: float) -> None:
        """Requests come in; where two versions meet, they are compared."""
        self.event_time = now
        self.changes += 1
        key = compared(routes)
        if key is None:
            return
        known = self.comparisons.get(key)
        if known is None:
            labels, busy = self.chance.one_of(_LABELS_DRAWN), self.chance.happens(0.8)
            known = self.comparisons[key] = Comparison(labels, TRAFFIC[0] if busy else TRAFFIC[1])
        known.add(now, routes.generation)

    def relation(self, champion: int, challenger: int) -> str:
        """How the one in the challenger's place does against the one in the champion's."""
        first, second = self.levels[champion], self.levels[challenger]
        if second == "broken":
            return "broken"
        difference = LEVELS[second] - LEVELS[first]
        return "better" if difference < 0 else "equal" if difference == 0 else "worse"

    def assessment(self, status: Status) -> Assessment | None:
        """Of the champion's traffic since it went live."""
        if status.champion is None or self.event_time is None:
            return None
        since = status.champion_since
        faults = tuple(f for f in self.faults if f.until_s is None or f.until_s > since)
        labels: tuple[Fault, ...] = ()
        if self.label_fault_since is not None:
            at = self.label_fault_since
            labels = (Fault("ConstantLabels", (), at, None, Severity.SEVERE, "all labels are of one class", 1.0, 1.0),)
        faulty = any(f.until_s is None for f in faults) or bool(labels)
        block = BlockView(self.event_time - 1.0, self.event_time, 100, 50, 0.2, faulty=faulty, judged=not faulty)
        return Assessment(self._diagnosis(status.champion, faults, bool(labels)), (*faults, *labels), blocks=(block,))

    def _diagnosis(self, champion: int, faults: tuple[Fault, ...], labels: bool) -> Diagnosis:
        standing = [fault for fault in faults if fault.until_s is None]
        if standing:
            worst = standing[0]
            return _found(Kind.DATA_FAULT, Remedy.FIX_DATA, worst.severity, worst.since_s, worst.features)
        if labels:
            return _found(Kind.LABEL_FAULT, Remedy.FIX_LABELS, Severity.SEVERE, self.label_fault_since)
        born = self.created[champion]
        if self.drift_since is not None and born < self.drift_since:
            if round(self.drift_since) % 3 == 0:  # of some of them only the base rate
                return _found(Kind.PRIOR_SHIFT, Remedy.RECALIBRATE, Severity.MODERATE, self.drift_since)
            return _found(Kind.GRADUAL_DRIFT, Remedy.RETRAIN, Severity.SEVERE, self.drift_since)
        if self.harmless_since is not None and born < self.harmless_since:
            return _found(Kind.HARMLESS_SHIFT, Remedy.NONE, Severity.MINOR, self.harmless_since, (FEATURES[1],))
        return Diagnosis()


def _found(
    kind: Kind, remedy: Remedy, severity: Severity, since: float | None, features: tuple[str, ...] = ()
) -> Diagnosis:
    return Diagnosis(kind, remedy, severity, since, features, reasons=(Reason("Seen", f"{kind} is seen"),))


Pair = tuple[int, int, str]
"""(who answers as champion, the other, salt)."""


def compared(routes: Routes) -> Pair | None:
    """The pair of versions that the routes bring together; None where one is alone."""
    champion = routes.split[0].version
    for version, arm in routes.arms.items():
        if arm == "challenger" and version != champion:
            return champion, version, routes.salt
    return None


@dataclass(slots=True)
class Observer:
    """What one controller sees: the newest looks may not have reached it, and it may see the same ones again."""

    truth: Truth
    jobs: Jobs
    target: Target
    chaos: Chaos
    behind: int = 0
    """Looks that the log does not show yet."""
    _assessed: tuple[object, Assessment | None] | None = None

    def ingest(self, status: Status) -> None:  # noqa: ARG002
        """The log is read; some of it is still on its way."""
        self.chaos.around("log", "read")
        late = self.truth.chance.share()
        self.behind = 0 if late < 0.8 else 1 if late < 0.9 else 3

    def snapshot(self, status: Status) -> Snapshot:
        """The facts of this tick, made from the world."""
        servers = [server for server in self.target.servers() if server.ready]
        rollout, watch = status.rollout, status.watch
        return Snapshot(
            event_time=self.truth.event_time,
            assessment=self._assessment(status),
            assessed=status.champion,
            rollout=None if rollout is None else self._facts(rollout.champion, rollout.version, status, flip=False),
            watch=None
            if watch is None or rollout is not None
            else self._facts(watch.version, watch.predecessor, status, flip=True),
            jobs=ended_jobs(status, self.jobs),
            servers=len(servers),
            generation=min((s.generation for s in servers if s.generation is not None), default=None),
            loaded=loaded_by_all(servers),
            refused=refused_by_any(servers),
            advice=self._advice(status),
        )

    def _advice(self, status: Status) -> Advice | None:
        """A run pays where the world has drifted since the champion was made, or better versions can be had."""
        if status.champion is None or self.truth.event_time is None:
            return None
        since = self.truth.drift_since
        if since is None or self.truth.created[status.champion] >= since:
            return ADVICE_WAIT
        return ADVICE_TRAIN

    def _facts(self, answering: int, other: int, status: Status, *, flip: bool) -> RolloutFacts:
        """In a watch the predecessor stands in the champion's place, though the new version answers."""
        comparison = self.truth.comparisons.get((answering, other, status.salt))
        if comparison is None:
            return NOTHING
        relation = self.truth.relation(other, answering) if flip else self.truth.relation(answering, other)
        return comparison.facts(relation, self.behind, status.generation)

    def _assessment(self, status: Status) -> Assessment | None:
        stamp = (self.truth.changes, status.champion, status.champion_since)
        if self._assessed is None or self._assessed[0] != stamp:
            self._assessed = (stamp, self.truth.assessment(status))
        return self._assessed[1]
