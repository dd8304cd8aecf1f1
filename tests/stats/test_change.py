"""The alarm on losses: how often in vain, how soon, and in what it counts."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab.core.stats.change import LossAlarm
from trimtab.core.stats.clustering import clustering
from trimtab.core.stats.rank_bets import RankBets


def flipped(rng: np.random.Generator, rows: int, share: float) -> np.ndarray:
    """Brier losses of a good model on rows of which a share has the other label."""
    scores = rng.beta(0.6, 3.0, rows)
    labels = rng.random(rows) < scores
    labels = np.where(rng.random(rows) < share, ~labels, labels)
    return (scores - labels) ** 2


def test_a_healthy_model_raises_no_alarm_and_a_broken_relation_is_found_at_once() -> None:
    """At row 3,000 a third of the labels turn; twelve other models stay as they were."""
    for seed in range(12):
        alarm = LossAlarm(seed=seed)
        alarm.update(flipped(np.random.default_rng(seed), 4000, 0.0))
        assert alarm.change is None
        assert alarm.ready
    for seed in range(6):
        rng = np.random.default_rng([1, seed])
        alarm = LossAlarm()
        alarm.update(np.concatenate([flipped(rng, 3000, 0.0), flipped(rng, 600, 0.35)]))
        change = alarm.change
        assert change is not None
        assert 3000 < change.at_row <= 3200
        assert abs(change.onset_row - 3000) < 150
        assert change.after > change.before
        assert "counted in rows" in change.text


def test_each_bet_is_fair_whatever_the_losses() -> None:
    """The mean of M after T ranks of exchangeable losses is at most T: that is the stated run length."""
    rng = np.random.default_rng(0)
    ends = []
    for _ in range(300):
        bets = RankBets()
        for u in rng.random(40):
            bets.take(1.0 - float(u))
        ends.append(bets.evidence)
    assert np.mean(ends) < 40 * 1.5  # heavy-tailed: 300 runs are known to a third or so
    assert np.quantile(ends, 0.99) < 40 / 0.01


def test_equal_losses_are_ranked_by_chance_and_not_against_the_model() -> None:
    """0/1 errors: nine of ten losses are the same."""
    rng = np.random.default_rng(3)
    alarm = LossAlarm()
    alarm.update((rng.random(5000) < 0.1).astype(float))
    assert alarm.change is None
    alarm.update((rng.random(1500) < 0.25).astype(float))
    assert alarm.change is not None
    assert alarm.change.onset_row > 4500


def days(rng: np.random.Generator, count: int, rows: int, level: float) -> np.ndarray:
    """Losses of days that have their weather in common."""
    weather = rng.gamma(4, level / 4, count)
    return (weather[:, None] * rng.uniform(0, 2, (count, rows))).ravel()


def test_days_with_weather_are_counted_as_days() -> None:
    """Flights: a storm raises a whole day. Rows would cry wolf; days do not, and still see that delays doubled."""
    rng = np.random.default_rng(1)
    alarm = LossAlarm()
    losses = days(rng, 120, 100, 1.0)
    times = np.repeat(np.arange(120) * 86400.0, 100) + np.tile(np.arange(100) * 600.0, 120)
    alarm.update(losses, times)
    assert alarm.unit == "blocks"
    assert alarm.clustering > 2
    assert alarm.change is None
    forced = LossAlarm(unit="rows")
    forced.update(losses)
    assert forced.change is not None  # what not measuring the clustering would cost
    alarm.update(days(rng, 60, 100, 2.0), times[-1] + 600 + times[:6000])
    assert alarm.change is not None
    assert abs(alarm.change.onset_row - 12_000) <= 500
    alarm.reset()
    assert (alarm.rows, alarm.unit) == (0, "blocks")  # that days differ is not forgotten


def test_one_step_does_not_look_like_clustering() -> None:
    """What the alarm looks for must not make it wait."""
    rng = np.random.default_rng(2)
    stepped = np.concatenate([rng.random(3000), 0.5 + rng.random(3000)])
    found = clustering(stepped)
    assert found is not None
    assert not found.shown
    assert clustering(np.ones(1000)) is None
    assert clustering(rng.random(200)) is None


def test_a_rise_within_the_tolerance_is_nobodys_concern() -> None:
    """Large losses became a tenth more frequent, and a fifth is allowed."""
    rng = np.random.default_rng(4)
    losses = np.concatenate([rng.random(20_000) < 0.2, rng.random(20_000) < 0.23]).astype(float)
    strict, lenient = LossAlarm(), LossAlarm(tolerance=0.2)
    strict.update(losses)
    lenient.update(losses)
    assert strict.change is not None
    assert lenient.change is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LossAlarm(run_rows=1), "run_rows must be a finite number of at least 100"),
        (lambda: LossAlarm(unit="days"), "unit must be auto, rows or blocks, found 'days'"),  # type: ignore[arg-type]
        (lambda: LossAlarm().update([0.1, float("nan")]), r"found nan at \[1\]"),
        (lambda: LossAlarm().update([0.1, 0.2], [1.0]), "times must be one finite number for each of 2"),
        (lambda: LossAlarm().update([0.1, 0.2], [2.0, 1.0]), "times must not go back"),
    ],
)
def test_what_cannot_be_meant_is_refused(call, message: str) -> None:  # type: ignore[no-untyped-def]
    """A notebook passes the wrong column."""
    with pytest.raises(ValueError, match=message):
        call()
