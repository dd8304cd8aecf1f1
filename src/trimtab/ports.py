"""One Protocol for each thing outside. Adapters implement them; the simulation has a fake of each.

Errors: every method raises ``ExternalError`` (or a subclass) when the thing outside fails, never a foreign exception.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from trimtab.core.domain.errors import InvariantError
from trimtab.core.domain.gate import VersionRecord

if TYPE_CHECKING:
    import pyarrow as pa

    from trimtab.core.domain.gate import GateResult
    from trimtab.core.domain.journal import Draft, Entry, Query
    from trimtab.core.domain.proof import Proof
    from trimtab.core.domain.routes import Routes
    from trimtab.core.domain.verdict import Severity, Verdict


class Clock(Protocol):
    """Where ``now`` comes from. Read once per tick."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        ...


Skimmed = tuple[int, float, str]
"""(seq, at, actions as their JSON text): an entry without what only people read."""


class Journal(Protocol):
    """Append-only, compare-and-append, hash-chained."""

    def head(self) -> int:
        """Sequence number of the newest entry; 0 when empty."""
        ...

    def read(self, after: int = 0, limit: int | None = None) -> list[Entry]:
        """Entries with ``seq > after``, in order; with ``limit`` the first so many of them."""
        ...

    def find(self, query: Query) -> list[Entry]:
        """The entries that the query names, in order; costs what they are, not what the journal holds."""
        ...

    def skim(self, after: int = 0) -> Sequence[Skimmed]:
        """What the fold needs of the entries with ``seq > after``, in order."""
        ...

    def append(self, expected: int, drafts: Sequence[Draft]) -> list[Entry]:
        """Append all or nothing, durable on return.

        Raises:
            ConflictError: the head is not ``expected``; nothing was written.
        """
        ...

    def verify(self) -> int | None:
        """The sequence number of the first entry whose hash does not fit, or None when the chain holds."""
        ...


@dataclass(frozen=True, slots=True)
class DataVersion:
    """A snapshot of files by content, as DVC records it."""

    digest: str
    """md5 of the file, or of the directory listing with suffix ``.dir``."""
    size: int
    files: int
    pointer: str
    """Path of the ``.dvc`` file, relative to the project's root."""


class DataStore(Protocol):
    """Versions of large files by content; the store may be local or remote."""

    def snapshot(self, path: Path) -> DataVersion:
        """Put the file or directory into the store, its pointer beside it. The same content gives the same version."""
        ...

    def restore(self, version: DataVersion, to: Path) -> None:
        """Write the content of a version to ``to``.

        Raises:
            IntegrityError: the stored content does not have the recorded hash.
            NotFoundError: the store does not hold it.
        """
        ...


@dataclass(frozen=True, slots=True)
class RunLog:
    """All that is recorded of a training run."""

    name: str
    created_at: float
    parameters: dict[str, Any]
    metrics: dict[str, float]
    tags: dict[str, str]
    """Includes ``data.version``, ``git.commit``, ``git.dirty``, ``strategy``, ``trigger`` and ``job``."""
    artifacts: tuple[tuple[Path, str], ...]
    """(file or directory, folder in the run's artifacts): project file, environment, git diff, gate report, …"""
    package: Path | None
    """The version directory with its MANIFEST; None for a run that failed before there was a model."""
    verdict: Verdict
    gates: tuple[GateResult, ...]
    record: dict[str, Any] = field(default_factory=dict)
    """The remaining fields of ``VersionRecord``."""

    @property
    def job(self) -> str:
        """The tag that makes registering idempotent."""
        try:
            return self.tags["job"]
        except KeyError:
            raise InvariantError(f"run '{self.name}' has no tag 'job', so it cannot be registered once") from None

    def version_record(self, version: int, run_id: str, manifest: str) -> VersionRecord:
        """What the registry remembers of this run as a version: the tags it knows, then ``record`` over them."""
        fields: dict[str, Any] = {
            "version": version,
            "created_at": self.created_at,
            "run_id": run_id,
            "manifest": manifest,
            "verdict": self.verdict,
            "gates": self.gates,
            "compared_to": None,
            "data_version": self.tags.get("data.version", ""),
            "git_commit": self.tags.get("git.commit"),
            "git_dirty": self.tags.get("git.dirty", "false").lower() == "true",
            "strategy": self.tags.get("strategy", "full"),
            "metrics": dict(self.metrics),
        }
        unknown = sorted(self.record.keys() - set(VersionRecord.__dataclass_fields__))
        if unknown:
            raise InvariantError(f"run '{self.name}': record has fields that a version does not: {', '.join(unknown)}")
        return VersionRecord(**{**fields, **self.record})


class Registry(Protocol):
    """Experiment tracking and the model registry."""

    def register(self, run: RunLog) -> VersionRecord:
        """Log the run, store its package, create the version.

        Idempotent by the tag ``job``: a second call returns the first's record.
        A run without a package is logged and gives a record of version 0, which no other method knows.
        """
        ...

    def versions(self) -> list[VersionRecord]:
        """All versions, oldest first."""
        ...

    def get(self, version: int) -> VersionRecord:
        """Raises NotFoundError naming the versions there are."""
        ...

    def aliases(self) -> dict[str, int]:
        """Alias to version."""
        ...

    def set_alias(self, alias: str, version: int | None) -> None:
        """Point the alias at a version; None removes it. Idempotent."""
        ...

    def fetch(self, version: int, to: Path) -> Path:
        """Copy the version's package to the directory ``to`` (made aside, verified by its MANIFEST, renamed)."""
        ...


