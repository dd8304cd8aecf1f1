"""Metrics over any subset of rows, so that two models are compared on the same rows and it is known how sure that is.

The definitions are scikit-learn's (``log_loss``, ``brier_score_loss``, ``accuracy_score``, ``f1_score``,
``roc_auc_score``, ``mean_absolute_error``, ``root_mean_squared_error``); for more than two classes F1 and AUROC are the
plain mean over the classes (macro, one against the rest), and the Brier score is the sum over the classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.bool_]
Measure = Callable[[Rows], float]
"""The metric on the rows of a mask, shape (n,); NaN where those rows do not define it (AUROC of one class)."""

LABELS = {
    "log_loss": "log loss",
    "brier": "Brier score",
    "accuracy": "accuracy",
    "f1": "F1",
    "auroc": "AUROC",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
}
HIGHER_IS_BETTER = frozenset({"accuracy", "f1", "auroc"})
EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model said of n rows, and what turned out to be true."""

    truth: Floats
    """Shape (n,): the value, or for classification the class's position."""
    predicted: Floats
    """Shape (n,): the value, or the position of the predicted class."""
    scores: Floats | None = None
    """Shape (n, classes); None for regression and for classifiers without scores."""
    positive: int = 1
    """Position of the positive of two classes."""


def measure(metric: str, answers: Answers) -> Measure:
    """The metric as a function of the rows looked at.

    Raises:
        ValueError: the metric needs scores and there are none, or it is not known.
    """
    losses = row_losses(metric, answers)
    if losses is not None:
        sign = -1.0 if metric in HIGHER_IS_BETTER else 1.0
        offset = 1.0 if metric in HIGHER_IS_BETTER else 0.0
        return lambda rows: offset + sign * float(losses[rows].mean())
    if metric == "rmse":
        squares = (answers.truth - answers.predicted) ** 2
        return lambda rows: float(np.sqrt(squares[rows].mean()))
    if metric == "f1":
        return _f1(answers)
    if metric == "auroc":
        return _auroc(answers)
    raise ValueError(f"metric '{metric}' is not one of {', '.join(LABELS)}")


def row_losses(metric: str, answers: Answers) -> Floats | None:
    """Loss of each row, shape (n,), lower is better, where the metric is a mean over rows (accuracy: 1 where wrong).

    >>> row_losses("brier", Answers(np.array([1.0]), np.array([1.0]), np.array([[0.2, 0.8]])))
    array([0.04])
    """
    if metric == "log_loss":
        scores = _scores(metric, answers)
        of_truth = scores[np.arange(len(scores)), answers.truth.astype(int)]
        losses: Floats = -np.log(np.clip(of_truth, EPSILON, 1.0))
        return losses
    if metric == "brier":
        scores = _scores(metric, answers)
        hits = np.arange(scores.shape[1]) == answers.truth[:, None]
        whole: Floats = ((scores - hits) ** 2).sum(axis=1) * (0.5 if scores.shape[1] == 2 else 1.0)
        return whole
    if metric == "accuracy":
        wrong: Floats = (answers.predicted != answers.truth).astype(np.float64)
        return wrong
    if metric == "mae":
        errors: Floats = np.abs(answers.truth - answers.predicted)
        return errors
    return None


def _scores(metric: str, answers: Answers) -> Floats:
    if answers.scores is None:
        raise ValueError(f"{LABELS[metric]} needs scores and the model gives none")
    return answers.scores


def _classes(answers: Answers) -> list[int]:
    """The classes to take one against the rest: the positive of two, else each."""
    count = answers.scores.shape[1] if answers.scores is not None else int(answers.truth.max(initial=1)) + 1
    return [answers.positive] if count == 2 else list(range(count))


def _f1(answers: Answers) -> Measure:
    pairs = [(answers.truth == c, answers.predicted == c) for c in _classes(answers)]

    def value(rows: Rows) -> float:
        parts = []
        for truth, predicted in pairs:
            hits = int((truth & predicted & rows).sum())
            size = int((truth & rows).sum()) + int((predicted & rows).sum())
            if size or len(pairs) == 1:
                parts.append(2.0 * hits / size if size else 0.0)
        return float(np.mean(parts)) if parts else float("nan")

    return value


def _auroc(answers: Answers) -> Measure:
    """Mann-Whitney statistic from counts at each distinct score: sorted once, then each subset costs O(n)."""
    scores = _scores("auroc", answers)
    prepared = []
    for c in _classes(answers):
        distinct, place = np.unique(scores[:, c], return_inverse=True)
        prepared.append((answers.truth == c, place, len(distinct)))

    def value(rows: Rows) -> float:
        parts = []
        for truth, place, count in prepared:
            positives = np.bincount(place[truth & rows], minlength=count)
            negatives = np.bincount(place[~truth & rows], minlength=count)
            pairs = float(positives.sum()) * float(negatives.sum())
            below = np.cumsum(negatives) - 0.5 * negatives
            parts.append(float(positives @ below) / pairs if pairs else float("nan"))
        return float(np.mean(parts))

    return value
