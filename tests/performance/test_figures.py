"""Realised figures from sums: the same as scikit-learn's on the rows, with intervals that hold."""

from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np
import pytest
from sklearn import metrics

from trimtab.core.performance import figures_of, judge_slices
from trimtab.core.performance.slices import SliceRows
from trimtab.core.profiles import score_rows


def answered(rng: np.random.Generator, rows: int, classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    scores = rng.dirichlet(np.ones(classes), rows)
    labels = np.array([rng.choice(classes, p=row) for row in scores])
    return scores, labels.astype(float)


@pytest.mark.parametrize("classes", [2, 3])
def test_figures_are_scikit_learns(classes: int) -> None:
    """A figure in the report is checked in a notebook."""
    scores, labels = answered(np.random.default_rng(0), 3000, classes)
    found = {name: each.value for name, each in figures_of([score_rows(scores, labels)]).items()}
    predicted = scores.argmax(axis=1)
    average = "binary" if classes == 2 else "macro"
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert found["f1"] == pytest.approx(metrics.f1_score(labels, predicted, average=average))
    assert found["precision"] == pytest.approx(metrics.precision_score(labels, predicted, average=average))
    assert found["recall"] == pytest.approx(metrics.recall_score(labels, predicted, average=average))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(labels, scores), abs=1e-6)
    area = (
        metrics.roc_auc_score(labels, scores[:, 1])
        if classes == 2
        else metrics.roc_auc_score(labels, scores, multi_class="ovr")
    )
    assert found["auroc"] == pytest.approx(area, abs=1e-3)  # ties within a score bin count one half
    one_hot = np.eye(classes)[labels.astype(int)]
    brier = ((scores - one_hot) ** 2).sum(axis=1).mean() / (2 if classes == 2 else 1)
    assert found["brier"] == pytest.approx(brier)


def test_regression_has_its_own_figures() -> None:
    """Demand in bikes an hour."""
    rng = np.random.default_rng(1)
    truth = rng.normal(100, 20, 2000)
    guess = truth + rng.normal(3, 5, 2000)
    cards = [score_rows(guess[at : at + 200], truth[at : at + 200]) for at in range(0, 2000, 200)]
    found = figures_of(cards)
    assert found["mae"].value == pytest.approx(metrics.mean_absolute_error(truth, guess))
    assert found["rmse"].value == pytest.approx(metrics.root_mean_squared_error(truth, guess))
    assert found["r2"].value == pytest.approx(metrics.r2_score(truth, guess))
    assert found["r2"].low < found["r2"].value < found["r2"].high
    assert found["mae"].method == "blocks"
    assert figures_of([]) == {}


def test_intervals_hold_for_rows_and_for_days_that_differ() -> None:
    """Two hundred months; in half of the checks days have a level of their own."""
    for weather in (0.0, 1.0):
        held = {"accuracy": 0, "auroc": 0, "f1": 0}
        for seed in range(120):
            rng = np.random.default_rng([7, seed])
            cards = []
            for _ in range(20):
                logit = rng.normal(0, 1.5, 150)
                truth = rng.random(150) < 1 / (1 + np.exp(-(logit + weather * rng.normal())))
                score = 1 / (1 + np.exp(-logit))
                cards.append(score_rows(np.column_stack([1 - score, score]), truth.astype(float)))
            found = figures_of(cards)
            for name in held:
                held[name] += found[name].low <= TRUE[weather][name] <= found[name].high
        assert all(count >= 108 for count in held.values()), (weather, held)  # 114 expected of 120


def _true(weather: float) -> dict[str, float]:
    rng = np.random.default_rng(99)
    logit = rng.normal(0, 1.5, 400_000)
    truth = rng.random(400_000) < 1 / (1 + np.exp(-(logit + weather * rng.normal(size=400_000))))
    score = 1 / (1 + np.exp(-logit))
    found = figures_of([score_rows(np.column_stack([1 - score, score]), truth.astype(float))])
    return {name: found[name].value for name in ("accuracy", "auroc", "f1")}


TRUE = {weather: _true(weather) for weather in (0.0, 1.0)}


def test_a_total_is_the_sum_of_its_blocks() -> None:
    """The same figures whether the day came in one file or in twenty."""
    scores, labels = answered(np.random.default_rng(2), 1000)
    cards = [score_rows(scores[at : at + 50], labels[at : at + 50]) for at in range(0, 1000, 50)]
    whole = figures_of([reduce(add, cards)])
    assert {n: f.value for n, f in figures_of(cards).items()} == pytest.approx({n: f.value for n, f in whole.items()})


def hospitals(rng: np.random.Generator, sizes: np.ndarray, errors: np.ndarray) -> list[SliceRows]:
    rows = rng.multinomial(6000, sizes)
    bad = rng.binomial(rows, errors)
    return [
        SliceRows(f"hospital={at}", int(n), int(k), int(rows.sum() - n), int(bad.sum() - k))
        for at, (n, k) in enumerate(zip(rows, bad, strict=True))
    ]


def test_one_bad_hospital_is_not_hidden_and_small_ones_do_not_cry_wolf() -> None:
    """92 % overall, 70 % in one of forty; and forty that are all alike, many of them tiny."""
    found, cried = 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        sizes = np.sort(rng.dirichlet(np.full(40, 0.5)))
        errors = np.full(40, 0.08)
        cried += any(each.alarm for each in judge_slices(hospitals(rng, sizes, errors)))
        errors[30] = 0.3
        judged = judge_slices(hospitals(rng, sizes, errors))
        found += next(each.alarm for each in judged if each.name == "hospital=30")
        assert all(each.alarm is (each.evidence >= each.threshold) for each in judged)
        assert not any(each.alarm for each in judged if each.rows < 10)
    assert cried <= 2
    assert found >= 50


def test_clustered_rows_weigh_less() -> None:
    """A bad hour of one hospital is not a thousand independent patients."""
    rows = [SliceRows("hospital=b", 100, 32, 9900, 792)]
    alone, together = judge_slices(rows)[0], judge_slices(rows, clustering=8.0)[0]
    assert alone.alarm
    assert not together.alarm
    assert "32.0% of 100 rows are wrong" in alone.text
