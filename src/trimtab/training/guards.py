"""What the guarding gates are told of a run: slices, groups, memory, calibration, regressions, missing inputs.

Measured here, judged by the core. Candidate and champion are looked at on the rows that neither was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trimtab.core.domain.errors import DataError, ExternalError
from trimtab.core.domain.gate import GateResult
from trimtab.core.domain.verdict import Verdict
from trimtab.core.gates import calibration, churn, fairness, memory, missing, slices
from trimtab.core.gates.metrics import LABELS, Answers, row_losses
from trimtab.training.evaluate import model_answers

if TYPE_CHECKING:
    from trimtab.core.gates.performance import Reference
    from trimtab.project.settings import Project
    from trimtab.serving.runtimes import Model
    from trimtab.training.measure import PackageServer
    from trimtab.training.prepared import Prepared

MISSING_ROWS = 500
SLICES_MAX = 200
"""Most values of a column that are looked at one by one; the largest."""


@dataclass(frozen=True, slots=True)
class Held:
    """Candidate and what it is held against, on the evaluation rows that count."""

    rows: pa.Table
    ours: Answers
    reference: Reference
    """On the same rows; its ``unseen`` is applied already."""
    classes: Sequence[Any] | None
    """All classes of the run, in the order of the scores."""

    @property
    def champion(self) -> Answers | None:
        """The champion's answers; None where a constant stands in."""
        return None if self.reference.trivial else self.reference.answers


def held(prepared: Prepared, ours: Answers, reference: Reference) -> Held:
    """Leave out the rows that the reference was trained on, where any others are left."""
    rows = prepared.table.slice(prepared.training)
    unseen = reference.unseen
    if unseen is None or unseen.all() or not unseen.any():
        return Held(rows, ours, reference, prepared.classes)
    theirs = type(reference)(reference.name, take(reference.answers, unseen), None, reference.trivial)
    return Held(rows.filter(pa.array(unseen)), take(ours, unseen), theirs, prepared.classes)


def guards(project: Project, found: Held, server: PackageServer, model: Model, constant: Answers) -> list[GateResult]:
    """All guards that apply, in the order in which they are told.

    Args:
        project: the settings.
        found: candidate and reference.
        server: serves the candidate's package and has answered requests.
        model: the candidate's package, loaded.
        constant: answers of the base rate or average on ``found.rows``.
    """
    out = [memory_of(project, server)]
    if project.data.slices:
        out.append(slices_of(project, found))
    if project.gates.fairness.columns:
        out.append(fairness_of(project, found))
    if found.ours.scores is not None:
        out.append(
            calibration.calibration_gate(
                found.ours, found.champion, limit=project.gates.calibration.limit, name=found.reference.name
            )
        )
    if found.champion is not None:
        limit = project.gates.churn.limit
        out.append(churn.churn_gate(found.ours, found.champion, limit=limit, name=found.reference.name))
    out.append(missing_of(project, found, model, constant))
    return out


def memory_of(project: Project, server: PackageServer) -> GateResult:
    """The server's own process, after it answered."""
    limit = project.gates.memory.mb
    try:
        return memory.memory_gate(server.peak_mb(), limit_mb=limit)
    except ExternalError as error:
        return memory.memory_gate(None, limit_mb=limit, why=str(error))


def slices_of(project: Project, found: Held) -> GateResult:
    """Each value of each column in ``data.slices``, against the reference on the same rows."""
    metric = _row_metric(project)
    ours, theirs = row_losses(metric, found.ours), row_losses(metric, found.reference.answers)
    if ours is None or theirs is None:
        return GateResult(slices.GATE, Verdict.ERROR, f"could not measure: {metric} is not a mean over rows")
    tolerance = project.gates.slices.tolerance * (1.0 if project.task == "classification" else float(theirs.mean()))
    parts = [
        slices.SliceLosses(f"{name} {value}", ours[rows], theirs[rows])
        for name in project.data.slices
        for value, rows in groups_of(found.rows[name])
    ]
    settings = project.gates.slices
    return slices.slices_gate(
        parts, reference=found.reference.name, loss=LABELS[metric], tolerance=tolerance, rows_min=settings.rows_min
    )


def fairness_of(project: Project, found: Held) -> GateResult:
    """The groups of each column in ``gates.fairness.columns``."""
    settings, scores = project.gates.fairness, found.ours.scores
    if scores is None or scores.shape[1] != 2:
        text = "could not measure: rates of a positive class need a classification of two classes"
        return GateResult(fairness.GATE, Verdict.ERROR, text)
    positive = found.ours.positive
    truth, predicted = found.ours.truth == positive, found.ours.predicted == positive
    answers = []
    for name in settings.columns:
        groups = [
            fairness.Group(f"{name} {value}", truth[rows], predicted[rows])
            for value, rows in groups_of(found.rows[name])
        ]
        answers.append(
            fairness.fairness_gate(groups, measure=settings.measure, limit=settings.limit, rows_min=settings.rows_min)
        )
    order = [Verdict.FAILED, Verdict.ERROR, Verdict.INCONCLUSIVE, Verdict.SUCCESSFUL]
    return min(answers, key=lambda answer: (order.index(answer.verdict), -(answer.value or 0.0)))


