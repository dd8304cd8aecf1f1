"""What the leakage gate is told of a run: columns, shared rows, moments. Measured here, judged by the core."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trimtab.core.domain.gate import GateResult
from trimtab.core.gates.leakage import ColumnFacts, Overlap, TimeFacts, column_finding, leakage_gate
from trimtab.core.gates.metrics import Answers
from trimtab.project import leaks
from trimtab.training.history import row_hashes

if TYPE_CHECKING:
    from trimtab.project.settings import Project
    from trimtab.training.prepared import Prepared

SAMPLE_ROWS = 100_000
"""Evenly spread rows that columns are judged by."""
RECENT_ROWS = 20_000
"""Consecutive rows that memories of earlier rows are looked for in."""
AFTER = 0.01
"""Share of the rows in which a moment must lie after the event to be told."""


def leakage(project: Project, prepared: Prepared, ours: Answers) -> GateResult:
    """The gate's answer for a run.

    Args:
        project: the settings.
        prepared: the run's rows.
        ours: the candidate's answers on the evaluation rows.
    """
    return leakage_gate(
        column_facts(project, prepared),
        overlap(prepared, ours),
        times(project, prepared),
        target=project.data.target,
        classification=prepared.classes is not None,
        known=frozenset(project.gates.leakage.known),
    )


def column_facts(project: Project, prepared: Prepared) -> list[ColumnFacts]:
    """Each feature alone against the target, on a sample of all rows; empty with too few rows to say. Moments are left
    to ``times``.
    """
    table, target = prepared.table, project.data.target
    rows = table.num_rows
    if rows < leaks.ROWS_MIN:
        return []
    step = max(1, -(-rows // SAMPLE_ROWS))
    sample = table.take(pa.array(np.arange(0, rows, step))) if step > 1 else table
    classification = prepared.classes is not None
    others = leaks.Others(sample, prepared.features)
    found = []
    for name in prepared.features:
        if pa.types.is_timestamp(table.schema.field(name).type):
            continue
        facts = leaks.column_facts(name, sample[name], sample[target], classification=classification, others=others)
        if column_finding(facts, target=target, classification=classification) is not None:
            recent = table.slice(max(0, rows - RECENT_ROWS))
            lag = leaks.remembered(recent[name], recent[target], classification=classification)
            now = leaks.column_facts(name, recent[name], recent[target], classification=classification)
            facts = replace(facts, lag_skill=facts.skill + lag - now.skill)
        found.append(facts)
    return found


def overlap(prepared: Prepared, ours: Answers) -> Overlap:
    """Evaluation rows that have the inputs of a training row."""
    hashes = row_hashes(prepared.table.select(list(prepared.features)))
    training, evaluation = hashes[: prepared.training], hashes[prepared.training :]
    order = np.argsort(training, kind="stable")
    ordered, outcomes = training[order], prepared.truth[: prepared.training][order]
    place = np.minimum(np.searchsorted(ordered, evaluation, side="right") - 1, len(ordered) - 1)
    twins = (place >= 0) & (ordered[place] == evaluation)
    same = outcomes[place] == prepared.truth[prepared.training :]
    repeated = ordered[1:] == ordered[:-1]
    usual = float((outcomes[1:] == outcomes[:-1])[repeated].mean()) if repeated.any() else 0.0
    expected = 0.0
    if ours.scores is not None and twins.any():
        expected = float((ours.scores[twins] ** 2).sum(axis=1).mean())
    return Overlap(len(evaluation), int(twins.sum()), int((twins & same).sum()), usual, expected)


def times(project: Project, prepared: Prepared) -> TimeFacts:
    """Order of the split, labels before their events, and moments among the inputs that lie after the event."""
    data, at = project.data, prepared.at
    known = _seconds(prepared.table[data.label_time]) if data.label_time else None
    after = []
    for name in prepared.features:
        own = project.estimator.function is not None  # the default estimator leaves moments out
        if not own or not pa.types.is_timestamp(prepared.table.schema.field(name).type):
            continue
        moment = _seconds(prepared.table[name])
        there = np.isfinite(moment)
        if not there.any():
            continue
        later = float((moment[there] > at[there]).mean())
        outcome = known is not None and later > AFTER and float((moment[there] >= known[there]).mean()) >= 0.99
        if later > AFTER:
            after.append((name, later, outcome))
    return TimeFacts(
        newest_training=float(at[prepared.training - 1]),
        oldest_evaluation=float(at[prepared.training]),
        rows=len(at),
        before_event=0 if known is None else int((known < at).sum()),
        after_event=tuple(after),
    )


def _seconds(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    micros = pc.fill_null(column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).cast(pa.float64()), float("nan"))
    return np.asarray(micros.to_numpy(zero_copy_only=False), dtype=np.float64) / 1e6
