"""Answers of candidate and champion on the same rows, when the world between them has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics as reference
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier

from tests.training.rows import frame
from trimtab.serving.package import InputSpec, RuntimeSpec, Signature
from trimtab.serving.runtimes import Columns
from trimtab.serving.runtimes.base import Outputs
from trimtab.training.evaluate import constant_answers, estimator_answers, figures, model_answers, model_columns

FEATURES = ["distance", "pieces"]


def test_the_figures_are_those_of_scikit_learn(tmp_path: Path) -> None:
    """What stands in MLflow can be checked by anybody."""
    table = frame(800)
    estimator = LogisticRegression().fit(table[FEATURES], table["late"])
    truth = table["late"].to_numpy().astype(float)
    found = figures(estimator_answers(estimator, table[FEATURES], truth, [False, True], 1, tmp_path))
    scores, said = estimator.predict_proba(table[FEATURES])[:, 1], estimator.predict(table[FEATURES])
    assert found == pytest.approx(
        {
            "log_loss": reference.log_loss(truth, scores),
            "brier": reference.brier_score_loss(truth, scores),
            "accuracy": reference.accuracy_score(truth, said),
            "f1": reference.f1_score(truth, said),
            "auroc": reference.roc_auc_score(truth, scores),
            "precision": reference.precision_score(truth, said),
            "recall": reference.recall_score(truth, said),
        }
    )


def test_a_threshold_of_the_estimators_own_counts(tmp_path: Path) -> None:
    """A fraud model that says 'fraud' from 20 % on."""
    table = frame(600)
    truth = table["late"].to_numpy().astype(float)
    inner = LogisticRegression()
    estimator = FixedThresholdClassifier(inner, threshold=0.2).fit(table[FEATURES], table["late"])
    found = estimator_answers(estimator, table[FEATURES], truth, [False, True], 1, tmp_path)
    assert (found.predicted == estimator.predict(table[FEATURES]).astype(float)).all()
    assert found.predicted.mean() > (found.scores[:, 1] > 0.5).mean()  # type: ignore[index]


class Champion:
    """A packaged model of two classes that was made before the third one existed."""

    signature = Signature(
        model="parcels",
        task="classification",
        target="state",
        inputs=(InputSpec("carrier", "string"), InputSpec("distance", "float64"), InputSpec("gone", "float64")),
        classes=("late", "in time"),
        runtime=RuntimeSpec(name="native", files=()),
    )

    def predict(self, columns: Columns) -> Outputs:
        self.columns = columns
        rows = len(columns["distance"])
        return Outputs(np.array(["late"] * rows, dtype=object), np.tile([0.7, 0.3], (rows, 1)))


def test_a_champion_that_lacks_a_column_and_a_class_is_still_measured() -> None:
    """A feature was dropped from the data, a class was added: the champion gets missing values and score 0."""
    table = pa.table({"carrier": ["north", None], "distance": [1, 2]})
    model: Any = Champion()
    answers, lacking = model_answers(model, table, np.array([0.0, 2.0]), ["in time", "late", "lost"], 1)
    assert lacking == ("gone",)
    assert np.isnan(model.columns["gone"]).all()
    assert model.columns["carrier"].tolist() == ["north", None]
    assert model.columns["distance"].dtype == np.float64
    assert answers.scores is not None
    assert answers.scores.tolist() == [[0.3, 0.7, 0.0], [0.3, 0.7, 0.0]]
    assert answers.predicted.tolist() == [1.0, 1.0]


def test_a_column_that_changed_between_text_and_number_counts_as_missing() -> None:
    """A code column '007' is a number in the new export: the champion cannot read it, and is told so."""
    columns, lacking = model_columns(
        Champion.signature.inputs, pa.table({"carrier": [1], "distance": ["x"], "gone": [1.0]})
    )
    assert lacking == ("carrier", "distance")
    assert columns["carrier"].tolist() == [None]
    assert np.isnan(columns["distance"]).all()


def test_times_reach_the_model_in_seconds() -> None:
    """A datetime input."""
    stamp = pa.array([1_500_000, None], pa.timestamp("us", tz="UTC"))
    columns, _ = model_columns((InputSpec("at", "datetime"),), pa.table({"at": stamp}))
    assert columns["at"][0] == 1.5
    assert np.isnan(columns["at"][1])  # type: ignore[arg-type]


def test_the_constant_is_the_best_that_knows_nothing() -> None:
    """What a first version has to beat: class shares, and for numbers the mean or the median."""
    training = np.array([0.0, 0.0, 0.0, 1.0])
    found = constant_answers(training, np.array([1.0]), ["no", "yes"], 1, "log_loss")
    assert found.scores is not None
    assert found.scores.tolist() == [[0.75, 0.25]]
    numbers = np.array([1.0, 2.0, 9.0])
    assert constant_answers(numbers, np.zeros(1), None, 1, "mae").predicted.tolist() == [2.0]
    assert constant_answers(numbers, np.zeros(1), None, 1, "rmse").predicted.tolist() == [4.0]
