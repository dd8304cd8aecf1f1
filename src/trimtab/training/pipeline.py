"""One training run, from the log to the registry, as small steps that hand each other values.

    collect -> load -> snapshot -> split -> fit -> evaluate -> baseline -> package -> gates -> register

The version that is registered is exactly the model that was evaluated: it is not fitted again on the evaluation rows,
since then nobody would have measured what is served.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trimtab.core.domain.errors import DataError
from trimtab.core.domain.gate import GateResult, gates_verdict
from trimtab.core.domain.verdict import Verdict
from trimtab.core.gates.metrics import Answers
from trimtab.ports import DataStore, DataVersion, LogReader, Registry
from trimtab.training import checks, history, select, snapshot, written
from trimtab.training.collect import collect
from trimtab.training.compete import Contest, compete, told
from trimtab.training.evaluate import encoded, estimator_answers, figures, positive_position
from trimtab.training.fit import build_estimator, class_values, features_frame, few_threads, fit, target_array
from trimtab.training.maturity import due_of
from trimtab.training.measure import PackageServer
from trimtab.training.provenance import CodeState, Git, code_state, environment
from trimtab.training.report import gate_dicts
from trimtab.training.spec import TrainSpec
from trimtab.training.summary import baseline_of, permutation_importance

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from trimtab.core.domain.gate import VersionRecord
    from trimtab.core.profiles.baseline import Baseline
    from trimtab.project.settings import Project
    from trimtab.serving.package import ClassValue
    from trimtab.training.compile import PackageResult

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


@dataclass(frozen=True, slots=True)
class Prepared:
    """The rows of a run, oldest first, and what they say."""

    table: pa.Table
    features: tuple[str, ...]
    frame: pd.DataFrame
    target: npt.NDArray[Any]
    truth: npt.NDArray[np.float64]
    """(n,) positions in ``classes``, or values."""
    at: npt.NDArray[np.float64]
    classes: tuple[ClassValue, ...] | None
    positive: int
    training: int
    """So many rows are trained on; the others are the evaluation rows."""
    rows: dict[str, int]
    spec: TrainSpec
    """As asked for; with `strategy: auto`, with the strategy that won."""
    contest: Contest | None = None

    @property
    def evaluation(self) -> slice:
        return slice(self.training, None)


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
    """Train, judge and register one version.

    Nothing is left half-made: what is written has the job's name and is replaced by the next run of the same job, and
    registering is idempotent by the job's name.

    Returns:
        ``{"outcome": "registered" | "rejected", "version", "record", "gates", "rows", "seconds", "error": None}``.
        ``rejected``: the version is in the registry with its verdict and is not deployable.

    Raises:
        UserError: data, settings or the estimator must be mended; nothing was registered.
        ExternalError: registry, store or disk failed; the same job can be run again.
    """
    watch = Stopwatch(progress)
    code = code_state(services.git)
    prepared = prepare(spec, services, watch)
    spec = prepared.spec
    with watch.step("snapshot", f"snapshot of {len(prepared.at):,} rows"):
        folder = snapshot.write_snapshot(services.root, spec.job, prepared.table, prepared.at)
        version = services.store.snapshot(folder)
    with watch.step("fit", f"fitting on {prepared.rows['training']:,} rows"):
        estimator = build_estimator(services.project, services.root, prepared.frame)
        training = prepared.frame.iloc[: prepared.training]
        with few_threads():
            fit(estimator, training, prepared.target[: prepared.training], services.root)
    with few_threads(), tempfile.TemporaryDirectory(prefix="trimtab-") as scratch:
        record, gates = _judge(spec, services, prepared, estimator, version, code, Path(scratch), watch)
    deployable = gates_verdict(record.gates) is Verdict.SUCCESSFUL
    return {
        "outcome": "registered" if deployable else "rejected",
        "version": record.version,
        "record": asdict(record),
        "gates": gate_dicts(gates),
        "rows": prepared.rows,
        "contest": None if prepared.contest is None else prepared.contest.record(),
        "seconds": {name: round(value, 4) for name, value in watch.seconds.items()},
        "error": None,
    }


def prepare(spec: TrainSpec, services: Services, watch: Stopwatch) -> Prepared:
    """The rows to train on and to evaluate on."""
    project, root = services.project, services.root
    parts: tuple[Path, ...] = ()
    if services.reader is not None and project.data.collect:
        with watch.step("collect", "collecting labelled rows of production"):
            found = collect(services.reader, root / "data" / "production", history.names_of(project.data))
            parts = found.parts
            if found.new or found.waiting:
                watch.progress(f"{found.new:,} rows are new, {found.waiting:,} wait for their label")
    with watch.step("load", "reading"):
        loaded = history.load_history(root, project, parts)
        for note in loaded.notes:
            watch.progress(note)
    return chosen_of(loaded, spec, project, root, watch)


def chosen_of(loaded: history.History, spec: TrainSpec, project: Project, root: Path, watch: Stopwatch) -> Prepared:
    """Of a history, the rows to train on and to evaluate on.

    Raises:
        DataError: too few are left.
        EstimatorError: the user's estimator fails in a competition of strategies.
    """
    maturity = project.data.label_maturity if project.data.label_time else None
    with watch.step("maturity", "when labels are due"), few_threads():
        due_s = due_of(loaded, project, spec.now)
    contest = None
    if spec.strategy == "auto":
        with watch.step("compete", "full history and a sliding window compete"):
            spec, contest = compete(spec, project, root, loaded, maturity, due_s)
        watch.progress(told(contest) if contest is not None else "too few rows for a window: full history")
    with watch.step("split", "choosing rows"):
        chosen = select.select(
            loaded.at,
            loaded.known_at,
            spec,
            evaluation_share=project.retraining.evaluation_share,
            label_maturity=maturity,
            due_s=due_s,
        )
        return _prepared(project, loaded, chosen, spec, contest)


def _prepared(
    project: Project, loaded: history.History, chosen: select.Selection, spec: TrainSpec, contest: Contest | None
) -> Prepared:
    as_it_is = np.array_equal(chosen.order, np.arange(loaded.table.num_rows))
    table = loaded.table if as_it_is else loaded.table.take(chosen.order).combine_chunks()
    name = project.data.target
    target = target_array(table, name)
    classes = tuple(class_values(table, name)) if project.task == "classification" else None
    positive = positive_of(project, target[: chosen.training], classes)
    rows = {
        "training": chosen.training,
        "evaluation": len(chosen.order) - chosen.training,
        "quarantined": chosen.quarantined,
        "immature": chosen.immature,
        "duplicates": loaded.duplicates,
        "unlabelled": loaded.unlabelled,
        "outside": chosen.outside,
    }
    return Prepared(
        table=table,
        features=loaded.features,
        frame=features_frame(table, loaded.features),
        target=target,
        truth=target.astype(np.float64) if classes is None else encoded(target, classes),
        at=loaded.at[chosen.order],
        classes=classes,
        positive=positive,
        training=chosen.training,
        rows=rows,
        spec=spec,
        contest=contest,
    )


def positive_of(project: Project, training: npt.NDArray[Any], classes: Sequence[ClassValue] | None) -> int:
    """Where the positive class stands; raises DataError where the target cannot be learnt."""
    name, rows = project.data.target, len(training)
    if classes is None:
        if training.min() == training.max():
            raise DataError(f"column '{name}' (data.target) is {training[0]:g} in all {rows:,} training rows")
        return 1
    seen = sorted(set(training.tolist()))
    if len(seen) < 2:
        raise DataError(
            f"column '{name}' (data.target) is '{seen[0]}' in all {rows:,} training rows; "
            "a classifier needs at least two classes to learn from"
        )
    wanted = project.data.positive
    matching = [value for value in classes if wanted is not None and str(value).lower() == str(wanted).lower()]
    if wanted is not None and not matching:
        found = ", ".join(map(str, classes[:10]))
        raise DataError(f"data.positive is '{wanted}', but the classes of '{name}' are {found}")
    return positive_position(classes, matching[0] if matching else None)


def _judge(
    spec: TrainSpec,
    services: Services,
    prepared: Prepared,
    estimator: Any,
    version: DataVersion,
    code: CodeState,
    scratch: Path,
    watch: Stopwatch,
) -> tuple[VersionRecord, tuple[GateResult, ...]]:
    """Evaluate, package, gate and register the fitted estimator."""
    held_out = prepared.frame.iloc[prepared.evaluation]
    truth = prepared.truth[prepared.evaluation]
    with watch.step("evaluate", f"evaluating on {prepared.rows['evaluation']:,} rows"):
        ours = estimator_answers(estimator, held_out, truth, prepared.classes, prepared.positive, services.root)
    with watch.step("baseline", "freezing the baseline"):
        frozen = frozen_baseline(services.project, services.root, prepared, estimator, held_out, ours)
        baseline = frozen.to_bytes()
    with watch.step("package", "packaging"):
        package = package_of(scratch / "package", services.project, prepared, estimator, held_out, baseline)
        watch.progress(f"runtime {package.runtime}: {package.reason}")
    with PackageServer(scratch / "package", scratch) as server:  # starts while the champion is compared
        with watch.step("compare", "comparing"):
            compared = checks.performance(spec, services, prepared, ours, scratch)
        with watch.step("latency", "measuring latency"):
            timed = checks.latency(services.project, server, prepared)
        with watch.step("gates", "checking"):
            same = checks.parity(services.project, package)
            gates = checks.all_gates(services.project, prepared, ours, same, compared, timed, server, scratch)
    for gate in gates:
        watch.progress(f"gate {gate.gate}: {gate.verdict.value}: {gate.text}")
    metrics = {"candidate": figures(ours), **compared.figures}
    with watch.step("register", "registering"):
        run_log = written.run_log(spec, services, prepared, version, code, package, gates, metrics, scratch, watch)
        return services.registry.register(run_log), gates


def frozen_baseline(
    project: Project, root: Path, prepared: Prepared, estimator: Any, held_out: pd.DataFrame, answers: Answers
) -> Baseline:
    """The frozen baseline of a fitted estimator."""
    truth = prepared.truth[prepared.evaluation]
    importance = permutation_importance(estimator, held_out, truth, prepared.classes, prepared.positive, root)
    known = None if prepared.classes is None else np.asarray(estimator.classes_).tolist()
    return baseline_of(
        prepared.table,
        prepared.features,
        prepared.at,
        prepared.training,
        answers,
        prepared.classes,
        known,
        project.monitoring.block,
        importance,
    )


def package_of(
    to: Path,
    project: Project,
    prepared: Prepared,
    estimator: Any,
    held_out: pd.DataFrame,
    baseline: bytes,
    requirements: str | None = None,
) -> PackageResult:
    """The fitted estimator as a sealed package in ``to``; ``requirements``: of this environment unless given."""
    from trimtab.training.compile import build_package

    two = prepared.classes is not None and len(prepared.classes) == 2
    return build_package(
        to,
        estimator=estimator,
        task=project.task,
        model=project.name,
        target=project.data.target,
        time=project.data.time,
        entity=project.data.entity,
        features=held_out,
        classes=None if prepared.classes is None else np.asarray(estimator.classes_).tolist(),
        positive=prepared.classes[prepared.positive] if two and prepared.classes else None,
        baseline=baseline,
        requirements=environment() if requirements is None else requirements,
        tolerance=project.gates.parity.tolerance,
    )
