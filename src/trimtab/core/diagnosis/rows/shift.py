"""The inputs moved, and nothing is broken by it: a shift of the population, or the calendar."""

from __future__ import annotations

import numpy as np

from trimtab.core.diagnosis.rows.case import Case, Cells
from trimtab.core.diagnosis.rows.finding import Finding, confidence
from trimtab.core.diagnosis.rows.when import Change
from trimtab.core.domain.diagnosis import Kind

RUNS = 20
CALENDAR_MIN = 0.5
"""Share of a column's variance between runs of the reference from which it follows the calendar."""


def shifts(case: Case, changes: dict[str, Change]) -> list[Finding]:
    """One finding for all columns that moved."""
    moved = sorted((name for name, change in changes.items() if change.real), key=lambda each: -changes[each].ratio)
    if not moved:
        return []
    seasonal = [name for name in moved if calendar(case.cells[name])]
    lead = changes[moved[0]]
    kind = Kind.SEASON if len(seasonal) > len(moved) / 2 else Kind.HARMLESS_SHIFT
    words = "follow the calendar" if kind is Kind.SEASON else "moved"
    text = f"{', '.join(moved[:5])} {words}; outcomes given the scores are as before"
    sure = confidence(lead.ratio, 1.0, 1.3)
    return [Finding(kind, "InputDrift", tuple(moved), lead.first, lead.end, sure, text, lead.gain, lead.limit)]


def calendar(cells: Cells) -> bool:
    """Most of the variance of the cells lies between runs of the reference."""
    if len(cells.reference) < 50 * RUNS:
        return False
    run = np.arange(len(cells.reference)) * RUNS // max(len(cells.reference), 1)
    counts = np.bincount(run * cells.size + cells.reference, minlength=RUNS * cells.size).reshape(RUNS, cells.size)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    overall = shares.mean(axis=0)
    total = float((overall * (1 - overall)).sum())
    return bool(total > 0 and float(shares.var(axis=0).sum()) / total > CALENDAR_MIN * 0.5)
