"""Harm by slice: the levels of the columns that people asked for, all of them accounted for."""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist

import numpy as np

from trimtab.core.diagnosis.rows.case import Case
from trimtab.core.diagnosis.rows.outcomes import expected_loss
from trimtab.core.diagnosis.rows.relations import HARM_MIN, Relation
from trimtab.core.domain.diagnosis import Diagnosis
from trimtab.core.domain.verdict import Reason
from trimtab.core.profiles.columns import Categorical, Column

ROWS_MIN = 30
"""Labelled rows of a slice since the change."""
SHOWN_MAX = 5


def by_slice(case: Case, seen: Relation | None, diagnosis: Diagnosis, alpha: float = 0.01) -> Diagnosis:
    """The diagnosis with the slices whose loss is above what their scores made expect, the worst first.

    One-sided normal test of each slice's mean excess; Bonferroni over all slices.
    """
    if seen is None or not case.slices:
        return diagnosis
    expected = expected_loss(seen.found, seen.before)[seen.found.known :]
    over = seen.found.loss[seen.found.known :] - expected
    since = seen.since[seen.found.known :] if seen.change.real else np.ones(len(over), dtype=np.bool_)
    found = []
    tries = 0
    for name in case.slices:
        for level, inside in _levels(case.current[name]):
            rows = inside[seen.found.rows] & since
            if rows.sum() < ROWS_MIN:
                continue
            tries += 1
            error = float(over[rows].std()) / np.sqrt(rows.sum())
            rise = float(over[rows].mean()) / max(float(expected[rows].mean()), 1e-12)
            found.append((float(over[rows].mean()) / max(error, 1e-12), rise, f"{name}={level}", int(rows.sum())))
    if not tries:
        return diagnosis
    limit = NormalDist().inv_cdf(1 - alpha / tries)
    worse = sorted((each for each in found if each[0] > limit and each[1] > HARM_MIN), key=lambda each: -each[1])
    reasons = tuple(
        Reason("SliceWorse", f"{name}: loss {rise:+.0%} against what its scores made expect ({rows:,} rows)", z, limit)
        for z, rise, name, rows in worse[:SHOWN_MAX]
    )
    names = tuple(dict.fromkeys([*diagnosis.slices, *(each[2] for each in worse)]))
    return replace(diagnosis, slices=names, reasons=(*diagnosis.reasons, *reasons))


def _levels(column: Column) -> list[tuple[str, np.ndarray]]:
    """Name and rows of each level; a number with many values by quarters."""
    if isinstance(column, Categorical):
        return [(level, column.codes == at) for at, level in enumerate(column.levels)]
    known = column[np.isfinite(column)]
    values = np.unique(known)
    if len(values) <= 20:
        return [(f"{value:g}", column == value) for value in values]
    cuts = np.quantile(known, [0.25, 0.5, 0.75])
    quarter = np.where(np.isfinite(column), np.searchsorted(cuts, column, side="right"), -1)
    names = (f"below {cuts[0]:.4g}", f"to {cuts[1]:.4g}", f"to {cuts[2]:.4g}", f"above {cuts[2]:.4g}")
    return [(name, quarter == at) for at, name in enumerate(names)]
