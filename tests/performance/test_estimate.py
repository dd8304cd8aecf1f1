"""Performance that is estimated before labels come."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab.core.performance import calibration_of, estimate_from_baseline, estimate_from_scores, figures_of
from trimtab.core.profiles import Baseline, Evaluation, score_rows

DAY = 86400.0


def scored(rng: np.random.Generator, rows: int, at: float, wrong: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores that are too sure of themselves (as boosting's are), with labels; ``at`` moves the population."""
    logit = rng.normal(at, 1.2, rows)
    labels = (rng.random(rows) < 1 / (1 + np.exp(-logit))) ^ (rng.random(rows) < wrong)
    return 1 / (1 + np.exp(-1.6 * logit)), labels.astype(float)


def two(scores: np.ndarray) -> np.ndarray:
    return np.column_stack([1 - scores, scores])


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    """Thirty days of evaluation."""
    rng = np.random.default_rng(0)
    scores, labels = scored(rng, 9000, -1.0)
    times = np.linspace(0, 30 * DAY - 1, 9000)
    return Baseline.fit(
        {"x": scores}, time=times, block_s=DAY, evaluation=Evaluation(two(scores), labels, times, ("no", "yes"))
    )


def test_changed_inputs_are_seen_and_the_interval_holds(baseline: Baseline) -> None:
    """The population moves towards the border of the classes: accuracy falls, and that is foretold without a label."""
    held, errors, fell = 0, [], []
    for seed in range(60):
        rng = np.random.default_rng([1, seed])
        scores, labels = scored(rng, 800, 0.2)
        found = estimate_from_baseline(baseline, baseline.profile({"x": scores}, two(scores)))
        assert found is not None
        value, low, high = found.metrics["accuracy"]
        real = figures_of([score_rows(two(scores), labels)])["accuracy"].value
        held += low <= real <= high
        errors.append(value - real)
        fell.append(real)
    usual = figures_of([baseline.evaluation])["accuracy"].value
    assert usual - float(np.mean(fell)) > 0.05  # it is a fall that matters
    assert abs(float(np.mean(errors))) < 0.02
    assert held >= 52
    assert found.calibration_blocks == 30


def test_sums_say_what_rows_say(baseline: Baseline) -> None:
    """The server logs profiles only, no rows."""
    rng = np.random.default_rng(2)
    scores, _ = scored(rng, 5000, -0.5)
    known = calibration_of(baseline.evaluation)
    assert known is not None
    by_rows = estimate_from_scores(known, scores)
    by_sums = estimate_from_baseline(baseline, baseline.profile({"x": scores}, two(scores)))
    assert by_rows is not None
    assert by_sums is not None
    assert by_sums.rows == by_rows.rows == 5000
    for metric in ("accuracy", "f1", "auroc", "brier", "log_loss", "precision", "recall"):
        assert by_sums.metrics[metric][0] == pytest.approx(by_rows.metrics[metric][0], abs=0.01)


def test_it_cannot_see_that_labels_turned(baseline: Baseline) -> None:
    """Concept drift: the estimate stays, the truth falls, and the note says so."""
    rng = np.random.default_rng(3)
    scores, labels = scored(rng, 3000, -1.0, wrong=0.3)
    found = estimate_from_baseline(baseline, baseline.profile({"x": scores}, two(scores)))
    assert found is not None
    real = figures_of([score_rows(two(scores), labels)])["accuracy"].value
    assert real < found.metrics["accuracy"][1]
    assert "cannot see concept drift" in found.note


def test_where_nothing_can_be_said_nothing_is() -> None:
    """Three classes, a number, or no evaluation."""
    rng = np.random.default_rng(4)
    three = Baseline.fit(
        {"x": rng.normal(size=500)},
        evaluation=Evaluation(rng.dirichlet(np.ones(3), 500), rng.integers(0, 3, 500).astype(float)),
    )
    assert estimate_from_baseline(three, three.profile({"x": np.zeros(9)}, rng.dirichlet(np.ones(3), 9))) is None
    none = Baseline.fit({"x": rng.normal(size=500)})
    assert estimate_from_baseline(none, none.profile({"x": np.zeros(9)})) is None
    assert calibration_of(score_rows(two(np.full(500, 0.4)), np.zeros(500))) is None
