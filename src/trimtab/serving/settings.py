"""What a server is told at its start. Nothing here reads the environment; the entry points fill it in."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from trimtab.core.domain.errors import UserError
from trimtab.serving.net.security import Security
from trimtab.serving.record.settings import LogSettings

LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that keep a server answering, whatever it is sent."""

    body_bytes: int = 16 * 1024 * 1024
    """A larger request body gets 413."""
    head_bytes: int = 32 * 1024
    """Request line and headers together; more gets 431."""
    rows: int = 50_000
    """Rows of one request; more gets 413."""
    inline_bytes: int = 32 * 1024
    """A larger body is decoded and scored in a thread, so that small requests do not wait behind it."""
    queued_batches: int = 16
    """Batches waiting for or in a thread; beyond them 503 with Retry-After at once."""
    ahead: int = 32
    """Requests that a connection may send ahead of their answers; with more waiting it is not read."""
    connections: int = 4096
    """Open connections of one worker; beyond them 503 and close."""
    turn_s: float = 0.25
    """Requests that would wait longer than this for those before them get 503 with Retry-After at once."""
    request_s: float = 30.0
    """From the first byte of a request to its last; slower clients get 408."""
    idle_s: float = 75.0
    """A keep-alive connection without a request is closed after this."""
    write_s: float = 30.0
    """A client that does not read its answer for this long is cut off."""
    drain_s: float = 10.0
    """On SIGTERM: how long requests under way may take."""
    shadow_rows: int = 8192
    """Rows waiting to be scored in shadow; beyond them they are dropped and counted."""
    log_rows: int = 200_000
    """Rows waiting to be written; beyond them they are dropped and counted."""
    label_ids: int = 200_000
    """Prediction ids whose label is remembered, to answer repeats without logging them again."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """One server: where it reads, where it writes, where it listens."""

    deployment: Path
    """The deployment directory (docs/formats.md)."""
    logs: Path
    """The log directory."""
    host: str = "127.0.0.1"
    port: int = 8080
    """0 takes a free one; the ready line and ``<deployment>/servers/<pid>.json`` name it."""
    workers: int = 1
    """Processes that share the port."""
    supervised: bool = False
    """One worker too gets a supervisor, which holds the port and replaces it when it dies; several always do."""
    flush_s: float = 0.5
    """Records are on disk at most about this long after the answer: what a kill -9 can lose."""
    durability: Literal["batch", "sync"] = "batch"
    """``sync``: an answer is sent only after its record is on disk."""
    poll_s: float = 0.05
    """How often ``routes.json`` is looked at."""
    limits: Limits = field(default_factory=Limits)
    log: LogSettings = field(default_factory=LogSettings)
    """What is recorded."""
    counters: Path | None = None
    """Where the workers of a server keep their counters, so that each can answer for all; None: each for itself."""
    security: Security = field(default_factory=Security)
    routes: tuple[tuple[str, str], ...] = ()
    """Further paths and the endpoints they name: what a platform tells its containers to answer."""
    tracing: bool = False
    """Send OpenTelemetry traces, as the standard variables of the environment say."""

    def __post_init__(self) -> None:
        problems = []
        if not 0 <= self.port <= 65535:
            problems.append(f"port must be 0 to 65535, found {self.port}")
        if self.workers < 1:
            problems.append(f"workers must be at least 1, found {self.workers}")
        if not 0 < self.flush_s <= 60:
            problems.append(f"flush_s must be above 0 and at most 60 seconds, found {self.flush_s}")
        if self.durability not in ("batch", "sync"):
            problems.append(f"durability must be 'batch' or 'sync', found '{self.durability}'")
        if problems:
            raise UserError("\n".join(problems))
