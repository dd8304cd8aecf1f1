"""The composition root: the only module that names an adapter.

``open_workspace`` finds the project and hands out its ports, each made when first asked for, so that a command pays
only for what it uses.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trimtab.core.decide.policy import Mode, Policy, RetrainPolicy
from trimtab.core.domain.errors import ExternalError, InvariantError, NotFoundError
from trimtab.core.domain.journal import Query
from trimtab.core.domain.verdict import Severity
from trimtab.core.profiles.pairs import ERROR_CAP
from trimtab.core.rollout.plan import Guardrails, RolloutPlan
from trimtab.ports import Clock, DataStore, Jobs, Journal, LogReader, Notifier, Registry, Runs, Target

if TYPE_CHECKING:
    import pyarrow as pa

    from trimtab.adapters.process.server import ServerProcess
    from trimtab.controller.converge import World
    from trimtab.controller.desk import View
    from trimtab.controller.loop import Loop, Tick
    from trimtab.controller.observe import Champion, Observer
    from trimtab.controller.observe import Settings as Watching
    from trimtab.controller.payoff import Payoff
    from trimtab.project.settings import Project
    from trimtab.training.pipeline import Services

STATE = ".trimtab"


def whole_log(logs: Path) -> tuple[pa.Table, pa.Table]:
    """All predictions of a log directory, and the first label of each.

    Raises:
        NotFoundError: there is no log.
        ExternalError: a file cannot be read; the text names it.
    """
    from trimtab.adapters.files import ParquetLogReader

    if not (logs / "predictions").is_dir():
        raise NotFoundError(f"{logs} is no log directory: it has no folder 'predictions'")
    piece = ParquetLogReader(logs).read(frozenset(), limit=sys.maxsize)
    return piece.predictions, piece.labels


def notifier_of(urls: Sequence[str]) -> Notifier:
    """Where messages go that no project's settings name."""
    from trimtab.adapters.notify import AppriseNotifier

    return AppriseNotifier(urls)


ForeignFormat = Literal["kserve", "seldon", "sagemaker", "table"]


def import_foreign(
    format_: ForeignFormat,
    sources: Sequence[Path],
    into: Path,
    *,
    columns: tuple[str, ...] = (),
    classes: tuple[str, ...] = (),
    regression: bool = False,
    event_time: str | None = None,
    mapping: dict[str, Any] | None = None,
    version: int = 1,
    labels: tuple[Path, str, str, str | None] | None = None,
    now: float = 0.0,
) -> dict[str, Any]:
    """Prediction logs of other servers become a log directory; see ``trimtab.adapters.foreign``.

    Returns:
        What was done: rows, repeated, files, unchanged, waiting, ignored, labels, repeated_labels, columns, classes.
    """
    from dataclasses import asdict

    from trimtab.adapters.foreign import Labels, Source, import_log
    from trimtab.adapters.foreign.tables import Mapping

    source = Source(
        format_,
        tuple(sources),
        columns,
        classes,
        regression,
        event_time,
        Mapping(**mapping) if mapping is not None else None,
        version,
    )
    return asdict(import_log(source, into, Labels(*labels) if labels is not None else None, now).tally)


def open_workspace(start: Path, clock: Clock | None = None) -> Workspace:
    """The project that ``start`` (a directory in it, or its project file) belongs to.

    Raises:
        NotFoundError: no trimtab.yaml there or above.
        ConfigError: everything that is wrong in it.
    """
    from trimtab.project.load import find_project, load

    path = start if start.is_file() else find_project(start)
    return Workspace(path.resolve().parent, load(path), path.resolve(), clock)


def initialise_data_versions(root: Path) -> None:
    """Make ``root`` a place where data can be versioned, unless it is one.

    Raises:
        ExternalError: the disk refused.
    """
    from trimtab.adapters.dvc import DvcStore

    DvcStore(root).ensure_initialised()


def note_job(home: Path) -> None:
    """Called by the process of the job in ``home``: it says who it is, and what it needs for a while goes to
    ``home/scratch``, which is removed when it has ended, however it does.

    Raises:
        ExternalError: the disk refused.
    """
    import tempfile

    from trimtab.adapters.process import note_pid
    from trimtab.adapters.process.jobs import SCRATCH

    note_pid(home)
    (home / SCRATCH).mkdir(exist_ok=True)
    tempfile.tempdir = str(home / SCRATCH)


