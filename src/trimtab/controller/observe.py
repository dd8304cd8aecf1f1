"""Observing: the log's new rows become sums, and the sums become a snapshot.

What is kept here (profiles and scorecards of the champion's blocks, the labelled rows of the comparison under way)
is derived
from the log alone: after a restart the same files give the same sums.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trimtab.controller.blocks import Blocks
from trimtab.controller.codec import record_of
from trimtab.controller.comparison import Comparison
from trimtab.controller.counted import agreed, counted
from trimtab.controller.event_clock import AHEAD_S, EventClock
from trimtab.controller.evidence import Answered, Evidence, answered, believable, seconds
from trimtab.controller.payoff import Payoff
from trimtab.core.decide.snapshot import Arrivals, JobFact, Snapshot
from trimtab.core.decide.status import Rollout, Status, Watch
from trimtab.core.diagnosis.assess import assess
from trimtab.core.diagnosis.result import Assessment, AssessSettings
from trimtab.core.domain.times import DAY_S
from trimtab.core.profiles.baseline import Baseline
from trimtab.core.profiles.pairs import loss_scale
from trimtab.ports import JobPhase, Jobs, LogReader, ServerReport, Target

if TYPE_CHECKING:
    import pyarrow as pa


READER = "controller"
"""Of the log, by name: files that it has read may be deleted."""


@dataclass(frozen=True, slots=True)
class Champion:
    """What must be known of a version to judge its traffic."""

    version: int
    baseline: Baseline


@dataclass(frozen=True, slots=True)
class Settings:
    """How the log is cut and judged."""

    event_clock: bool = False
    """Whether the project's clock is the event time (replays)."""
    block_s: float = DAY_S
    alpha: float = 0.01
    tolerance: float = 0.05
    rows_min: int = 200
    from_profiles: bool = False
    """Whether inputs and answers are watched by the servers' own profiles: rows are not logged, sampled or private."""
    horizon_s: float = 120 * DAY_S
    """Rows older than this are forgotten: a label that comes later changes nothing any more."""


