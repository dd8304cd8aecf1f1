"""Distances from counts against the exact ones from rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from trimtab.core.profiles import Baseline
from trimtab.core.stats.distances import js_distance, ks_distance, psi, variation_distance, wasserstein


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    shift=st.floats(-3, 3),
    scale=st.floats(0.3, 3),
    heavy=st.booleans(),
    rows=st.integers(5, 3000),
)
def test_ks_and_wasserstein_within_their_stated_bounds(
    seed: int, shift: float, scale: float, heavy: bool, rows: int
) -> None:
    """Servers keep counts, not rows; the figures people read must still be right."""
    rng = np.random.default_rng(seed)
    reference = rng.standard_t(2, 4000) if heavy else rng.normal(size=4000)
    current = shift + scale * rng.normal(size=rows)
    baseline = Baseline.fit({"x": reference})
    profile, feature = baseline.profile({"x": current}), baseline.layout.features[0]
    then, now = baseline.total.counts[:-1], profile.counts[:-1]
    exact = stats.ks_2samp(reference, current).statistic
    ours = ks_distance(then, now)
    in_bin = max(then.max() / 4000, now.max() / rows)
    assert exact - in_bin - 1e-9 <= ours <= exact + 1e-9
    low, high = float(min(reference.min(), current.min())), float(max(reference.max(), current.max()))
    points = np.concatenate([[low], feature.edges, [high]])
    width = np.diff(points)
    bound = (width * then).sum() / 4000 + (width * now).sum() / rows
    moved = wasserstein(feature.edges, then, now, low, high)
    assert abs(moved - stats.wasserstein_distance(reference, current)) <= bound + 1e-9


def test_known_values() -> None:
    """Two coins: the textbook's numbers."""
    fair, biased = np.array([50.0, 50.0]), np.array([90.0, 10.0])
    assert variation_distance(fair, biased) == pytest.approx(0.4)
    assert js_distance(fair, biased) == pytest.approx(jensenshannon(fair, biased, base=2))
    assert psi(fair, biased) == pytest.approx(0.4 * np.log(1.8) - 0.4 * np.log(0.2), rel=0.05)
    assert js_distance(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx(1.0)


def test_nothing_is_far_from_nothing() -> None:
    """A feature of which no row was seen has no distance."""
    none, some = np.zeros(3), np.array([1.0, 2.0, 3.0])
    for distance in (ks_distance, variation_distance, psi, js_distance):
        assert distance(none, some) == 0.0
    assert wasserstein(np.array([0.0, 1.0]), none, some, 0.0, 1.0) == 0.0
