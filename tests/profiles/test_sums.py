"""Monitoring is addition: whoever counted which rows, in which order, the sum is the same."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.core.domain.errors import DataError
from trimtab.core.profiles import (
    Baseline,
    Categorical,
    Column,
    Evaluation,
    Profile,
    Scorecard,
    categorical,
    empty_scorecard,
    score_rows,
    take_rows,
)


def columns_for(rng: np.random.Generator, rows: int) -> dict[str, Column]:
    number = rng.normal(size=rows)
    number[rng.random(rows) < 0.1] = np.nan
    number[rng.random(rows) < 0.01] = np.inf
    letters = rng.choice(list("abcdefghijklmnopqrstuvwxyz"), rows)
    return {
        "x": number,
        "count": rng.poisson(2, rows).astype(float),
        "c": categorical([None if letter == "z" else str(letter) for letter in letters]),
    }


@functools.cache
def baseline() -> Baseline:
    rng = np.random.default_rng(7)
    columns = columns_for(rng, 2000)
    column = columns["c"]
    assert isinstance(column, Categorical)
    kept = column.codes < 12  # half of the letters are unseen
    scores = rng.dirichlet([1, 1], 500)
    evaluation = Evaluation(scores, rng.integers(0, 2, 500).astype(float), np.arange(500) * 600.0)
    return Baseline.fit(take_rows(columns, kept), time=np.arange(int(kept.sum())) * 300.0, evaluation=evaluation)


def same(a: Profile, b: Profile) -> bool:
    exact = a.rows == b.rows and (a.counts == b.counts).all() and a.names == b.names
    return bool(exact and (a.low == b.low).all() and (a.high == b.high).all() and np.allclose(a.stats, b.stats))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(0, 300), max_size=6), turn=st.randoms())
def test_any_partition_in_any_order(seed: int, cuts: list[int], turn: st.DataObject) -> None:
    """Three servers, a minute each, late files, a restart: the day's profile does not care."""
    rng = np.random.default_rng(seed)
    rows = 300
    columns = columns_for(rng, rows)
    scores = rng.dirichlet([1, 1], rows)
    bounds = [0, *sorted(cuts), rows]
    parts = [baseline().profile(take_rows(columns, slice(a, b)), scores[a:b]) for a, b in itertools.pairwise(bounds)]
    turn.shuffle(parts)  # type: ignore[attr-defined]
    whole = baseline().profile(columns, scores)
    assert same(functools.reduce(Profile.__add__, parts), whole)
    assert same(functools.reduce(lambda a, b: b + a, parts), whole)
    assert same(baseline().empty() + whole, whole)
    assert same(Profile.from_bytes(whole.to_bytes()), whole)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(0, 200), classes=st.sampled_from([0, 2, 4]))
def test_scorecards_add_up(seed: int, cut: int, classes: int) -> None:
    """Labels arrive over hours; each batch is scored when it comes."""
    rng = np.random.default_rng(seed)
    if classes:
        scores = rng.dirichlet(np.ones(classes), 200)
        labels = rng.integers(-1, classes, 200).astype(float)
    else:
        scores = rng.normal(size=200)
        labels = np.where(rng.random(200) < 0.2, np.nan, scores + rng.normal(size=200))
    whole = score_rows(scores, labels)
    parts = score_rows(scores[:cut], labels[:cut]) + score_rows(scores[cut:], labels[cut:])
    for card in (parts, empty_scorecard(classes) + parts, Scorecard.from_bytes(whole.to_bytes())):
        assert card.rows == whole.rows
        np.testing.assert_array_equal(card.confusion, whole.confusion)
        np.testing.assert_array_equal(card.histogram, whole.histogram)
        np.testing.assert_allclose(card.losses, whole.losses)
        np.testing.assert_allclose(card.errors, whole.errors)
    assert whole.rows == np.count_nonzero(labels >= 0 if classes else np.isfinite(labels))


def test_other_bins_never_add_up() -> None:
    """A profile of the old champion must not be added to one of the new champion."""
    other = Baseline.fit({"x": np.arange(10.0)})
    with pytest.raises(DataError, match="different baselines"):
        baseline().empty() + other.empty()


def test_moments_and_extremes_are_the_rows_own() -> None:
    """People read means and ranges; they must be those of the rows."""
    column = np.array([1.0, 2.0, np.nan, np.inf, -5.0])
    fitted = Baseline.fit({"x": np.array([0.0, 1.0, 2.0])})
    profile = fitted.profile({"x": column})
    assert (profile.low[0], profile.high[0], profile.counts[-1], profile.stats[0, 1]) == (-5.0, 2.0, 1, 1)
    assert profile.counts.sum() == 5


def test_auroc_and_losses_agree_with_the_field() -> None:
    """The scorecard's figures are those that scikit-learn gives on the rows."""
    from sklearn.metrics import brier_score_loss, confusion_matrix, log_loss, roc_auc_score

    rng = np.random.default_rng(1)
    p = np.clip(np.round(rng.beta(1, 3, 5000), 3), 0.001, 0.999)
    y = (rng.random(5000) < p).astype(float)
    scores = np.stack([1 - p, p], axis=1)
    card = score_rows(scores, y)
    assert card.loss == pytest.approx(brier_score_loss(y, scores[:, 1]), abs=1e-5)
    assert card.log_loss == pytest.approx(log_loss(y, scores), abs=1e-5)
    assert card.auroc() == pytest.approx(roc_auc_score(y, p), abs=0.002)
    np.testing.assert_array_equal(card.confusion, confusion_matrix(y, scores.argmax(axis=1)))
