"""The gates of a run: what each needs is measured here, the answer is given by the pure ``core.gates``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trimtab.core.domain.errors import DataError, ExternalError, NotFoundError
from trimtab.core.domain.gate import GateResult
from trimtab.core.domain.verdict import Verdict
from trimtab.core.gates import latency as latency_gate
from trimtab.core.gates import parity as parity_gate
from trimtab.core.gates.metrics import Answers
from trimtab.core.gates.performance import GATE as PERFORMANCE
from trimtab.core.gates.performance import Reference, performance_gate
from trimtab.training import guards
from trimtab.training.evaluate import constant_answers, figures, model_answers
from trimtab.training.leakage import leakage
from trimtab.training.measure import PackageServer

if TYPE_CHECKING:
    from trimtab.project.settings import Project
    from trimtab.training.compile import PackageResult
    from trimtab.training.pipeline import Services
    from trimtab.training.prepared import Prepared
    from trimtab.training.spec import TrainSpec

FAIRNESS_TABLE = "fairness.csv"


@dataclass(frozen=True, slots=True)
class Compared:
    """The performance gate's answer and the figures of what the candidate was compared with."""

    gate: GateResult
    reference: Reference
    """The champion; a constant answer where there is none, or where it cannot answer."""
    constant: Answers
    """What is reached without the features, on the evaluation rows."""
    figures: dict[str, dict[str, float]] = field(default_factory=dict)


def performance(spec: TrainSpec, services: Services, prepared: Prepared, ours: Answers, scratch: Path) -> Compared:
    """Against the champion on the same rows; against a constant answer where there is no champion."""
    project = services.project
    truth = prepared.truth[prepared.evaluation]
    constant = constant_answers(
        prepared.truth[: prepared.training], truth, prepared.classes, prepared.positive, project.metric
    )
    found = {"constant": figures(constant)}
    named = "the base rate" if project.task == "classification" else "the training rows' average"
    if spec.champion is None:
        trivial = Reference(named, constant, trivial=True)
        return Compared(_gate(project, ours, trivial), trivial, constant, found)
    try:
        reference = _champion(spec.champion, services, prepared, scratch)
    except (ExternalError, NotFoundError, DataError) as error:
        text = f"could not measure: champion v{spec.champion}: {error}"
        gate = GateResult(PERFORMANCE, Verdict.ERROR, text)
        return Compared(gate, Reference(named, constant, trivial=True), constant, found)
    found["champion"] = figures(reference.answers)
    if reference.answers.scores is None and project.metric in ("log_loss", "brier", "auroc"):
        text = f"could not measure: champion v{spec.champion} gives no scores, '{project.metric}' needs them"
        gate = GateResult(PERFORMANCE, Verdict.ERROR, text)
        return Compared(gate, Reference(named, constant, trivial=True), constant, found)
    return Compared(_gate(project, ours, reference), reference, constant, found)


def _gate(project: Project, ours: Answers, reference: Reference) -> GateResult:
    return performance_gate(
        ours,
        reference,
        metric=project.metric,
        allowance=project.allowance,
        rows_min=project.gates.performance.rows_min,
    )


def _champion(version: int, services: Services, prepared: Prepared, scratch: Path) -> Reference:
    """The champion's answers, from its registered package through the runtime that serves it."""
    from trimtab.serving.runtimes import load

    record = services.registry.get(version)
    package = services.registry.fetch(version, scratch / f"champion-{version}")
    rows = prepared.table.slice(prepared.training)
    truth = prepared.truth[prepared.evaluation]
    answers, lacking = model_answers(load(package), rows, truth, prepared.classes, prepared.positive)
    name = f"champion v{version}" + (f" (without its {', '.join(lacking)})" if lacking else "")
    unseen = None
    if record.trained_until is not None:
        unseen = prepared.at[prepared.evaluation] > record.trained_until
    return Reference(name, answers, unseen)


def latency(project: Project, server: PackageServer, prepared: Prepared) -> GateResult:
    """Single-row requests to a real server that serves the package alone."""
    limit_ms = project.gates.latency.p95_ms
    try:
        timed = server.measure(prepared.table.slice(prepared.training))
    except ExternalError as error:
        return latency_gate.unmeasured(str(error), limit_ms)
    return latency_gate.latency_gate(
        np.asarray(timed.samples_ms), limit_ms=limit_ms, failures=timed.failures, failure=timed.first_failure
    )


def parity(project: Project, package: PackageResult) -> GateResult:
    """What the packager found of the runtime that it took, on evaluation and hostile rows."""
    taken = package.parity[-1]
    unit = "score" if project.task == "classification" else "of the value"
    return parity_gate.parity_gate(
        difference=taken.largest if taken.passed else float("inf"),
        rows=taken.rows,
        tolerance=project.gates.parity.tolerance,
        runtime=package.runtime,
        unit=unit,
    )


def all_gates(
    project: Project,
    prepared: Prepared,
    ours: Answers,
    parity: GateResult,
    compared: Compared,
    timed: GateResult,
    server: PackageServer,
    scratch: Path,
) -> tuple[GateResult, ...]:
    """Every gate that applies, the performance gate first."""
    from trimtab.serving.runtimes import load

    found = guards.held(prepared, ours, compared.reference)
    constant = compared.constant
    if len(found.ours.truth) != len(constant.truth) and compared.reference.unseen is not None:
        constant = guards.take(constant, compared.reference.unseen)
    if table := guards.fairness_table(project, found):
        (scratch / FAIRNESS_TABLE).write_text(table, encoding="utf-8")
    others = guards.guards(project, found, server, load(scratch / "package"), constant)
    return (compared.gate, timed, parity, leakage(project, prepared, ours), *others)
