"""What a policy may see before a batch begins. Asking for more is a defect, and raises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.core.domain.errors import UserError
from trimtab.core.gates.metrics import Answers, row_losses
from trimtab.core.policy.facts import FIRST, Floats, Kind
from trimtab.replay.backtest.fits import Fits, Key, whole
from trimtab.replay.backtest.history import History
from trimtab.replay.backtest.labels import Schedule

METRICS = ("log_loss", "brier", "accuracy", "mae", "rmse")
Where = slice | npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Model:
    """A run's outcome: which kind, before which batch."""

    kind: Kind
    batch: int


FIRST_MODEL = Model(FIRST, 0)
Mixture = tuple[tuple[Model, float], ...]
"""Versions and the weights of their answers, which sum to 1."""


@dataclass(slots=True)
class Bench:
    """History, models and their losses, shared by all policies."""

    history: History
    schedule: Schedule
    fits: Fits
    metric: str
    _losses: dict[tuple[Any, ...], float] = field(default_factory=dict)

    def until(self, model: Model) -> int:
        """The first batch of which the model saw no row."""
        return 0 if model.kind == FIRST else int(self.schedule.until[model.batch])

    def answers(self, model: Model, where: Where) -> Floats:
        """(rows, columns) of a model on rows that it was not trained on."""
        fitted = self.fits.get(model.kind, model.batch)
        if isinstance(where, slice):
            return fitted.answers[where.start - fitted.first : where.stop - fitted.first]
        return fitted.answers[where - fitted.first]

    def mixed(self, mixture: Mixture, where: Where) -> Floats:
        """The weighted mean of the versions' answers."""
        return sum((weight * self.answers(model, where) for model, weight in mixture), np.zeros(()))

    def loss(self, mixture: Mixture, batch: int) -> float:
        """What answering with these versions loses on a whole batch, lower is better."""
        return self._loss(mixture, batch, self.history.rows_of(batch), "all")

    def judged_loss(self, mixture: Mixture, batch: int) -> float:
        """The same on the rows whose labels are there when the batch is first judged."""
        where = self.schedule.rows_judged(batch)
        return self._loss(mixture, batch, where, "all" if isinstance(where, slice) else "judged")

    def _loss(self, mixture: Mixture, batch: int, where: Where, what: str) -> float:
        key = (what, batch, *sorted((self.key(model), weight) for model, weight in mixture))
        if key not in self._losses:
            self._losses[key] = loss_of(self.metric, self.history, self.mixed(mixture, where), where)
        return self._losses[key]

    def losses_of(self, answers: Floats, where: Where) -> Floats:
        """(rows,) losses of answers, shape (rows, columns): the metric's, or squared errors for rmse."""
        return losses_of(self.metric, self.history, answers, where)

    def key(self, model: Model) -> Key:
        """Models that were trained on the same rows are one."""
        return self.fits.key(model.kind, model.batch)


def default_metric(history: History, wanted: str | None) -> str:
    """The metric that batches are judged by.

    Raises:
        UserError: it is not a loss of batches, or not one of this task.
    """
    metric = wanted or ("log_loss" if history.classes else "mae")
    if metric not in METRICS:
        raise UserError(f"--metric must be one of {', '.join(METRICS)}, found '{metric}': costs add up over batches")
    if (metric in ("mae", "rmse")) == bool(history.classes):
        raise UserError(f"--metric {metric} does not fit a target that is a {'class' if history.classes else 'number'}")
    return metric


def loss_of(metric: str, history: History, answers: Floats, where: Where) -> float:
    """The loss of answers on a batch, lower is better; for accuracy the share that is wrong."""
    mean = float(losses_of(metric, history, answers, where).mean())
    return float(np.sqrt(mean)) if metric == "rmse" else mean


def losses_of(metric: str, history: History, answers: Floats, where: Where) -> Floats:
    """(rows,) losses whose mean is the metric (for rmse: its square)."""
    truth = history.truth[where]
    if not history.classes:
        errors: Floats = np.abs(truth - answers[:, 0])
        return errors**2 if metric == "rmse" else errors
    scores = whole(answers, history.classes)
    losses = row_losses(metric, Answers(truth, scores.argmax(axis=1).astype(np.float64), scores))
    if losses is None:
        raise UserError(f"metric '{metric}' is not a mean over rows")
    return losses


@dataclass(slots=True)
class View:
    """Before batch ``batch``: losses of labelled batches, inputs of past ones."""

    bench: Bench
    batch: int
    served: Sequence[Mixture]
    """What answered each earlier batch."""

    @property
    def known(self) -> int:
        """Labelled batches."""
        return int(self.bench.schedule.known[self.batch])

    @property
    def available(self) -> float:
        """Rows that a run could train on."""
        return float(self.bench.schedule.available[self.batch])

    def fresh(self, newest: Model) -> bool:
        """Whether there are rows that the newest version could not be trained on."""
        old = self.bench.history.initial_rows if newest.kind == FIRST else self.bench.schedule.available[newest.batch]
        return self.available > old

    def loss(self, mixture: Mixture, batch: int) -> float:
        """Of a labelled batch that none of the versions was trained on."""
        self._check(batch)
        return self.bench.judged_loss(mixture, batch)

    def served_loss(self, batch: int) -> float:
        """What was lost on a labelled batch."""
        return self.loss(self.served[batch], batch)

    def judged(self, batch: int) -> Where:
        """The labelled rows of a labelled batch."""
        self._check(batch)
        return self.bench.schedule.rows_judged(batch)

    def inputs(self, batch: int) -> Any:
        """The features of a past batch; they need no labels."""
        if batch >= self.batch:
            raise ValueError(f"batch {batch} has not happened before batch {self.batch}")
        return self.bench.history.frame.iloc[self.bench.history.rows_of(batch)]

    def _check(self, batch: int) -> None:
        if batch >= self.known:
            raise ValueError(f"the labels of batch {batch} are not known before batch {self.batch}")


def single(model: Model) -> Mixture:
    """One version answers everything."""
    return ((model, 1.0),)


def combined(parts: Mapping[Model, float]) -> Mixture:
    """A mixture from weights; versions without one are left out."""
    return tuple(sorted(((model, weight) for model, weight in parts.items() if weight > 0), key=lambda x: x[0].batch))