@dataclass(frozen=True, slots=True)
class RunLine:
    """A training run as people compare them."""

    run_id: str
    name: str
    """The job."""
    at: float
    """Seconds since the epoch, by the clock of who asked for it."""
    status: str
    """``registered``, ``rejected`` or ``failed``."""
    version: int | None
    """None where there was no model."""
    parameters: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    error: str = ""
    """Why it failed."""


class Runs(Protocol):
    """What experiment tracking keeps of runs beside their versions."""

    def runs(self) -> list[RunLine]:
        """All runs, oldest first, failed ones too."""
        ...

    def files(self, run_id: str, to: Path, folder: str = "") -> Path:
        """Copy the run's artifacts, or one folder of them, to the directory ``to``; returns where they are.

        Raises:
            NotFoundError: there is no such run, or it has no such folder.
        """
        ...


class JobPhase(StrEnum):
    """missing: was never started; lost: was started and died without a result."""

    MISSING = "missing"
    RUNNING = "running"
    FINISHED = "finished"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class JobReport:
    """What is known of a job."""

    job: str
    phase: JobPhase
    result: dict[str, Any] | None = None
    """What the job wrote, when finished: ``{"outcome": "registered" | "rejected" | "failed", …}``."""
    log: str = ""
    """Where its output stands."""


class Jobs(Protocol):
    """What can take long: started, looked for again after a crash, read when done."""

    def start(self, job: str, spec: dict[str, Any]) -> None:
        """Start the job unless one of that name was started before (idempotent by name). It outlives the controller."""
        ...

    def poll(self, job: str) -> JobReport: ...


@dataclass(frozen=True, slots=True)
class ServerReport:
    """What a server says of itself."""

    url: str
    ready: bool
    generation: int | None
    """The generation of routes it serves."""
    loaded: tuple[int, ...] = ()
    refused: tuple[tuple[int, str], ...] = ()
    """(version, why it could not be loaded)"""
    unrecorded: str = ""
    """Why its records do not reach the disk, where they do not."""


class Target(Protocol):
    """Where versions are installed and traffic is moved: a deployment directory, a cluster."""

    def routes(self) -> Routes | None:
        """What is routed now; None before the first deployment."""
        ...

    def apply(self, routes: Routes) -> None:
        """Replace the routes at once (write aside and rename). Idempotent.

        Raises:
            ConflictError: other routes of this or a later generation are in place: somebody else acted.
            InvariantError: a version is not installed.
        """
        ...

    def installed(self) -> frozenset[int]: ...

    def install(self, version: int, package: Path) -> None:
        """Copy a verified package to ``versions/<version>`` (aside, then rename). Idempotent."""
        ...

    def retire(self, version: int) -> None:
        """Remove a version that nothing routes to; nothing happens where it is not installed.

        Raises:
            InvariantError: the routes name it.
        """
        ...

    def prove(self, version: int, recent: pa.Table | None) -> Proof:
        """Try an installed version before it gets traffic; nothing is moved.

        It must load, be what its manifest says, give its recorded answers, and answer ``recent``: what requests of
        today carried (``LogReader.recent``), types included. Without recent requests the proof says so.
        """
        ...

    def servers(self) -> list[ServerReport]:
        """Ask the servers which generation and versions they answer with. Empty where none can be reached."""
        ...


@dataclass(frozen=True, slots=True)
class LogSlice:
    """New rows of the log and where to go on."""

    predictions: pa.Table
    """The columns of docs/formats.md, ``time`` ascending within a file."""
    labels: pa.Table
    cursor: frozenset[str]
    """Names of the files read so far: each file is written once, so a set of names is a position."""
    conflicting: int = 0
    """Labels left out because an earlier one of the same prediction id, in this slice, says otherwise."""
    profiles: pa.Table | None = None
    """Sums that the servers added up themselves (``trimtab.logs.PROFILE_COLUMNS``); None where they are not read."""
    traffic: pa.Table | None = None
    """What the versions did, added up by the servers (``trimtab.logs.TRAFFIC_COLUMNS``), where no rows are logged."""


class LogReader(Protocol):
    """Reads what the data plane wrote."""

    def read(self, cursor: frozenset[str], limit: int = 256) -> LogSlice:
        """The rows of at most ``limit`` files that are not in ``cursor``, oldest name first.

        Files may be merged into others meanwhile: each row is returned once to a reader that goes on with the cursor of
        the slice, whichever file it stands in by then.
        """
        ...

    def mark(self, reader: str, cursor: frozenset[str]) -> None:
        """Say that ``reader`` needs the files of ``cursor`` no more: they may be deleted when they are old."""
        ...

    def recent(self, rows: int = 64) -> pa.Table:
        """The newest answered rows, at most ``rows``, oldest first: no shadow rows, no errors. Few files are read."""
        ...


@dataclass(frozen=True, slots=True)
class Notice:
    """A message to people."""

    id: str
    """``<decision>-<n>``: a channel that can, drops a second one of the same id."""
    title: str
    body: str
    severity: Severity


class Notifier(Protocol):
    """Slack, Teams, e-mail, PagerDuty, webhooks."""

    def send(self, notice: Notice) -> None: ...
