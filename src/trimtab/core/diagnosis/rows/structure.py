"""Does the change of outcomes depend on the inputs? A changed world is somewhere; broken labels are everywhere.

Residuals after recalibration within the stretch are compared, cell by cell of each column, with those before. Two kinds
of residual: what came true less what was to be expected, and the same with the sign of the model's own opinion, which
sees labels that turned round in both directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trimtab.core.diagnosis.rows.case import Case, Codes, Flags
from trimtab.core.diagnosis.rows.outcomes import Outcomes, calibration
from trimtab.core.diagnosis.rows.when import chance
from trimtab.core.profiles.columns import Numbers

COUNT_MIN = 8
"""Rows of a cell, before and since, to be compared."""


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """How much of the change one column explains."""

    name: str
    statistic: float
    """Chi-squared of the cells' differences."""
    limit: float
    """By chance over all columns, probability 1e-4."""
    explained: float
    """Share of the stretch's residual variance that lies between the column's cells."""
    path: Numbers
    """(e + k,) residual by the calibration of before times the direction of its cell: a row's share in the change."""

    @property
    def ratio(self) -> float:
        return self.statistic / self.limit


def structures(case: Case, found: Outcomes, since: Flags, before: Flags) -> list[Structure]:
    """One for each column, the strongest first."""
    now, was = calibration(found, since), calibration(found, before)
    plain = np.where(since, found.outcome - now, found.outcome - was)
    raw = found.outcome - was
    if found.number:
        spread = float(found.score.std()) or 1.0
        opinion = -np.tanh((found.score - float(np.median(found.score))) / spread)
    else:
        opinion = 1 - 2 * was
    signed, raw_signed = plain * opinion, raw * opinion
    signed = np.where(since, signed - signed[since].mean(), signed - signed[before].mean())
    kinds = ((plain, raw), (signed, raw_signed - raw_signed[before].mean()))
    out = []
    for name, cells in case.cells.items():
        codes = np.concatenate([_known(case, cells.reference), cells.current[found.rows]])
        both = [_one(name, codes, cells.size, kind, (since, before), 2 * len(case.cells)) for kind in kinds]
        out.append(max(both, key=lambda each: each.ratio))
    return sorted(out, key=lambda each: -each.ratio)


def _known(case: Case, codes: Codes) -> Codes:
    """Cells of the reference rows that have scores and labels."""
    tail = len(case.reference_scores)
    labels = case.reference_labels[len(case.reference_labels) - tail :]
    scores = case.reference_scores
    sound = np.isfinite(scores) if scores.ndim == 1 else np.isfinite(scores).all(axis=1)
    return codes[len(codes) - tail :][np.isfinite(labels) & sound]


def _one(
    name: str, codes: Codes, size: int, residuals: tuple[Numbers, Numbers], parts: tuple[Flags, Flags], tries: int
) -> Structure:
    (residual, raw), (since, before) = residuals, parts
    mean, variance, count = _moments(codes[since], residual[since], size)
    was, was_variance, was_count = _moments(codes[before], residual[before], size)
    kept = (count >= COUNT_MIN) & (was_count >= COUNT_MIN)
    if kept.sum() < 2:
        return Structure(name, 0.0, 1.0, 0.0, np.zeros(len(codes)))
    error = variance / np.maximum(count, 1) + was_variance / np.maximum(was_count, 1)
    apart = np.where(kept, mean - was, 0.0)
    statistic = float((apart[kept] ** 2 / np.maximum(error[kept], 1e-12)).sum())
    spread = max(float((residual[since] ** 2).sum()), 1e-12)
    chance_part = float((count * error)[kept].sum())
    explained = max(float((count * apart**2)[kept].sum()) - chance_part, 0.0) / spread
    return Structure(name, statistic, chance(int(kept.sum()), tries, 1e-4), explained, raw * apart[codes])


def _moments(codes: Codes, values: Numbers, size: int) -> tuple[Numbers, Numbers, Numbers]:
    count = np.bincount(codes, minlength=size).astype(np.float64)
    safe = np.maximum(count, 1)
    mean = np.bincount(codes, weights=values, minlength=size) / safe
    square = np.bincount(codes, weights=values**2, minlength=size) / safe
    overall = float(values.var()) if len(values) else 0.0
    variance = (np.maximum(square - mean**2, 0) * count + 3 * overall) / (count + 3)
    return mean, variance, count