def fairness_table(project: Project, found: Held) -> str | None:
    """fairlearn's figures of every group as CSV, for the run's record; None where it is not installed
    (``pip install 'trimtab[fairness]'``) or does not apply.
    """
    try:
        from fairlearn import metrics
    except ImportError:
        return None
    scores = found.ours.scores
    if scores is None or scores.shape[1] != 2 or not project.gates.fairness.columns:
        return None
    import pandas as pd

    truth, predicted = found.ours.truth == found.ours.positive, found.ours.predicted == found.ours.positive
    measures = {
        "rows": metrics.count,
        "selection_rate": metrics.selection_rate,
        "true_positive_rate": metrics.true_positive_rate,
        "false_positive_rate": metrics.false_positive_rate,
    }
    parts = []
    for name in project.gates.fairness.columns:
        names = np.full(len(truth), "", dtype=object)
        for value, rows in groups_of(found.rows[name]):
            names[rows] = value
        frame = metrics.MetricFrame(metrics=measures, y_true=truth, y_pred=predicted, sensitive_features=names)
        parts.append(frame.by_group.rename_axis("group").reset_index().assign(column=name))
    return str(pd.concat(parts).to_csv(index=False))


def missing_of(project: Project, found: Held, model: Model, constant: Answers) -> GateResult:
    """The packaged model on at most 500 rows, with one input missing at a time."""
    metric = "brier" if project.task == "classification" else "mae"
    rows = np.unique(np.linspace(0, found.rows.num_rows - 1, min(found.rows.num_rows, MISSING_ROWS)).astype(int))
    table = found.rows.take(pa.array(rows))
    truth, base = found.ours.truth[rows], row_losses(metric, take(constant, rows))
    whole = row_losses(metric, _answers(model, table, truth, found.classes, found.ours.positive))
    without, refused = [], []
    for spec in model.signature.inputs:
        if spec.name not in table.column_names:  # of an earlier version in a blend: it is missing already
            continue
        if not spec.nullable:
            refused.append(spec.name)
            continue
        gone = table.set_column(
            table.column_names.index(spec.name), spec.name, pa.nulls(table.num_rows, table.schema.field(spec.name).type)
        )
        try:
            losses = row_losses(metric, _answers(model, gone, truth, found.classes, found.ours.positive))
        except (DataError, ExternalError):
            losses = np.full(len(truth), np.nan)
        if losses is not None:
            without.append(missing.Without(spec.name, losses))
    if base is None or whole is None:
        return GateResult(missing.GATE, Verdict.ERROR, f"could not measure: {metric} is not a mean over rows")
    return missing.missing_gate(without, whole, base, tolerance=project.gates.missing.tolerance, refused=refused)


def groups_of(column: pa.ChunkedArray) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """The values of a column in words with their rows, the most common first; numbers of many values in quarters.

    >>> [(name, rows.tolist()) for name, rows in groups_of(pa.chunked_array([["a", None, "a"]]))]
    [("'a'", [True, False, True]), ('missing', [False, True, False])]
    """
    kind = column.type
    if (pa.types.is_floating(kind) or pa.types.is_integer(kind)) and len(column.unique()) > 20:
        values = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
        return _quarters(values)
    encoded = column.combine_chunks().dictionary_encode()
    codes = np.asarray(pc.fill_null(encoded.indices, -1))
    names = {i: f"'{value}'" for i, value in enumerate(encoded.dictionary.to_pylist())} | {-1: "missing"}
    found, counts = np.unique(codes, return_counts=True)
    return [(names[int(code)], codes == code) for code in found[np.argsort(-counts, kind="stable")][:SLICES_MAX]]


def _quarters(values: npt.NDArray[np.float64]) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    there = np.isfinite(values)
    edges = np.unique(np.quantile(values[there], [0.0, 0.25, 0.5, 0.75, 1.0]))
    out = []
    for i, (low, high) in enumerate(pairwise(edges)):
        last = i == len(edges) - 2
        inside = there & (values >= low) & ((values <= high) if last else (values < high))
        out.append((f"{low:g} to {high:g}", inside))
    return out + ([("missing", ~there)] if not there.all() else [])


def _row_metric(project: Project) -> str:
    """The project's metric where it is a mean over rows, else the nearest that is."""
    named = {"f1": "accuracy", "auroc": "brier", "rmse": "mae"}
    return named.get(project.metric, project.metric)


def _answers(
    model: Model, table: pa.Table, truth: npt.NDArray[np.float64], classes: Sequence[Any] | None, positive: int
) -> Answers:
    return model_answers(model, table, truth, classes, positive)[0]


def take(answers: Answers, rows: npt.NDArray[Any]) -> Answers:
    """The answers on some of the rows."""
    scores = None if answers.scores is None else answers.scores[rows]
    return Answers(answers.truth[rows], answers.predicted[rows], scores, answers.positive)
