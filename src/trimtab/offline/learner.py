"""Quick models for the diagnosis, and how much each feature matters to a given one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trimtab.core.diagnosis.rows.case import Flags
from trimtab.core.profiles.columns import Categorical, Column, Columns, Numbers, take_rows
from trimtab.core.profiles.scorecard import row_losses
from trimtab.offline.tables import OfflineModel, calm, fittable

ROWS = 1200
"""Rows on which the weight of features is measured."""


@dataclass(frozen=True, slots=True)
class Boosting:
    """Small gradient boosting in the columns of a model; see ``trimtab.core.diagnosis.rows.Learner``."""

    model: OfflineModel

    def classify(self, columns: Columns, positive: Flags) -> Callable[[Columns], Numbers]:
        from sklearn.ensemble import HistGradientBoostingClassifier

        estimator = HistGradientBoostingClassifier(
            categorical_features="from_dtype",
            max_iter=60,
            max_leaf_nodes=24,
            learning_rate=0.15,
            early_stopping=False,
            random_state=0,
        )
        own = self._own()
        with calm(len(positive)):
            estimator.fit(fittable(own.frame(columns)), positive)

        def ask(rows: Columns) -> Numbers:
            frame = own.frame(rows)
            with calm(len(frame)):
                found: Numbers = estimator.predict_proba(frame)[:, 1]
            return found

        return ask

    def _own(self) -> OfflineModel:
        """Levels merged as for a model of ours."""
        from dataclasses import replace

        return replace(self.model, given=False)


def importance_of(model: OfflineModel) -> dict[str, float]:
    """What shuffling a feature costs the model on rows that it did not learn from; never below 0, not yet shares.

    Breiman 2001, permutation importance; one rotation instead of many shuffles.
    """
    total = len(model.times)
    rows = np.unique(np.linspace(model.cut, total - 1, min(ROWS, total - model.cut)).astype(np.intp))
    columns, labels = take_rows(model.features, rows), model.labels[rows]
    if not np.isfinite(labels).any():
        return {}
    size, copies = len(rows), len(columns) + 1
    order = np.roll(np.arange(size), size // 2 + 1)
    stacked: dict[str, Column] = {}
    for at, (name, column) in enumerate(columns.items()):
        places = np.tile(np.arange(size), copies)
        places[at * size : (at + 1) * size] = order
        stacked[name] = column.take(places) if isinstance(column, Categorical) else column[places]
    losses = row_losses(model.scores(stacked), np.tile(labels, copies)).reshape(copies, size)
    usual = float(np.nanmean(losses[-1]))
    return {name: max(float(np.nanmean(losses[at])) - usual, 0.0) for at, name in enumerate(columns)}
