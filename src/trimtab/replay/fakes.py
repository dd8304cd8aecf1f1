"""In-memory fakes of the ports, faithful to their contracts (tests/contracts runs them and the real adapters alike).

They hold no clock and no chance of their own, so a simulation over them is exact; faults are added around them by the
simulation, not inside.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.core.domain.errors import ConflictError, ExternalError, InvariantError, NotFoundError
from trimtab.core.domain.journal import GENESIS, Draft, Entry, Query, Written, canonical, chain, first_broken, subjects
from trimtab.core.domain.proof import Proof
from trimtab.ports import JobPhase, JobReport, LogSlice, Notice, RunLog, ServerReport, Skimmed
from trimtab.serving import package as packages

if TYPE_CHECKING:
    import pyarrow as pa

    from trimtab.core.domain.gate import VersionRecord
    from trimtab.core.domain.routes import Routes


class FakeClock:
    """The ``Clock`` port; time passes when it is told to."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass. It never goes back."""
        if seconds < 0:
            raise InvariantError(f"time does not go back: {seconds} s")
        self._now += seconds


class MemoryJournal:
    """The ``Journal`` port in a list."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._skimmed: list[Skimmed] = []

    def head(self) -> int:
        return len(self._entries)

    def read(self, after: int = 0, limit: int | None = None) -> list[Entry]:
        begin = max(after, 0)
        return self._entries[begin : None if limit is None else begin + limit]

    def find(self, query: Query) -> list[Entry]:
        found = [entry for entry in self.read(query.after) if _named(query, entry)]
        if query.limit is None:
            return found
        return found[max(len(found) - query.limit, 0) :] if query.newest else found[: query.limit]

    def skim(self, after: int = 0) -> list[Skimmed]:
        return self._skimmed[max(after, 0) :]

    def append(self, expected: int, drafts: Sequence[Draft]) -> list[Entry]:
        if expected != len(self._entries):
            raise ConflictError(f"the journal is at {len(self._entries)}, expected {expected}: look again")
        digest = self._entries[-1].digest if self._entries else GENESIS
        added: list[Entry] = []
        skimmed: list[Skimmed] = []
        for seq, draft in enumerate(drafts, start=expected + 1):
            written, at = Written.of(draft), float(draft.at)
            previous, digest = digest, chain(digest, seq, at, draft.actor, draft.cause, written)
            skimmed.append((seq, at, written.actions))
            # Through JSON, as a database would: what is read back shares nothing with what was written.
            added.append(
                Entry(
                    seq=seq,
                    at=at,
                    actor=draft.actor,
                    actions=tuple(json.loads(written.actions)),
                    reasons=tuple(json.loads(written.reasons)),
                    cause=draft.cause,
                    evidence=json.loads(written.evidence),
                    previous=previous,
                    digest=digest,
                )
            )
        self._entries.extend(added)
        self._skimmed.extend(skimmed)
        return added

    def verify(self) -> int | None:
        return first_broken(self._entries)


def _named(query: Query, entry: Entry) -> bool:
    """Whether the query names this entry, but for ``after`` and ``limit``."""
    about = query.kind, query.rollout, query.version
    return (
        (query.before is None or entry.seq < query.before)
        and (query.cause is None or entry.cause == query.cause)
        and (query.since is None or entry.at >= query.since)
        and (query.until is None or entry.at < query.until)
        and (
            about == (None, None, None)
            or any(
                all(want in (None, has) for want, has in zip(about, (s.kind, s.rollout, s.version), strict=True))
                for s in subjects(entry.actions)
            )
        )
    )


class MemoryRegistry:
    """The ``Registry`` port. Packages are remembered by their path and copied from there."""

    def __init__(self, *, disk: bool = True) -> None:
        """``disk=False``: packages are names only, and nothing is read or written: for simulations."""
        self._disk = disk
        self._by_job: dict[str, VersionRecord] = {}
        self._records: dict[int, VersionRecord] = {}
        self._packages: dict[int, Path] = {}
        self._aliases: dict[str, int] = {}
        self.runs: list[RunLog] = []
        """Every run that was logged, oldest first."""

    def register(self, run: RunLog) -> VersionRecord:
        job = run.job
        known = self._by_job.get(job)
        if known is not None:
            return known
        version, manifest = 0, ""
        if run.package is not None:
            version, manifest = len(self._records) + 1, self._digest(run.package)
        record = run.version_record(version, f"run-{len(self.runs) + 1}", manifest)
        self.runs.append(run)
        self._by_job[job] = record
        if run.package is not None:
            self._records[version] = record
            self._packages[version] = run.package
        return record

    def versions(self) -> list[VersionRecord]:
        return list(self._records.values())

    def get(self, version: int) -> VersionRecord:
        if version not in self._records:
            there = ", ".join(map(str, self._records)) or "none yet"
            raise NotFoundError(f"there is no version {version}; there are: {there}")
        return self._records[version]

    def aliases(self) -> dict[str, int]:
        return dict(self._aliases)

    def set_alias(self, alias: str, version: int | None) -> None:
        if version is None:
            self._aliases.pop(alias, None)
        else:
            self._aliases[alias] = self.get(version).version

    def fetch(self, version: int, to: Path) -> Path:
        record = self.get(version)
        if self._disk:
            if not to.exists():
                shutil.copytree(self._packages[version], to)
            packages.verify(to, record.manifest)
        return to

    def _digest(self, package: Path) -> str:
        return packages.verify(package) if self._disk else hashlib.sha256(str(package).encode()).hexdigest()


class MemoryTarget:
    """The ``Target`` port with one server that answers with what was applied."""

    def __init__(self) -> None:
        self._routes: Routes | None = None
        self._installed: set[int] = set()
        self.unfit: dict[int, str] = {}
        """Versions that do not pass their preflight, and why."""

    def routes(self) -> Routes | None:
        return self._routes

    def apply(self, routes: Routes) -> None:
        missing = sorted(routes.versions - self._installed)
        if missing:
            raise InvariantError(f"routes name versions that are not installed: {missing}")
        now = self._routes
        if now is not None and now.generation >= routes.generation and now != routes:
            raise ConflictError(f"routes are at generation {now.generation}, this is {routes.generation}: look again")
        self._routes = routes

    def installed(self) -> frozenset[int]:
        return frozenset(self._installed)

    def install(self, version: int, package: Path) -> None:  # noqa: ARG002 - a fake keeps no files
        self._installed.add(version)

    def retire(self, version: int) -> None:
        if self._routes is not None and version in self._routes.versions:
            raise InvariantError(f"version {version} is routed to; it cannot be retired")
        self._installed.discard(version)

    def prove(self, version: int, recent: pa.Table | None) -> Proof:
        if version not in self._installed:
            return Proof(version, False, f"version {version} is not there")
        if version in self.unfit:
            return Proof(version, False, self.unfit[version])
        rows = 0 if recent is None else recent.num_rows
        return Proof(version, True, f"answers {rows} recent requests" if rows else "no recent requests were seen", rows)

    def servers(self) -> list[ServerReport]:
        if self._routes is None:
            return []
        loaded = tuple(sorted(self._routes.versions))
        return [ServerReport(url="memory://server", ready=True, generation=self._routes.generation, loaded=loaded)]


class MemoryJobs:
    """The ``Jobs`` port; a job runs until ``finish`` or ``lose`` is called."""

    def __init__(self) -> None:
        self._reports: dict[str, JobReport] = {}
        self.specs: dict[str, dict[str, Any]] = {}
        """What each job was started with."""

    def start(self, job: str, spec: dict[str, Any]) -> None:
        if job not in self._reports:
            self.specs[job] = json.loads(canonical(spec))
            self._reports[job] = JobReport(job, JobPhase.RUNNING)

    def poll(self, job: str) -> JobReport:
        return self._reports.get(job, JobReport(job, JobPhase.MISSING))

    def running(self) -> tuple[str, ...]:
        """Names of the jobs that run, in the order they were started."""
        return tuple(job for job, report in self._reports.items() if report.phase is JobPhase.RUNNING)

    def finish(self, job: str, result: dict[str, Any]) -> None:
        """The job wrote its result and ended."""
        self._end(job, JobReport(job, JobPhase.FINISHED, result=json.loads(canonical(result))))

    def lose(self, job: str) -> None:
        """The job died without a result."""
        self._end(job, JobReport(job, JobPhase.LOST))

    def _end(self, job: str, report: JobReport) -> None:
        if self.poll(job).phase is not JobPhase.RUNNING:
            raise InvariantError(f"job '{job}' is {self.poll(job).phase}, it cannot end")
        self._reports[job] = report


class MemoryNotifier:
    """The ``Notifier`` port; ``sent`` has each notice once."""

    def __init__(self) -> None:
        self.sent: list[Notice] = []
        self.failing = False
        """While true, every delivery fails."""

    def send(self, notice: Notice) -> None:
        if self.failing:
            raise ExternalError("the notice could not be delivered")
        if all(notice.id != other.id for other in self.sent):
            self.sent.append(notice)


@dataclasses.dataclass(frozen=True, slots=True)
class _File:
    kind: str
    table: pa.Table


class MemoryLogReader:
    """The ``LogReader`` port over tables that were added as if they were files."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}

    def add_predictions(self, name: str, table: pa.Table) -> None:
        """A file of predictions; ``name`` orders it among the others (``date=…/hour=…/<worker>-<seq>.parquet``)."""
        self._files[f"predictions/{name}"] = _File("predictions", table)

    def add_labels(self, name: str, table: pa.Table) -> None:
        """A file of labels."""
        self._files[f"labels/{name}"] = _File("labels", table)

    def read(self, cursor: frozenset[str], limit: int = 256) -> LogSlice:
        from trimtab.logs import concatenate, empty_labels, empty_predictions, first_labels, reading_order

        names = reading_order(name for name in self._files if name not in cursor)[:limit]
        tables: dict[str, list[pa.Table]] = {"predictions": [empty_predictions()], "labels": [empty_labels()]}
        for name in names:
            tables[self._files[name].kind].append(self._files[name].table)
        labels, conflicting = first_labels(concatenate(tables["labels"]))
        return LogSlice(
            predictions=concatenate(tables["predictions"]),
            labels=labels,
            cursor=cursor | frozenset(names),
            conflicting=conflicting,
        )

    def mark(self, reader: str, cursor: frozenset[str]) -> None:
        """Nothing is ever deleted here."""

    def recent(self, rows: int = 64) -> pa.Table:
        from trimtab.logs import answered_rows, empty_predictions, newest_rows, reading_order

        names = reading_order(name for name, file in self._files.items() if file.kind == "predictions")
        return newest_rows([empty_predictions(), *(answered_rows(self._files[name].table) for name in names)], rows)
