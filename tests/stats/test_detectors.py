"""Detectors of a rise: how often they cry wolf, how soon they see it, when they say it began."""

from __future__ import annotations

import numpy as np

from trimtab.core.stats.detectors import rank_bets, rise_bets, shiryaev_roberts, step_onset


def test_false_alarms_are_rarer_than_stated() -> None:
    """A healthy model is looked at each day for a year: at most alpha of such years may alarm (P <= T / c)."""
    rng = np.random.default_rng(11)
    days, alpha, runs = 200, 0.1, 120
    limit = np.log(days / alpha)
    by_rise = by_rank = 0
    for _ in range(runs):
        losses = rng.gamma(4, 1, days + 40)
        z = (losses[40:] - 4.0) / 2.0
        by_rise += shiryaev_roberts(rise_bets(z)).max() >= limit
        by_rank += shiryaev_roberts(rank_bets(losses, 40)).max() >= limit
    # 120 runs at 0.1: 21 or more would be 3.3 standard deviations too many
    assert by_rank <= 20
    assert by_rise <= 20


def test_a_rise_is_found_and_dated() -> None:
    """The relation of inputs and label changes at day 60: seen within two weeks, dated within two days."""
    rng = np.random.default_rng(5)
    losses = np.concatenate([rng.normal(1, 0.1, 60), rng.normal(1.3, 0.1, 30)])
    limit = np.log(365 / 0.01)
    for bets in (rise_bets((losses - 1.0) / 0.1), rank_bets(losses, 40)):
        first = int(np.flatnonzero(shiryaev_roberts(bets) >= limit)[0])
        assert 60 <= first <= 80
        assert abs(step_onset(losses[: first + 1], 1.0) - 60) <= 2


def test_no_blocks_no_evidence() -> None:
    """Labels are months away."""
    assert shiryaev_roberts(rise_bets(np.zeros(0))).size == 0
    assert step_onset(np.zeros(0), 1.0) == 0
    assert step_onset(np.array([0.5, 0.4]), 1.0) == 2, "a fall is no rise"