def policy_of(project: Project) -> Policy:
    """The project file as the core sees it."""
    rollout, retraining = project.rollout, project.retraining
    limits = rollout.guardrails
    guardrails = Guardrails(
        error_rate_max=limits.error_rate,
        latency_p95_ms_max=limits.p95_ms,
        invalid_rate_max=limits.invalid_rate,
        rate_margin=limits.rate_margin,
    )
    plan = RolloutPlan(
        strategy=rollout.strategy,
        steps=rollout.steps,
        bake_s=rollout.bake,
        requests_min=rollout.requests_min,
        labels_min=rollout.labels_min,
        alpha=rollout.alpha,
        margin=rollout.margin if project.task == "classification" else rollout.margin / ERROR_CAP,
        disagreement_max=rollout.disagreement_max,
        score_shift_max=_shift_max(rollout.score_shift_max, project.task),
        longest_s=rollout.longest,
        on_longest=rollout.on_longest,
        guardrails=guardrails,
        paired=rollout.paired,
        block_s=project.monitoring.block,
        watch_s=rollout.watch,
    )
    retrain = RetrainPolicy(
        on_drift="drift" in retraining.on,
        on_payoff="payoff" in retraining.on,
        every_s=retraining.every if "schedule" in retraining.on else None,
        cooldown_s=retraining.cooldown,
        budget=retraining.budget,
        breaker=retraining.breaker,
        strategy=retraining.strategy,
        window_s=retraining.window,
        blend=retraining.blend,
    )
    return Policy(Mode(project.response.mode), plan, retrain, rollout.keep, project.monitoring.block)


def _shift_max(limit: float | None, task: str) -> float | None:
    """In the core's units: of the score, or of ``ERROR_CAP`` mean absolute errors."""
    return limit if limit is None or task == "classification" else limit / ERROR_CAP


