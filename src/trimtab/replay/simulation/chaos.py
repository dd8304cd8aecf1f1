"""Trouble at the ports: before or after any call a process may die, the thing outside may fail, or somebody else may
act.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.core.domain.errors import ExternalError
from trimtab.core.domain.gate import VersionRecord
from trimtab.core.domain.journal import Draft, Entry, Query
from trimtab.core.domain.proof import Proof
from trimtab.core.domain.routes import Routes
from trimtab.ports import (
    JobReport,
    Jobs,
    Journal,
    Notice,
    Notifier,
    Registry,
    RunLog,
    ServerReport,
    Skimmed,
    Target,
)

if TYPE_CHECKING:
    import pyarrow as pa


class Died(BaseException):
    """The process is gone. It stands for kill -9, which no handler of errors may catch."""


class Strike(Enum):
    """What may happen at a call of a port."""

    DEATH = "the process dies"
    FAILURE = "the call fails"
    OTHER = "somebody else acts"


@dataclass(slots=True)
class Chaos:
    """At most one strike per act (a tick or a command), at a call chosen beforehand; outages last until they end."""

    out: set[str] = field(default_factory=set)
    """Ports that are away: every call fails."""
    strike: Strike | None = None
    calls_left: int = 0
    """Half-calls until the strike: each call counts once before its effect and once after."""
    other: Callable[[], None] | None = None
    """Acts when the strike is ``OTHER``."""
    tell: Callable[[str], None] | None = None
    _struck: bool = False

    def arm(self, strike: Strike, calls: int, other: Callable[[], None] | None = None) -> None:
        """Strike at the ``calls``-th half-call from now, if there are so many."""
        self.strike, self.calls_left, self.other = strike, calls, other
        self._struck = False

    def disarm(self) -> None:
        """The act is over."""
        self.strike = None

    @property
    def struck(self) -> bool:
        """Whether there was a strike since the newest ``arm`` or ``calm``."""
        return self._struck

    def calm(self) -> None:
        """Nothing strikes in the act that comes now."""
        self.strike, self._struck = None, False

    def around(self, port: str, call: str) -> None:
        """Goes before and after the effect of each call."""
        if self.strike is not None:
            self.calls_left -= 1
            if self.calls_left <= 0:
                self._strike(port, call)
        if port in self.out:
            raise ExternalError(f"{port} does not answer")

    def _strike(self, port: str, call: str) -> None:
        strike, other = self.strike, self.other
        self.strike, self._struck = None, True
        if self.tell is not None and strike is not None:
            self.tell(f"at {port}.{call}: {strike.value}")
        if strike is Strike.DEATH:
            raise Died
        if strike is Strike.FAILURE:
            raise ExternalError(f"{port}.{call} timed out")
        if other is not None:
            other()


class TroubledJournal:
    """The ``Journal`` port under chaos. A failure after an append is the write whose answer never came."""

    def __init__(self, inner: Journal, chaos: Chaos) -> None:
        self._inner, self._chaos = inner, chaos

    def head(self) -> int:
        return self._inner.head()

    def read(self, after: int = 0, limit: int | None = None) -> list[Entry]:
        self._chaos.around("journal", "read")
        return self._inner.read(after, limit)

    def find(self, query: Query) -> list[Entry]:
        return self._inner.find(query)

    def skim(self, after: int = 0) -> Sequence[Skimmed]:
        self._chaos.around("journal", "skim")
        return self._inner.skim(after)

    def append(self, expected: int, drafts: Sequence[Draft]) -> list[Entry]:
        self._chaos.around("journal", "append")
        added = self._inner.append(expected, drafts)
        self._chaos.around("journal", "append")
        return added

    def verify(self) -> int | None:
        return self._inner.verify()


class TroubledRegistry:
    """The ``Registry`` port under chaos."""

    def __init__(self, inner: Registry, chaos: Chaos) -> None:
        self._inner, self._chaos = inner, chaos

    def register(self, run: RunLog) -> VersionRecord:
        return self._inner.register(run)

    def versions(self) -> list[VersionRecord]:
        return self._inner.versions()

    def get(self, version: int) -> VersionRecord:
        return self._inner.get(version)

    def aliases(self) -> dict[str, int]:
        self._chaos.around("registry", "aliases")
        return self._inner.aliases()

    def set_alias(self, alias: str, version: int | None) -> None:
        self._chaos.around("registry", "set_alias")
        self._inner.set_alias(alias, version)
        self._chaos.around("registry", "set_alias")

    def fetch(self, version: int, to: Path) -> Path:
        self._chaos.around("registry", "fetch")
        return self._inner.fetch(version, to)


class TroubledTarget:
    """The ``Target`` port under chaos: half a change is an install without routes, or routes whose answer never
    came.
    """

    def __init__(self, inner: Target, chaos: Chaos) -> None:
        self._inner, self._chaos = inner, chaos

    def routes(self) -> Routes | None:
        self._chaos.around("target", "routes")
        return self._inner.routes()

    def apply(self, routes: Routes) -> None:
        self._chaos.around("target", "apply")
        self._inner.apply(routes)
        self._chaos.around("target", "apply")

    def installed(self) -> frozenset[int]:
        self._chaos.around("target", "installed")
        return self._inner.installed()

    def install(self, version: int, package: Path) -> None:
        self._chaos.around("target", "install")
        self._inner.install(version, package)
        self._chaos.around("target", "install")

    def retire(self, version: int) -> None:
        self._chaos.around("target", "retire")
        self._inner.retire(version)
        self._chaos.around("target", "retire")

    def prove(self, version: int, recent: pa.Table | None) -> Proof:
        self._chaos.around("target", "prove")
        return self._inner.prove(version, recent)

    def servers(self) -> list[ServerReport]:
        self._chaos.around("target", "servers")
        return self._inner.servers()


class TroubledJobs:
    """The ``Jobs`` port under chaos."""

    def __init__(self, inner: Jobs, chaos: Chaos) -> None:
        self._inner, self._chaos = inner, chaos

    def start(self, job: str, spec: dict[str, Any]) -> None:
        self._chaos.around("jobs", "start")
        self._inner.start(job, spec)
        self._chaos.around("jobs", "start")

    def poll(self, job: str) -> JobReport:
        self._chaos.around("jobs", "poll")
        return self._inner.poll(job)


class TroubledNotifier:
    """The ``Notifier`` port under chaos."""

    def __init__(self, inner: Notifier, chaos: Chaos) -> None:
        self._inner, self._chaos = inner, chaos

    def send(self, notice: Notice) -> None:
        self._chaos.around("notifier", "send")
        self._inner.send(notice)
        self._chaos.around("notifier", "send")


class Outbox:
    """Up to which decision people were told, under chaos."""

    def __init__(self, chaos: Chaos) -> None:
        self._chaos = chaos
        self.seq = 0

    def delivered(self) -> int:
        self._chaos.around("outbox", "delivered")
        return self.seq

    def deliver(self, seq: int) -> None:
        self._chaos.around("outbox", "deliver")
        self.seq = seq
        self._chaos.around("outbox", "deliver")


class Silent:
    """A view that keeps nothing."""

    def save(self, seen: dict[str, Any]) -> None:
        """Nobody reads it."""

    def load(self) -> dict[str, Any] | None:
        return None
