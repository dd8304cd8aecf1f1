"""The gates' metrics are scikit-learn's, on any subset of rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics as reference

from trimtab.core.gates.metrics import LABELS, Answers, measure, row_losses

RNG = np.random.default_rng(7)
N = 500


def _scores(classes: int) -> np.ndarray:
    raw = RNG.integers(1, 20, size=(N, classes)).astype(float)  # with ties
    return raw / raw.sum(axis=1, keepdims=True)


def _binary(positive: int = 1) -> Answers:
    scores = _scores(2)
    return Answers(RNG.integers(0, 2, N).astype(float), scores.argmax(axis=1).astype(float), scores, positive)


def _brier(a: Answers, r: np.ndarray) -> float:
    return float(reference.brier_score_loss(a.truth[r] == 1, a.scores[r, 1]))


BINARY: dict[str, Callable[[Answers, np.ndarray], float]] = {
    "log_loss": lambda a, r: reference.log_loss(a.truth[r], a.scores[r], labels=[0, 1]),
    "brier": _brier,
    "accuracy": lambda a, r: reference.accuracy_score(a.truth[r], a.predicted[r]),
    "f1": lambda a, r: reference.f1_score(a.truth[r], a.predicted[r]),
    "auroc": lambda a, r: reference.roc_auc_score(a.truth[r], a.scores[r, 1]),
}


@pytest.mark.parametrize("metric", list(BINARY))
def test_two_classes(metric: str) -> None:
    """The usual case, on all rows and on a third of them."""
    answers = _binary()
    for rows in (np.ones(N, bool), RNG.random(N) < 0.33):
        assert measure(metric, answers)(rows) == pytest.approx(BINARY[metric](answers, rows))


def test_the_positive_class_may_be_the_first() -> None:
    """A project that says ``positive: bad`` where the classes are bad and good."""
    answers = _binary(positive=0)
    rows = np.ones(N, bool)
    assert measure("f1", answers)(rows) == pytest.approx(
        reference.f1_score(answers.truth, answers.predicted, pos_label=0)
    )
    assert measure("auroc", answers)(rows) == pytest.approx(
        reference.roc_auc_score(answers.truth == 0, answers.scores[:, 0])
    )


def test_three_classes_are_the_mean_over_the_classes() -> None:
    """A classifier of three outcomes."""
    scores = _scores(3)
    answers = Answers(RNG.integers(0, 3, N).astype(float), scores.argmax(axis=1).astype(float), scores)
    rows = np.ones(N, bool)
    expected = {
        "log_loss": reference.log_loss(answers.truth, scores, labels=[0, 1, 2]),
        "accuracy": reference.accuracy_score(answers.truth, answers.predicted),
        "f1": reference.f1_score(answers.truth, answers.predicted, average="macro"),
        "auroc": reference.roc_auc_score(answers.truth, scores, multi_class="ovr"),
        "brier": np.mean(((scores - np.eye(3)[answers.truth.astype(int)]) ** 2).sum(axis=1)),
    }
    for metric, value in expected.items():
        assert measure(metric, answers)(rows) == pytest.approx(value), metric


def test_regression() -> None:
    """Bike rentals: absolute and squared error."""
    truth = RNG.normal(size=N)
    answers = Answers(truth, truth + RNG.normal(size=N))
    rows = RNG.random(N) < 0.5
    assert measure("mae", answers)(rows) == pytest.approx(
        reference.mean_absolute_error(truth[rows], answers.predicted[rows])
    )
    assert measure("rmse", answers)(rows) == pytest.approx(
        reference.root_mean_squared_error(truth[rows], answers.predicted[rows])
    )


def test_a_class_that_the_model_cannot_name_costs_much_but_not_infinity() -> None:
    """A new class appears that the old champion was never shown."""
    answers = Answers(np.array([1.0]), np.array([0.0]), np.array([[1.0, 0.0]]))
    losses = row_losses("log_loss", answers)
    assert losses is not None
    assert 30 < losses[0] < 40


def test_one_class_leaves_auroc_undefined() -> None:
    """Evaluation rows without a single fraud."""
    answers = Answers(np.zeros(10), np.zeros(10), np.tile([0.9, 0.1], (10, 1)))
    assert np.isnan(measure("auroc", answers)(np.ones(10, bool)))
    assert measure("f1", answers)(np.ones(10, bool)) == 0.0


def test_a_metric_that_needs_scores_says_so() -> None:
    """A model without predict_proba and the default metric."""
    with pytest.raises(ValueError, match="log loss needs scores and the model gives none"):
        measure("log_loss", Answers(np.zeros(3), np.zeros(3)))
    with pytest.raises(ValueError, match="'gini' is not one of"):
        measure("gini", _binary())


def test_names_are_those_of_the_project_file() -> None:
    """Metric names are stored in project files and records."""
    from trimtab.project.gate_settings import CLASSIFICATION_METRICS, REGRESSION_METRICS

    assert set(LABELS) == set(CLASSIFICATION_METRICS) | set(REGRESSION_METRICS)