@dataclass(slots=True)
class Observer:
    """Reads the log once, in any order, and answers what a tick needs to know."""

    reader: LogReader
    jobs: Jobs
    target: Target
    champion_of: Callable[[int], Champion]
    settings: Settings
    payoff: Payoff | None = None
    """Looks whether a training run pays; None where nobody asks."""
    event_time: float | None = None
    rows: int = 0
    """Answered rows read so far."""
    _clock: EventClock = field(default_factory=EventClock)
    _arrivals: Arrivals | None = None
    _cursor: frozenset[str] = frozenset()
    _newest_generation: int = -1
    """Of the routes by which the rows read so far were answered."""
    _evidence: Evidence = field(init=False)
    _blocks: Blocks | None = None
    _comparison: Comparison | None = None
    _assessed: tuple[object, Assessment] | None = None

    def __post_init__(self) -> None:
        self._evidence = Evidence(self.settings.event_clock)

    def ingest(self, status: Status) -> None:
        """Take in every file of the log that was not read yet."""
        if self._prepare(status):
            self._begin_again(status)
        while True:
            piece = self.reader.read(self._cursor)
            if piece.cursor == self._cursor:
                self.reader.mark(READER, self._cursor)
                return
            self._cursor = piece.cursor
            self._take(piece.predictions, piece.labels)
            if piece.profiles is not None and piece.profiles.num_rows:
                self._take_profiles(piece.profiles)
            if piece.traffic is not None and piece.traffic.num_rows:
                self._take_traffic(piece.traffic)

    def snapshot(self, status: Status) -> Snapshot:
        """The facts of this tick."""
        servers = [server for server in self.target.servers() if server.ready]
        facts = self._comparison.facts(status.generation) if self._comparison is not None else None
        return Snapshot(
            event_time=self.event_time,
            ahead=self._clock.ahead,
            arrivals=self._arrivals,
            assessment=self._assess(),
            assessed=self._blocks.key[0] if self._blocks is not None else None,
            rollout=facts if status.rollout is not None else None,
            watch=facts if status.rollout is None and status.watch is not None else None,
            jobs=ended_jobs(status, self.jobs),
            servers=len(servers),
            generation=min((s.generation for s in servers if s.generation is not None), default=None),
            loaded=loaded_by_all(servers),
            refused=refused_by_any(servers),
            unrecorded={server.url: server.unrecorded for server in servers if server.unrecorded},
            advice=None if self.payoff is None else self.payoff.look(status, self.event_time),
        )

    def _begin_again(self, status: Status) -> None:
        """Read the whole log again, as a controller does that has just started."""
        self._cursor, self._newest_generation, self.rows = frozenset(), -1, 0
        self._evidence, self._clock = Evidence(self.settings.event_clock), EventClock(self.event_time)
        self._blocks = self._comparison = self._assessed = self._arrivals = None
        self._prepare(status)

    def _prepare(self, status: Status) -> bool:
        """Begin new sums where the champion or the comparison changed.

        Returns:
            Whether rows that belong to them were read before: another process journalled and moved the routes between
            our look at the journal and our look at the log.
        """
        champion, missed = status.champion, False
        if champion is None:
            self._blocks = None
        elif self._blocks is None or self._blocks.key != (champion, status.champion_generation):
            known = self.champion_of(champion)
            key, from_profiles = (champion, status.champion_generation), self.settings.from_profiles
            self._blocks = Blocks(key, known.baseline, self.settings.block_s, from_profiles)
            missed = self._newest_generation >= status.champion_generation
        wanted = _comparison_of(status.rollout, status.watch)
        if wanted is None:
            self._comparison = None
        elif self._comparison is None or self._comparison.key != wanted.key:
            self._comparison = wanted
            missed = missed or self._newest_generation >= wanted.first_generation
        return missed

    def _take(self, predictions: pa.Table, labels: pa.Table) -> None:
        if predictions.num_rows and not self.settings.event_clock:
            predictions = believable(predictions)
        labelled = self._evidence.add(predictions, labels)
        scale = 1.0
        if predictions.num_rows:
            rows = answered(predictions, self.settings.event_clock)
            self.rows += 0 if self.settings.from_profiles else len(rows.version)
            self._newest_generation = max(self._newest_generation, int(rows.generation.max(initial=-1)))
            self._see_time(predictions, rows)
            self._see_arrivals(self._believed(rows).clock)
            if self._comparison is not None:
                self._comparison.count(self._believed(rows))
                if self._comparison.begins_in_shadow:
                    shadowed = answered(predictions, self.settings.event_clock, shadow=True)
                    self._comparison.count_shadow(self._believed(shadowed))
        if self._blocks is not None:
            scale = loss_scale(self._blocks.baseline)
            self._blocks.add(predictions, labelled)
        if self._comparison is not None:
            self._comparison.agreement.add(predictions, event_clock=self.settings.event_clock, scale=scale)
            self._comparison.score(labelled, scale)
        if self.event_time is not None:
            self._evidence.forget(self.event_time - self.settings.horizon_s)

    def _take_profiles(self, profiles: pa.Table) -> None:
        self.rows += int(np.sum(profiles.column("rows")))
        self._newest_generation = max(self._newest_generation, int(np.max(profiles.column("generation"))))
        newest = float(np.max(seconds(profiles.column("newest"))))
        self.event_time = newest if self.event_time is None else max(self.event_time, newest)
        if self._blocks is not None:
            self._blocks.add_profiles(profiles)

    def _take_traffic(self, traffic: pa.Table) -> None:
        """What the versions did, of servers that log no rows."""
        self._newest_generation = max(self._newest_generation, int(np.max(traffic.column("generation"))))
        ours = self._comparison
        if ours is None:
            return
        for sums, shadow in counted(traffic, ours.guardrails.latency_p95_ms_max):
            ours.count_sums(sums, shadow=shadow)
        for pair in agreed(traffic):
            if ours.key[:2] == (pair.champion, pair.challenger) and pair.generation >= ours.first_generation:
                ours.agreement.add_sums(pair.at_s, pair.compared)

    def _see_time(self, predictions: pa.Table, rows: Answered) -> None:
        if self.settings.event_clock:
            self._clock.see(rows.event_time, float(np.max(seconds(predictions.column("time")))))
            self.event_time = self._clock.now
        elif len(rows.event_time):
            newest = float(np.max(rows.event_time))
            self.event_time = newest if self.event_time is None else max(self.event_time, newest)

    def _see_arrivals(self, clock: NDArray[np.float64]) -> None:
        if not len(clock):
            return
        known = self._arrivals
        first, last, pause_s = (float(clock.min()),) * 2 + (0.0,) if known is None else astuple(known)
        new = np.sort(clock[clock > last])
        pause_s = max(pause_s, float(np.diff(new, prepend=last).max(initial=0.0)))
        self._arrivals = Arrivals(min(first, float(clock.min())), max(last, float(clock.max())), pause_s)

    def _believed(self, rows: Answered) -> Answered:
        """Without rows so far ahead that they do not move the clock: a step must not wait for the year 9999."""
        if not self.settings.event_clock or not self._clock.ahead or self.event_time is None:
            return rows
        return rows.where(rows.clock <= self.event_time + AHEAD_S)

    def _assess(self) -> Assessment | None:
        if self._blocks is None or self.event_time is None:
            return None
        blocks = self._blocks.closed(self.event_time)
        if not blocks:
            return None
        stamp = (self._blocks.key, self._blocks.changes, len(blocks))
        if self._assessed is None or self._assessed[0] != stamp:
            settings = AssessSettings(
                alpha=self.settings.alpha,
                tolerance=self.settings.tolerance,
                block_s=self.settings.block_s,
                rows_min=self.settings.rows_min,
            )
            self._assessed = (stamp, assess(self._blocks.baseline, blocks, settings, self.event_time))
        return self._assessed[1]


def ended_jobs(status: Status, jobs: Jobs) -> tuple[JobFact, ...]:
    """The training run of the status, once it has ended."""
    if status.training is None:
        return ()
    report = jobs.poll(status.training.spec.job)
    if report.phase is JobPhase.LOST:
        return (JobFact(report.job, "lost", None, f"its process ended without a result; see {report.log}"),)
    if report.phase is not JobPhase.FINISHED or report.result is None:
        return ()
    record = report.result.get("record")
    return (
        JobFact(
            report.job,
            str(report.result.get("outcome", "failed")),
            record_of(record) if record else None,
            str(report.result.get("error") or ""),
            tuple(record_of(other) for other in report.result.get("others", ())),
        ),
    )


def loaded_by_all(servers: list[ServerReport]) -> frozenset[int]:
    """Versions that every server has loaded; none without a server."""
    return frozenset.intersection(*(frozenset(server.loaded) for server in servers)) if servers else frozenset()


def refused_by_any(servers: list[ServerReport]) -> dict[int, str]:
    """Versions that a server could not load, and why."""
    return {version: why for server in servers for version, why in server.refused}


def _comparison_of(rollout: Rollout | None, watch: Watch | None) -> Comparison | None:
    if rollout is not None:
        plan = rollout.plan
        shadow = plan.strategy != "canary"
        return Comparison(
            rollout.champion, rollout.version, rollout.first_generation, plan.bake_s, plan.guardrails, shadow
        )
    if watch is not None:
        plan = watch.plan
        return Comparison(watch.predecessor, watch.version, watch.first_generation, plan.bake_s, plan.guardrails)
    return None
