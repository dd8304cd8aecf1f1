"""One training run, from the log to the registry, as small steps that hand each other values.

    collect -> load -> snapshot -> split -> fit -> evaluate -> baseline -> package -> gates -> register

The version that is registered is exactly the model that was evaluated: it is not fitted again on the evaluation rows,
since then nobody would have measured what is served.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from trimtab.core.domain.errors import DataError
from trimtab.core.domain.gate import GateResult, gates_verdict
from trimtab.core.domain.verdict import Verdict
from trimtab.ports import DataStore, DataVersion, LogReader, Registry, Runs
from trimtab.training import checks, kept, snapshot, written
from trimtab.training.continuing import obstacle
from trimtab.training.evaluate import figures
from trimtab.training.fit import few_threads
from trimtab.training.making import make
from trimtab.training.measure import PackageServer
from trimtab.training.parents import RegistryParents, resolved
from trimtab.training.prepared import Prepared, prepare
from trimtab.training.provenance import CodeState, Git, code_state
from trimtab.training.report import gate_dicts
from trimtab.training.spec import TrainSpec
from trimtab.training.strategy import check_strategy, keeps_estimator

if TYPE_CHECKING:
    from trimtab.core.domain.gate import VersionRecord
    from trimtab.project.settings import Project
    from trimtab.training.made import Made

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Services:
    """What a run works with."""

    project: Project
    root: Path
    """Of the project: where ``trimtab.yaml`` stands."""
    registry: Registry
    store: DataStore
    reader: LogReader | None = None
    """The prediction log; None trains on the files alone."""
    project_file: Path | None = None
    """Logged with the run as it stands."""
    git: Git | None = None
    """The user's working tree; None records no code state."""
    runs: Runs | None = None
    """Where the fitted estimators of earlier runs are kept; None: nothing can be continued."""


@dataclass(slots=True)
class Stopwatch:
    """Seconds of each step; says the step's name when it begins."""

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str, words: str) -> Iterator[None]:
        self.progress(words)
        start = perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - start


def run(spec: TrainSpec, services: Services, progress: Progress = lambda _: None) -> dict[str, Any]:
    """Train, judge and register one version; with ``spec.retained``, its blend with those versions too.

    Nothing is left half-made: what is written has the job's name and is replaced by the next run of the same job, and
    registering is idempotent by the job's name.

    Returns:
        ``{"outcome": "registered" | "rejected", "version", "record", "others", "gates", "rows", "seconds",
        "error": None}``. ``rejected``: the version is in the registry with its verdict and is not deployable.
        ``others``: records of what was registered beside it and is not meant to be deployed.

    Raises:
        UserError: data, settings or the estimator must be mended; nothing was registered.
        ExternalError: registry, store or disk failed; the same job can be run again.
    """
    result = _one(spec, services, progress)
    if not spec.retained or result["outcome"] != "registered" or spec.strategy in ("recalibrate", "blend"):
        return result
    members = (result["version"], *spec.retained)
    asked = replace(
        spec,
        job=f"{spec.job}-blend",
        strategy="blend",
        members=members,
        retained=(),
        window_s=None,
        since=None,
        parent=None,
        evaluate_from=None,
    )
    try:
        blend = _one(asked, services, progress)
    except DataError as error:
        progress(f"not blended: {error}")
        return result | {"blend": f"not blended: {error}"}
    told = f"blended with {', '.join(f'v{version}' for version in spec.retained)}: version {blend['version']}"
    progress(told)
    if blend["outcome"] != "registered":
        return result | {"others": [blend["record"]], "blend": f"{told}, which did not pass its gates"}
    return blend | {"others": [result["record"]], "blend": told}


def _one(spec: TrainSpec, services: Services, progress: Progress) -> dict[str, Any]:
    """One version."""
    watch = Stopwatch(progress)
    code = code_state(services.git)
    check_strategy(services.project, services.root, spec.strategy)
    with tempfile.TemporaryDirectory(prefix="trimtab-") as folder:
        scratch = Path(folder)
        parents = RegistryParents(services.registry, services.runs, scratch / "parents")
        spec = resolved(spec, services.registry, progress)
        prepared = prepare(spec, services, parents, watch)
        spec = prepared.spec
        with watch.step("snapshot", f"snapshot of {len(prepared.at):,} rows"):
            rows = snapshot.write_snapshot(services.root, spec.job, prepared.table, prepared.at)
            version = services.store.snapshot(rows)
        with watch.step("fit", f"{_DOING.get(spec.strategy, 'fitting')} on {prepared.rows['training']:,} rows"):
            made = make(services.project, services.root, prepared, parents)
            if made.text:
                progress(made.text)
        with few_threads():
            record, gates = _judge(spec, services, prepared, made, version, code, scratch, watch)
    deployable = gates_verdict(record.gates) is Verdict.SUCCESSFUL
    return {
        "outcome": "registered" if deployable else "rejected",
        "version": record.version,
        "record": asdict(record),
        "others": [],
        "gates": gate_dicts(gates),
        "rows": prepared.rows,
        "contest": None if prepared.contest is None else prepared.contest.record(),
        "seconds": {name: round(value, 4) for name, value in watch.seconds.items()},
        "error": None,
    }


_DOING = {"incremental": "learning on", "recalibrate": "recalibrating", "blend": "weighing"}


def _judge(
    spec: TrainSpec,
    services: Services,
    prepared: Prepared,
    made: Made,
    version: DataVersion,
    code: CodeState,
    scratch: Path,
    watch: Stopwatch,
) -> tuple[VersionRecord, tuple[GateResult, ...]]:
    """Package, gate and register the candidate."""
    with watch.step("baseline", "freezing the baseline"):
        baseline = made.baseline()
    with watch.step("package", "packaging"):
        package = made.package(scratch / "package", baseline, None)
        watch.progress(f"runtime {package.runtime}: {package.reason}")
    with PackageServer(scratch / "package", scratch) as server:  # starts while the champion is compared
        with watch.step("compare", "comparing"):
            compared = checks.performance(spec, services, prepared, made.answers, scratch)
        with watch.step("latency", "measuring latency"):
            timed = checks.latency(services.project, server, prepared)
        with watch.step("gates", "checking"):
            same = checks.parity(services.project, package)
            gates = checks.all_gates(services.project, prepared, made.answers, same, compared, timed, server, scratch)
    for gate in gates:
        watch.progress(f"gate {gate.gate}: {gate.verdict.value}: {gate.text}")
    metrics = {"candidate": figures(made.answers), **compared.figures}
    with watch.step("register", "registering"):
        digest = _keep(services.project, made, scratch)
        run_log = written.run_log(
            spec, services, prepared, made, digest, version, code, package, gates, metrics, scratch, watch
        )
        return services.registry.register(run_log), gates


def _keep(project: Project, made: Made, scratch: Path) -> str | None:
    """Keep the fitted estimator where later runs may learn on from it; its digest."""
    if made.estimator is None or not keeps_estimator(project) or obstacle(made.estimator) is not None:
        return None
    return kept.keep(scratch / kept.FOLDER, made.estimator, project.estimator.model_dump(mode="json"))
