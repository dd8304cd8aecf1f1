"""Versions of a drill: really fitted by the project's own estimator, judged by the gates, with a frozen baseline.

They stay in this process and are not packaged, so what is measured on a package (latency, memory, parity, missing
inputs) is not asked; all other gates answer as in `trimtab train`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from trimtab.core.domain.errors import EstimatorError, TrimtabError
from trimtab.core.domain.gate import GateResult, gates_verdict
from trimtab.core.domain.verdict import Verdict
from trimtab.core.gates import calibration, churn
from trimtab.core.gates.metrics import Answers
from trimtab.core.gates.performance import Reference, performance_gate
from trimtab.logs import TIME
from trimtab.ports import RunLog
from trimtab.replay.drill.ground import Floats, Ground
from trimtab.replay.drill.tape import Tape
from trimtab.replay.fakes import MemoryJobs, MemoryRegistry
from trimtab.training import guards
from trimtab.training.evaluate import align, constant_answers, estimator_answers, figures
from trimtab.training.fit import build_estimator, few_threads, fit, user_code
from trimtab.training.history import History, first_of_each
from trimtab.training.leakage import leakage
from trimtab.training.made import frozen_baseline
from trimtab.training.pipeline import Stopwatch
from trimtab.training.prepared import Prepared, chosen_of
from trimtab.training.spec import TrainSpec, from_json
from trimtab.training.summary import permutation_importance

if TYPE_CHECKING:
    import pandas as pd

    from trimtab.core.domain.gate import VersionRecord
    from trimtab.core.profiles.baseline import Baseline

Skew = Callable[["pd.DataFrame"], "pd.DataFrame"]


@dataclass(slots=True, eq=False)
class Trained:
    """A fitted version."""

    record: VersionRecord
    estimator: Any
    baseline: Baseline
    skew: Skew | None = None
    """What the features look like where this version is served, unlike in training."""
    failing: float = 0.0
    """Share of requests that it answers with an error."""
    _answers: dict[Tape, Floats] = field(default_factory=dict)

    def answers(self, ground: Ground, tape: Tape) -> Floats:
        """(n, classes) scores of all rows of a tape, in the order of the history's classes; (n, 1) values; NaN where
        the model fails.
        """
        if tape not in self._answers:
            features = tape.frame[list(ground.features)]
            self._answers[tape] = self._scored(ground, features if self.skew is None else self.skew(features))
        return self._answers[tape]

    def _scored(self, ground: Ground, features: pd.DataFrame) -> Floats:
        """Where the whole fails, in halves: one bad value must not take a thousand rows with it."""
        width = 1 if ground.classes is None else len(ground.classes)
        if not len(features):
            return np.empty((0, width))
        try:
            with user_code(ground.root, type(self.estimator).__name__):
                if ground.classes is None:
                    return np.asarray(self.estimator.predict(features), dtype=np.float64)[:, None]
                scores = np.asarray(self.estimator.predict_proba(features), dtype=np.float64)
            return align(scores, np.asarray(self.estimator.classes_).tolist(), ground.classes)
        except EstimatorError:
            if len(features) == 1:
                return np.full((1, width), np.nan)
            half = len(features) // 2
            return np.concatenate([self._scored(ground, features[:half]), self._scored(ground, features[half:])])


@dataclass(slots=True, eq=False)
class Workshop:
    """Trains on what is known; every version that was made stands in ``versions``."""

    ground: Ground
    registry: MemoryRegistry = field(default_factory=lambda: MemoryRegistry(disk=False))
    versions: dict[int, Trained] = field(default_factory=dict)

    def first(self, reference: Tape, ready: Trained | None = None) -> Trained:
        """Version 1; fitted before where ``ready`` is given."""
        if ready is None:
            now = self.ground.onset_s
            return self._train(TrainSpec("t0", "manual", now, actor="drill"), [(reference, slice(None))])
        record = self.registry.register(_run_log("t0", ready.record))
        self.versions[record.version] = made = Trained(record, ready.estimator, ready.baseline)
        return made

    def run(self, spec: dict[str, Any], rows: Iterable[tuple[Tape, slice]]) -> dict[str, Any]:
        """A training job: its result, as ``trimtab.training.job`` writes it."""
        try:
            record = self._train(from_json(spec), rows).record
        except TrimtabError as error:
            return {"outcome": "failed", "record": None, "error": str(error)}
        outcome = "registered" if record.verdict is Verdict.SUCCESSFUL else "rejected"
        return {"outcome": outcome, "record": asdict(record), "error": None}

    def _train(self, spec: TrainSpec, rows: Iterable[tuple[Tape, slice]]) -> Trained:
        ground, project = self.ground, self.ground.project
        watch = Stopwatch(lambda _: None)
        prepared = chosen_of(history_of(ground, rows), spec, project, ground.root, None, watch)
        estimator = build_estimator(project, ground.root, prepared.frame)
        held_out = prepared.frame.iloc[prepared.evaluation]
        truth = prepared.truth[prepared.evaluation]
        with few_threads():
            fit(estimator, prepared.frame.iloc[: prepared.training], prepared.target[: prepared.training], ground.root)
            ours = estimator_answers(estimator, held_out, truth, prepared.classes, prepared.positive, ground.root)
            gates = self._gates(prepared, ours, spec.champion)
            importance = permutation_importance(
                estimator, held_out, truth, prepared.classes, prepared.positive, ground.root
            )
            known = None if prepared.classes is None else np.asarray(estimator.classes_).tolist()
            baseline = frozen_baseline(project, prepared, prepared.features, ours, known, importance)
        record = self.registry.register(_log_of(spec, prepared, gates, ours))
        self.versions[record.version] = made = Trained(record, estimator, baseline)
        return made

    def _gates(self, prepared: Prepared, ours: Answers, champion: int | None) -> tuple[GateResult, ...]:
        project = self.ground.project
        truth = prepared.truth[prepared.evaluation]
        trained = prepared.truth[: prepared.training]
        reference = Reference(
            "the base rate",
            constant_answers(trained, truth, prepared.classes, prepared.positive, project.metric),
            trivial=True,
        )
        if champion is not None:
            theirs = self.versions[champion]
            held_out = prepared.frame.iloc[prepared.evaluation]
            answers = estimator_answers(
                theirs.estimator, held_out, truth, prepared.classes, prepared.positive, self.ground.root
            )
            unseen = prepared.at[prepared.evaluation] > (theirs.record.trained_until or -np.inf)
            reference = Reference(f"champion v{champion}", answers, unseen)
        found = guards.held(prepared, ours, reference)
        settings = project.gates
        out = [
            performance_gate(
                ours,
                reference,
                metric=project.metric,
                allowance=project.allowance,
                rows_min=settings.performance.rows_min,
            ),
            leakage(project, prepared, ours),
        ]
        if project.data.slices:
            out.append(guards.slices_of(project, found))
        if settings.fairness.columns:
            out.append(guards.fairness_of(project, found))
        if found.ours.scores is not None:
            limit = settings.calibration.limit
            out.append(calibration.calibration_gate(found.ours, found.champion, limit=limit, name=reference.name))
        if found.champion is not None:
            out.append(churn.churn_gate(found.ours, found.champion, limit=settings.churn.limit, name=reference.name))
        return tuple(out)


@dataclass(slots=True, eq=False)
class WorkshopJobs(MemoryJobs):
    """The ``Jobs`` port: a training run is done where it is started, in no simulated time."""

    workshop: Workshop
    rows: Callable[[], list[tuple[Tape, slice]]]
    """What may be learnt from: the reference and all rows that were answered."""

    def __post_init__(self) -> None:
        MemoryJobs.__init__(self)

    def start(self, job: str, spec: dict[str, Any]) -> None:
        known = job in self.specs
        MemoryJobs.start(self, job, spec)
        if not known:
            self.finish(job, self.workshop.run({**self.specs[job], "job": job}, self.rows()))


def history_of(ground: Ground, rows: Iterable[tuple[Tape, slice]]) -> History:
    """Rows with the labels that were told, as the pipeline reads them; a repeated row counts once."""
    data = ground.project.data
    tables, at, known, told = [], [], [], []
    for tape, some in rows:
        tables.append(tape.table.slice(some.start or 0, len(tape.at[some])))
        at.append(tape.at[some])
        known.append(tape.known_at[some])
        told.append(tape.told[some])
    times = np.concatenate(at)
    table = pa.concat_tables(tables)
    table = table.append_column(data.target, ground.target_column(np.concatenate(told)))
    table = table.append_column(data.time, stamps(times))
    if data.label_time is not None:
        table = table.append_column(data.label_time, stamps(np.concatenate(known)))
    first = first_of_each(table)
    return History(
        table=table.filter(pa.array(first)).combine_chunks(),
        features=ground.features,
        at=times[first],
        known_at=np.concatenate(known)[first],
        duplicates=int((~first).sum()),
        unlabelled=0,
    )


def stamps(at: Floats) -> pa.Array:
    """Seconds as timestamps of the log."""
    return pa.array((at * 1e6).round().astype("int64")).cast(TIME)


def _log_of(spec: TrainSpec, prepared: Prepared, gates: tuple[GateResult, ...], ours: Answers) -> RunLog:
    return RunLog(
        name=spec.job,
        created_at=spec.now,
        parameters={},
        metrics=figures(ours),
        tags={"job": spec.job, "strategy": prepared.spec.strategy, "trigger": spec.trigger},
        artifacts=(),
        package=Path(spec.job),
        verdict=gates_verdict(gates),
        gates=gates,
        record={
            "compared_to": spec.champion,
            "trained_from": float(prepared.at[0]),
            "trained_until": float(prepared.at[prepared.training - 1]),
        },
    )


def _run_log(job: str, like: VersionRecord) -> RunLog:
    return RunLog(
        name=job,
        created_at=like.created_at,
        parameters={},
        metrics=dict(like.metrics),
        tags={"job": job, "strategy": like.strategy},
        artifacts=(),
        package=Path(job),
        verdict=like.verdict,
        gates=like.gates,
        record={"trained_from": like.trained_from, "trained_until": like.trained_until},
    )
