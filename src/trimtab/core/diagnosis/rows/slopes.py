"""Do outcomes follow the scores everywhere alike?

Labels that are broken by themselves follow the scores no more in *any* part of the inputs. Where the world changed for
some rows only, the others follow them as before. So within each group of a column, outcomes are regressed on what was
to be expected; the change is uneven where the slopes differ by more than chance and one of them is still whole.
"""

from __future__ import annotations

import numpy as np

from trimtab.core.diagnosis.rows.case import Case, Flags
from trimtab.core.diagnosis.rows.finding import confidence
from trimtab.core.diagnosis.rows.outcomes import Outcomes, calibration
from trimtab.core.diagnosis.rows.prior import shifted
from trimtab.core.diagnosis.rows.steps import GROUPS, grouped, views
from trimtab.core.diagnosis.rows.when import chance
from trimtab.core.profiles.columns import Numbers

ROWS_MIN = 20
"""Rows of a group whose slope is asked for."""
WHOLE_MIN = 0.6
"""A slope that still follows the scores."""
LOW_MAX = 0.65
"""A slope, its error added, that does so less."""
ERROR_MAX = 0.2
"""Standard error up to which a slope can be called whole."""
RARE = 1e-3


def uneven(case: Case, found: Outcomes, since: Flags, before: Flags, name: str) -> float:
    """How sure it is that outcomes since follow the scores in one group of the column and not in another."""
    groups = grouped(case.cells[name], found)
    limits = len(case.cells) * 4.0
    best = 0.0
    for expected, outcome in _pairs(case, found, since, before):
        slope, error = _slopes(expected[since], outcome[since], groups[since])
        if len(slope) < 2 or not _whole(slope, error).any() or not (slope + error < LOW_MAX).any():
            continue
        weight = 1 / error**2
        mean = float((slope * weight).sum() / weight.sum())
        statistic = float(((slope - mean) ** 2 * weight).sum())
        best = max(best, confidence(statistic, chance(len(slope) - 1, limits, RARE)))
    return best


def follows(case: Case, found: Outcomes, since: Flags, before: Flags, name: str) -> bool:
    """Whether outcomes may follow the scores as before in some group of the column (or no group can be asked)."""
    groups = grouped(case.cells[name], found)
    asked = [
        _slopes(expected[since], outcome[since], groups[since])
        for expected, outcome in _pairs(case, found, since, before)
    ]
    known = [each for each in asked if len(each[0])]
    return not known or any((slope + 2 * error > WHOLE_MIN).any() for slope, error in known)


def _whole(slope: Numbers, error: Numbers) -> Flags:
    found: Flags = (slope > WHOLE_MIN) & (error < ERROR_MAX)
    return found


def _pairs(case: Case, found: Outcomes, since: Flags, before: Flags) -> list[tuple[Numbers, Numbers]]:
    """(e + k,) what was to be expected (with the shares of the classes as they are now) and what came, for each way to
    look at the outcomes."""
    if found.number:
        return [(calibration(found, before), found.outcome)]
    if len(case.classes) == 2:
        return [(shifted(calibration(found, before), found.outcome, since), found.outcome)]
    out = []
    for view in views(case, found):
        size = len(view.opinion)
        count = np.bincount(view.score[before], minlength=size)
        mean = np.bincount(view.score[before], weights=view.outcome[before], minlength=size) / np.maximum(count, 1)
        out.append((shifted(mean[view.score], view.outcome, since), view.outcome))
    return out


def _slopes(expected: Numbers, outcome: Numbers, groups: np.ndarray) -> tuple[Numbers, Numbers]:
    """Slope of each group with rows enough and expectations that differ, and its standard error."""
    floor = 0.01 * max(float(outcome.var()), 1e-12)
    slopes, errors = [], []
    for group in range(GROUPS):
        rows = groups == group
        x, y = expected[rows], outcome[rows]
        spread = float(x.var()) * len(x) if len(x) else 0.0
        if len(x) < ROWS_MIN or spread < 1e-6:
            continue
        slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread
        left = float((y - y.mean() - slope * (x - x.mean())).var())
        slopes.append(slope)
        errors.append(np.sqrt(max(left, floor) / spread))
    return np.array(slopes), np.array(errors)
