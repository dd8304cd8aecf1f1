"""Makes the world match the status: packages installed, routes in force, aliases set, jobs started, people told.

Level-triggered and idempotent: it compares what must be with what is, so it does the same after a crash between any
two of its lines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from trimtab.controller.codec import decode
from trimtab.controller.standing import Shelf
from trimtab.core.decide.actions import Alert
from trimtab.core.decide.policy import Policy
from trimtab.core.decide.status import Status, Training, routes_of, warm_of
from trimtab.core.domain.errors import ConflictError, ExternalError, InvariantError, NotFoundError
from trimtab.core.domain.journal import Entry
from trimtab.core.domain.routes import Routes
from trimtab.core.domain.verdict import Severity
from trimtab.ports import Jobs, LogReader, Notice, Notifier, Registry, Target

_ORDER = [Severity.MINOR, Severity.MODERATE, Severity.SEVERE]


class Outbox(Protocol):
    """Remembers up to which decision people were told."""

    def delivered(self) -> int: ...

    def deliver(self, seq: int) -> None: ...


@dataclass(frozen=True, slots=True)
class World:
    """The things outside that the loop changes."""

    registry: Registry
    target: Target
    jobs: Jobs
    notifier: Notifier
    outbox: Outbox
    severity_min: Severity = Severity.MINOR
    """Alerts below it stay in the journal."""
    shelf: Shelf | None = None
    """Keeps a snapshot of the journal's fold."""
    reader: LogReader | None = None
    """What recent requests carried: a version is tried on them before traffic goes back to it."""


ALIAS_LOOKS = 20
"""Aliases that were found right are compared with the registry again after so many ticks: somebody may have moved
one.
"""


@dataclass(slots=True)
class Memory:
    """What one process need not ask again at each tick. Empty is always right."""

    aliases: dict[str, int | None] | None = None
    """As last set or found."""
    looks: int = 0


@dataclass(slots=True)
class Converged:
    """What could not be done now; it is tried again at the next tick."""

    problems: list[str] = field(default_factory=list)

    def attempt(self, what: str, effect: Callable[[], None]) -> bool:
        try:
            effect()
        except (ExternalError, ConflictError, NotFoundError) as error:
            self.problems.append(f"{what}: {error}")
            return False
        return True


def converge(
    policy: Policy,
    status: Status,
    entries: list[Entry],
    world: World,
    memory: Memory | None = None,
    moved: Callable[[], None] = lambda: None,
) -> Converged:
    """Bring routes, packages, aliases, jobs and messages to what ``status`` says.

    Args:
        policy: how many versions stay warm.
        status: the fold of the whole journal.
        entries: the whole journal or at least all entries after the last one that was delivered.
        world: the adapters.
        memory: of earlier ticks of this process.
        moved: called once the routes are tended to, before what may take longer.
    """
    done = Converged()
    in_force = done.attempt("routes", lambda: _routes(policy, status, world))
    moved()
    if in_force:
        done.attempt("earlier versions", lambda: _earlier_versions(policy, status, world))
    training = status.training
    if training is not None:
        done.attempt(f"job {training.spec.job}", lambda: world.jobs.start(training.spec.job, job_spec(training)))
    done.attempt("aliases", lambda: _aliases(status, world.registry, memory or Memory()))
    done.attempt("messages", lambda: _messages(entries, world))
    return done


def job_spec(training: Training) -> dict[str, Any]:
    """What the job process reads: the spec of trimtab.training.spec, plain. An open quarantine ends at the
    decision's ``now``.
    """
    spec = asdict(training.spec)
    spec.pop("incident")
    spec["quarantines"] = [
        [since, until or training.started_at, list(f)] for since, until, f in training.spec.quarantines
    ]
    return {**spec, "now": training.started_at, "actor": "controller"}


def _routes(policy: Policy, status: Status, world: World) -> None:
    """Nothing but what the routes need comes before them: a rollback must not wait for a registry that is away."""
    wanted = routes_of(status)
    if wanted is None:
        return
    routes = replace(wanted, warm=tuple(v for v in warm_of(status, policy.keep) if v not in wanted.versions))
    for version in sorted(routes.versions):
        install(version, world.registry, world.target)
    now = world.target.routes()
    if now != routes or now.warm != routes.warm:
        _apply(routes, world.target)


def _earlier_versions(policy: Policy, status: Status, world: World) -> None:
    """The newest earlier champions stay warm; the rest go."""
    routes = routes_of(status)
    if routes is None:
        return
    warm = set(warm_of(status, policy.keep)) & set(status.versions)
    for version in sorted(warm):
        install(version, world.registry, world.target)
    for version in sorted(world.target.installed() - routes.versions - warm):
        _retire(version, world.target)


def _apply(routes: Routes, target: Target) -> None:
    """A version that another process removed between our install and now is a race, not a defect: look again."""
    try:
        target.apply(routes)
    except InvariantError as error:
        gone = sorted(routes.versions - target.installed())
        if not gone:
            raise
        raise ConflictError(f"somebody else removed version {', '.join(map(str, gone))}: look again") from error


def _retire(version: int, target: Target) -> None:
    """Somebody else may route to it by now, for a decision that we have not read yet."""
    try:
        target.retire(version)
    except InvariantError as error:
        routes = target.routes()
        if routes is None or version not in routes.versions:
            raise
        raise ConflictError(f"somebody else routes to version {version}: look again") from error


def install(version: int, registry: Registry, target: Target) -> None:
    """Copy a version from the registry to the servers, unless it is there."""
    if version in target.installed():
        return
    with TemporaryDirectory(prefix="trimtab-") as folder:
        target.install(version, registry.fetch(version, Path(folder) / str(version)))


def _aliases(status: Status, registry: Registry, memory: Memory) -> None:
    challenger = status.rollout.version if status.rollout is not None else None
    wanted = {"champion": status.champion, "challenger": challenger}
    memory.looks += 1
    if wanted == memory.aliases and memory.looks % ALIAS_LOOKS:
        return
    memory.aliases = None  # a call that fails half-way may have moved one
    current = registry.aliases()
    for alias, version in wanted.items():
        if current.get(alias) != version:
            registry.set_alias(alias, version)
    memory.aliases = wanted


def _messages(entries: list[Entry], world: World) -> None:
    delivered = world.outbox.delivered()
    for entry in entries:
        if entry.seq <= delivered:
            continue
        for index, data in enumerate(entry.actions):
            if data.get("type") != Alert.__name__:
                continue
            alert = decode(data)
            if isinstance(alert, Alert) and _ORDER.index(alert.severity) >= _ORDER.index(world.severity_min):
                world.notifier.send(Notice(f"{entry.seq}-{index}", alert.title, alert.body, alert.severity))
        world.outbox.deliver(entry.seq)
