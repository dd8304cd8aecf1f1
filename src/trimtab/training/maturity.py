"""When a row's label is due, given the row: some outcomes are known later than others, and some rows tell how late.

A booking for next week is settled next week, one for next summer next summer; cancelled ones are known earlier. Rows
whose label came early are therefore not like the others, and training on whatever has arrived is worse than not
training again. A row counts once nearly all rows *like it* would have their label, whatever the outcome: then what is
labelled among them is not selected by its outcome. Waiting until nearly all rows of its day have theirs is safe too,
but leaves out the newest months.

Measured on hotel bookings (log loss relative to never training again, a run every fourth of 34 batches, without the
price of the runs): whatever had arrived 0.99, whole days 0.91, this rule 0.86.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from trimtab.core.domain.times import DAY_S
from trimtab.training.fit import features_frame
from trimtab.training.select import mature_rows

if TYPE_CHECKING:
    import pandas as pd

    from trimtab.project.settings import Project
    from trimtab.training.history import History

Floats = npt.NDArray[np.float64]
LEAST_S = 2 * DAY_S
"""Where nearly all labels come within this, nothing is gained by knowing it row by row."""
ROWS_MAX = 20_000
"""Rows that delays are learnt from: evenly spread."""
ROWS_MIN = 500
"""With fewer, delays by row cannot be learnt."""
TREES = 60


def due_of(history: History, project: Project, now: float) -> Floats | None:
    """How long after its event the label of each young row is due, seconds; None where whole cohorts must do.

    Learnt from the cohorts that are old enough as of ``now``; nothing is learnt where labels have no time of their own,
    where they come soon, or from too few rows.
    """
    if project.data.label_time is None:
        return None
    maturity = project.data.label_maturity
    old = np.flatnonzero(mature_rows(history.at, history.known_at, now, maturity))
    if len(old) < ROWS_MIN:
        return None
    delays = np.maximum(history.known_at[old] - history.at[old], 0.0)
    if float(np.quantile(delays, maturity)) <= LEAST_S:
        return None
    with np.errstate(invalid="ignore"):
        young = np.setdiff1d(np.flatnonzero(history.known_at <= now), old, assume_unique=True)
    if not len(young):
        return None
    rows = [features_frame(history.table.take(chosen), history.features) for chosen in (old, young)]
    found = due_after(rows[0], delays, rows[1], maturity)
    if found is None:
        return None
    due_s = np.full(len(history.at), np.inf)
    due_s[young] = found
    return due_s


def due_after(
    features: pd.DataFrame, delays: Floats, wanted: pd.DataFrame, maturity: float, coded: Collection[str] = ()
) -> Floats | None:
    """How long after its event each wanted row's label is due, in seconds; None with too few rows to learn from.

    Args:
        features: rows of cohorts that are old enough for long delays to show.
        delays: (n,) theirs, seconds.
        wanted: the rows to tell about, with the same columns.
        maturity: share of whole cohorts that must be labelled (``data.label_maturity``). Given the row, half of the
            rest must be too: (1 + maturity) / 2.
        coded: columns that are codes of categories.
    """
    if len(features) < ROWS_MIN:
        return None
    from threadpoolctl import threadpool_limits

    from trimtab.training.estimators import default_estimator

    chosen = np.unique(np.linspace(0, len(features) - 1, min(len(features), ROWS_MAX)).astype(int))
    settings = {"loss": "quantile", "quantile": (1.0 + maturity) / 2.0, "max_iter": TREES}
    some = features.iloc[chosen]
    model = default_estimator("regression", settings, some, coded)
    with threadpool_limits(limits=1):  # a small fit: threads that wait for each other would cost more than they bring
        model.fit(some, np.log1p(np.maximum(delays[chosen], 0.0) / DAY_S))
        due: Floats = np.expm1(np.maximum(model.predict(wanted), 0.0)) * DAY_S
    return due
