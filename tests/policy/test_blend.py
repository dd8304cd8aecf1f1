"""Weights of the retained versions by what their mixture would have lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.core.policy import blend_weights


def test_candidates_that_err_apart_are_worth_more_together() -> None:
    """One version is too high wherever the other is too low: half of each is right."""
    rng = np.random.default_rng(3)
    noise = rng.normal(size=2000)
    weights = blend_weights(np.array([noise, -noise]), np.full(2000, 8 / 2000), probability=False)
    assert weights == pytest.approx([0.5, 0.5], abs=0.05)


def test_the_better_one_answers_where_the_evidence_is_clear() -> None:
    """After a change of the world, the version that was trained since answers alone."""
    rng = np.random.default_rng(4)
    right = np.clip(rng.normal(0.8, 0.05, 1000), 0.01, 0.99)
    weights = blend_weights(np.array([1 - right, right]), np.full(1000, 5 / 1000), probability=True)
    assert weights[1] > 0.97


def test_without_a_difference_nothing_is_preferred() -> None:
    """Two versions that answer alike share the requests."""
    same = np.full((3, 100), 0.7)
    assert blend_weights(same, np.ones(100), probability=True) == pytest.approx(np.full(3, 1 / 3))


def test_without_rows_nothing_is_preferred() -> None:
    """No label has come yet."""
    assert blend_weights(np.zeros((4, 0)), np.zeros(0), probability=True) == pytest.approx(np.full(4, 0.25))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.booleans())
def test_weights_are_shares(seed: int, count: int, probability: bool) -> None:
    """Whatever the errors are, the weights are shares, and the mixture is hardly worse than the plain
    mean (60 steps do not reach the very bottom of an absolute loss on 60 rows)."""
    rng = np.random.default_rng(seed)
    errors = rng.uniform(0.01, 0.99, (count, 60)) if probability else rng.normal(size=(count, 60))
    rows = np.full(60, 6 / 60)
    weights = blend_weights(errors, rows, probability=probability)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1.0)

    def lost(shares: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
        mixed = shares @ errors
        return float((-np.log(mixed) if probability else np.abs(mixed)).mean())

    assert lost(weights) <= 1.05 * lost(np.full(count, 1 / count))