class Workspace:
    """The ports of one project. Attributes are made on first use; nothing is opened before."""

    def __init__(self, root: Path, project: Project, project_file: Path, clock: Clock | None = None) -> None:
        self.root = root
        self.project = project
        self.project_file = project_file
        self._clock = clock

    @property
    def name(self) -> str:
        return self.project.name

    @cached_property
    def state(self) -> Path:
        """The folder of everything that Trimtab keeps for itself."""
        folder = self.root / STATE
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def deployment(self) -> Path:
        """What the servers read."""
        return self.state / "deployment"

    @property
    def logs(self) -> Path:
        """What the servers write."""
        return self.state / "logs"

    @cached_property
    def policy(self) -> Policy:
        return policy_of(self.project)

    @cached_property
    def clock(self) -> Clock:
        from trimtab.adapters.system import SystemClock

        if self._clock is not None:
            return self._clock
        return LogClock(self) if self.project.clock == "event" else SystemClock()

    @cached_property
    def journal(self) -> Journal:
        from trimtab.adapters.sql import SqlJournal
        from trimtab.project.environment import environment, journal_url

        url = journal_url(self.project, environment(), self.project_file.name)
        return SqlJournal(url or self.state / "journal.db")

    @cached_property
    def registry(self) -> Registry:
        from trimtab.adapters.mlflow import MlflowRegistry

        tracking = self.project.tracking
        return MlflowRegistry(
            tracking.uri or f"sqlite:///{self.state / 'mlflow.db'}",
            self.state / "artifacts",
            tracking.experiment or self.name,
            self.name,
        )

    @property
    def runs(self) -> Runs:
        """Runs and their files, in the same tracking store as the registry."""
        from trimtab.adapters.mlflow import MlflowRegistry

        registry = self.registry
        if not isinstance(registry, MlflowRegistry):
            raise InvariantError(f"{type(registry).__name__} keeps no runs")
        return registry

    @cached_property
    def store(self) -> DataStore:
        from trimtab.adapters.dvc import DvcStore

        return DvcStore(self.root)

    @cached_property
    def target(self) -> Target:
        from trimtab.adapters.files import DirectoryTarget

        return DirectoryTarget(self.deployment)

    @cached_property
    def reader(self) -> LogReader:
        from trimtab.adapters.files import ParquetLogReader

        return ParquetLogReader(self.logs, profiles=self._by_profiles, marks=self._bounded_log)

    @cached_property
    def jobs(self) -> Jobs:
        from trimtab.adapters.process import ProcessJobs

        command = [sys.executable, "-m", "trimtab.cli.job", str(self.project_file)]
        limit_s = self.project.retraining.time_limit
        return ProcessJobs(self.state / "jobs", command, time_limit_s=limit_s, retries=1)

    @cached_property
    def notifier(self) -> Notifier:
        from trimtab.adapters.notify import AppriseNotifier, LogNotifier
        from trimtab.project.environment import environment, notification_urls

        urls = notification_urls(self.project, environment(), self.project_file.name)
        return AppriseNotifier(urls) if urls else LogNotifier(self.state / "alerts.jsonl")

    def check(self) -> None:
        """Find out now what would fail only once something is to be told.

        Raises:
            UserError: a notification URL, or a variable in it, is not what it must be.
        """
        _ = self.notifier

    @cached_property
    def view(self) -> View:
        from trimtab.adapters.files.state import FileView

        return FileView(self.state / "view.json")

    @cached_property
    def world(self) -> World:
        from trimtab.adapters.files.state import FileOutbox, FileShelf
        from trimtab.controller.converge import World

        return World(
            registry=self.registry,
            target=self.target,
            jobs=self.jobs,
            notifier=self.notifier,
            outbox=FileOutbox(self.state / "delivered"),
            severity_min=Severity(self.project.notification.severity)
            if self.project.notification.urls
            else Severity.MINOR,
            reader=self.reader,
            shelf=FileShelf(self.state / "status.snapshot"),
        )

    def champion(self, version: int) -> Champion:
        """What the observer must know of an installed version: its frozen baseline.

        Raises:
            ExternalError: it is not installed yet, or cannot be read.
        """
        from trimtab.controller.observe import Champion
        from trimtab.core.profiles.baseline import Baseline
        from trimtab.serving.package import BASELINE

        path = self.deployment / "versions" / str(version) / BASELINE
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise ExternalError(f"version {version} is decided upon and not installed yet: no {path}") from None
        except OSError as error:
            raise ExternalError(f"{path} cannot be read: {error.strerror or error}") from error
        return Champion(version, Baseline.from_bytes(content))

    @property
    def _by_profiles(self) -> bool:
        """Whether the logged rows are not the whole traffic as it was."""
        log = self.project.serving.log
        return not log.rows or log.sample < 1 or bool(log.hash or log.omit)

    @property
    def _bounded_log(self) -> bool:
        """Whether servers delete old files of the log."""
        log = self.project.serving.log
        return any(bound is not None for bound in (log.age, log.size, log.size_hard))

    @property
    def watching(self) -> Watching:
        """How the log is cut and judged."""
        from trimtab.controller.observe import Settings

        monitoring = self.project.monitoring
        return Settings(
            event_clock=self.project.clock == "event",
            block_s=monitoring.block,
            alpha=monitoring.alpha,
            tolerance=monitoring.tolerance,
            rows_min=monitoring.rows_min,
            from_profiles=self._by_profiles,
        )

    def _payoff(self) -> Payoff | None:
        """Measures what a training run is worth, where the project goes by it."""
        from trimtab.controller.payoff import Payoff, PayoffPlan
        from trimtab.core.policy import PayoffSettings

        retraining = self.project.retraining
        if "payoff" not in retraining.on:
            return None
        return Payoff(
            self.jobs, PayoffPlan(PayoffSettings(price=retraining.price), retraining.block, retraining.window)
        )

    @cached_property
    def observer(self) -> Observer:
        from trimtab.controller.observe import Observer

        return Observer(self.reader, self.jobs, self.target, self.champion, self.watching, self._payoff())

    def loop(self) -> Loop:
        """The controller's loop over these ports, with nothing remembered: the log is read from its beginning."""
        from trimtab.controller.loop import Loop

        self.__dict__.pop("observer", None)
        return Loop(self.policy, self.journal, self.clock, self.observer, self.world)

    def server(self) -> ServerProcess:
        """The model server as a process of this machine, by the project's settings."""
        from trimtab.adapters.process.server import ServerProcess
        from trimtab.project.environment import environment
        from trimtab.project.recording import log_settings
        from trimtab.serving.record.settings import log_text

        serving = self.project.serving
        return ServerProcess(
            deployment=self.deployment,
            logs=self.logs,
            host=serving.host,
            port=serving.port,
            workers=serving.workers,
            flush_s=serving.flush,
            durability=serving.durability,
            log=log_text(log_settings(self.project, self.root, environment())),
            output=self.state / "server.log",
        )

    def alone(self) -> AbstractContextManager[None]:
        """Held by the one ``trimtab up`` of this project on this machine.

        Raises (when entered):
            RefusedError: there is another.
        """
        from trimtab.adapters.process.single import only_one

        return only_one(self.state / "up.lock", "trimtab up")

    def up(self, stop: Callable[[], bool], tell: Callable[[Tick], None]) -> None:
        """Server and controller together until ``stop()`` says so; ``tell`` is called after each tick that did
        something.
        """
        from trimtab.controller.runner import run

        self._announce_readers()
        with self.server() as server:
            run(
                self.loop,
                self.view,
                every_s=self.project.monitoring.every,
                stop=stop,
                tell=tell,
                mind=server.ensure,
            )

    def _announce_readers(self) -> None:
        """Old files of the log are kept until the controller and the collection for training have read them."""
        from trimtab.serving.record.retention import MARKS, remove_mark

        wanted = {"controller": True, "collector": self.project.data.collect}
        for reader, wants in wanted.items():
            if not wants or not self._bounded_log:
                remove_mark(self.logs, reader)
            elif not (self.logs / MARKS / f"{reader}.json").exists():
                self.reader.mark(reader, frozenset())

    def services(self) -> Services:
        """What the training pipeline works with."""
        from trimtab.adapters.git import Git
        from trimtab.training.pipeline import Services

        return Services(
            project=self.project,
            root=self.root,
            project_file=self.project_file,
            registry=self.registry,
            store=self.store,
            reader=self.reader,
            git=Git(self.root),
            runs=self.runs,
        )


class LogClock:
    """The clock of a replay: the newest event time that the controller has seen, never running back."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def now(self) -> float:
        """Seconds since the epoch in the time of the data.

        Raises:
            ExternalError: the view cannot be read.
        """
        seen: dict[str, Any] = self._workspace.view.load() or {}
        observed = self._workspace.observer.event_time or 0.0
        journal = self._workspace.journal
        entries = journal.find(Query(limit=1, newest=True))
        journalled = entries[-1].at if entries else 0.0
        return max(float(seen.get("now", 0.0)), observed, journalled)
