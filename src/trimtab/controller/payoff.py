"""Does a training run pay? What retained versions lost on labelled blocks, measured by a job, becomes an advice.

The job only reads: it answers the labelled rows of the newest blocks with retained versions
(trimtab.training.losses). So it is looked at like any other evidence: its name says what it measures, starting it twice
starts it once, and after a crash its result is found again. What is decided by it stands in the journal, with figures.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from trimtab.core.decide.status import Status
from trimtab.core.domain.times import DAY_S
from trimtab.core.policy import BlockLosses, Measured, PayoffSettings, Retained, advise, facts_of
from trimtab.core.policy.advise import Advice, nothing
from trimtab.core.policy.measured import first_block, in_order
from trimtab.ports import JobPhase, JobReport, Jobs

RETAINED = 8
"""Versions that are measured: the newest, and the champion."""
BLOCKS = 40
"""Newest blocks that are measured."""
ATTEMPTS = 3
"""A measuring that failed is begun anew so often."""


@dataclass(frozen=True, slots=True)
class PayoffPlan:
    """How what a run is worth is measured."""

    settings: PayoffSettings
    block_s: float = 7 * DAY_S
    window_s: float | None = None
    """Of a sliding window."""


@dataclass(slots=True)
class Payoff:
    """Looks once per block and version, and keeps the newest result."""

    jobs: Jobs
    plan: PayoffPlan
    _finished: dict[str, JobReport] = field(default_factory=dict)
    _pending: str = ""
    """The job that runs."""
    _measured: Measured | None = None
    _job: str = ""
    """That measured it."""
    _failed: str = ""
    _advice: tuple[object, Advice | None] | None = None

    def look(self, status: Status, event_time: float | None) -> Advice | None:
        """Whether a run pays at ``event_time``; None while nothing was measured.

        Starts the measuring of a block that ended since, and reads what was measured.

        Raises:
            ExternalError: a job cannot be started or looked for.
        """
        versions = retained(status)
        if event_time is None or status.champion is None or not versions:
            return None
        self._measure(versions, event_time)
        if self._measured is None:
            return nothing("CouldNotMeasure", self._failed) if self._failed else None
        newest = _newest_run(status)
        stamp = (self._job, versions, int(event_time // self.plan.block_s), newest)
        if self._advice is None or self._advice[0] != stamp:
            facts = facts_of(versions, self._measured, now=event_time, block_s=self.plan.block_s, newest_run=newest)
            words = "no block is labelled yet that the oldest retained version was not trained on"
            advice = nothing("NoEvidence", words) if facts is None else advise(self.plan.settings, facts)
            self._advice = (stamp, advice)
        return self._advice[1]

    def _measure(self, versions: tuple[Retained, ...], event_time: float) -> None:
        """Start or read the job of the present block; the newest result stays until there is a newer one.

        One at a time: a job that still runs when its block is over is waited for and read.
        """
        if self._pending:
            report = self.jobs.poll(self._pending)
            if report.phase is JobPhase.RUNNING:
                return
            self._read(report)
            self._pending = ""
        block = int(event_time // self.plan.block_s)
        for attempt in range(1, ATTEMPTS + 1):
            job = f"measure-b{block}-v{max(each.version for each in versions)}-{attempt}"
            report = self._finished.get(job) or self.jobs.poll(job)
            if report.phase is JobPhase.MISSING:
                self.jobs.start(job, job_spec(versions, self.plan, event_time))
            if report.phase in (JobPhase.MISSING, JobPhase.RUNNING):
                self._pending = job
                return
            if job not in self._finished:
                self._finished = {job: report} if attempt == 1 else {**self._finished, job: report}
                self._read(report)
            if report.phase is JobPhase.FINISHED and (report.result or {}).get("outcome") == "measured":
                return

    def _read(self, report: JobReport) -> None:
        result = report.result or {}
        if result.get("outcome") == "measured":
            self._measured, self._job, self._failed = measured_of(result), report.job, ""
        else:
            self._failed = str(result.get("error") or f"its process ended without a result; see {report.log}")


def retained(status: Status) -> tuple[Retained, ...]:
    """The newest versions and the champion, oldest first; versions that do not say what they were trained on are left
    out."""
    known = [record for record in status.versions.values() if record.trained_until is not None]
    newest = sorted(known, key=lambda record: record.version)[-RETAINED:]
    champion = [record for record in known if record.version == status.champion and record not in newest]
    return in_order(
        [
            Retained(record.version, record.strategy, record.created_at, record.trained_until or 0.0)
            for record in (*champion, *newest)
        ]
    )


def job_spec(versions: tuple[Retained, ...], plan: PayoffPlan, event_time: float) -> dict[str, Any]:
    """What the job reads: the spec of trimtab.training.losses, plain."""
    first = max(first_block(versions[0], plan.block_s), int(event_time // plan.block_s) - BLOCKS)
    return {
        "kind": "measure",
        "versions": [asdict(each) for each in versions],
        "block_s": plan.block_s,
        "first": first,
        "now": event_time,
        "window_s": plan.window_s,
    }


def measured_of(result: dict[str, Any]) -> Measured:
    """What a job measured, from its result."""
    blocks = tuple(
        BlockLosses(
            block=int(each["block"]),
            rows=int(each["rows"]),
            before=int(each["before"]),
            losses={int(version): float(loss) for version, loss in each["losses"].items()},
            roles=tuple(float(loss) for loss in each["roles"]),
        )
        for each in result["blocks"]
    )
    return Measured(blocks, float(result["window_rows"]), float(result["training_share"]))


def _newest_run(status: Status) -> float | None:
    running = [] if status.training is None else [status.training.started_at]
    return max((*running, *(run.started_at for run in status.runs)), default=None)
