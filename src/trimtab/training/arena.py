"""The rows that strategies compete on: each learns from what comes before the block, and is judged on the block."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trimtab.core.domain.errors import DataError
from trimtab.core.domain.times import iso
from trimtab.core.gates.metrics import Answers, measure
from trimtab.training.continuing import continued
from trimtab.training.evaluate import encoded, estimator_answers, model_answers, positive_position
from trimtab.training.fit import build_estimator, class_values, features_frame, few_threads, fit, target_array
from trimtab.training.recalibrating import mapped, score_map

if TYPE_CHECKING:
    from trimtab.project.settings import Project
    from trimtab.serving.runtimes import Model
    from trimtab.training.history import History

Judged = tuple[float, float]
"""The metric on the block, and the seconds that it took to learn."""


class Arena:
    """Judges candidates on one block."""

    def __init__(self, project: Project, root: Path, history: History, order: npt.NDArray[np.intp], block: int) -> None:
        """``order``: positions in the history, oldest first; those from ``block`` on are the block."""
        self.project, self._root, self._block = project, root, block
        self._table = history.table.take(order).combine_chunks()
        self._target = target_array(self._table, project.data.target)
        found = None if project.task == "regression" else tuple(class_values(self._table, project.data.target))
        self._classes = found
        self._truth = self._target.astype(np.float64) if found is None else encoded(self._target, found)
        self._frame = features_frame(self._table, history.features)
        self._positive = 1 if found is None else positive_position(found, None)
        self._until = float(history.at[order[block]])

    def fitted(self, begin: int) -> Judged:
        """A new estimator on the rows from ``begin`` on.

        Raises:
            DataError: they are of a single class.
            EstimatorError: the user's estimator fails.
        """
        rows = slice(begin, self._block)
        if self._classes is not None and len(set(self._target[rows].tolist())) < 2:
            raise DataError(f"the window before {iso(self._until)} has a single class to learn from")
        started = perf_counter()
        with few_threads():
            estimator = build_estimator(self.project, self._root, self._frame.iloc[rows])
            fit(estimator, self._frame.iloc[rows], self._target[rows], self._root)
        return self._by_estimator(estimator, perf_counter() - started)

    def continued(self, before: Any, begin: int) -> Judged:
        """A fitted estimator that learns the rows from ``begin`` on, which it has not seen.

        Raises:
            EstimatorError: it cannot, or refuses these rows.
        """
        rows = slice(begin, self._block)
        started = perf_counter()
        with few_threads():
            estimator, _ = continued(before, self._frame.iloc[rows], self._target[rows], self._root)
        return self._by_estimator(estimator, perf_counter() - started)

    def recalibrated(self, model: Model, begin: int) -> Judged:
        """A model with its answers mapped by the rows from ``begin`` on, which it has not seen.

        Raises:
            DataError: too few rows, no scores, or a class that it does not know.
        """
        started = perf_counter()
        with few_threads():
            found = score_map(
                self.project,
                model,
                self._table.slice(begin, self._block - begin),
                self._target[begin : self._block],
                self._classes,
                self._positive,
            )
            seconds = perf_counter() - started
            if found.map.method == "none":
                raise DataError(f"its answers fit the {found.rows:,} rows before the block as they are")
            rows, truth = self._table.slice(self._block), self._truth[self._block :]
            raw = model_answers(model, rows, truth, self._classes, self._positive)[0]
            return self._value(mapped(raw, found.map, model, self._classes)), seconds

    def _by_estimator(self, estimator: Any, seconds: float) -> Judged:
        frame, truth = self._frame.iloc[self._block :], self._truth[self._block :]
        with few_threads():
            answers = estimator_answers(estimator, frame, truth, self._classes, self._positive, self._root)
        return self._value(answers), seconds

    def _value(self, answers: Answers) -> float:
        return float(measure(self.project.metric, answers)(np.ones(len(answers.truth), bool)))
