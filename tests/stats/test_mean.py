"""MeanTest: the bets are fair, the claims hold, the figures of docs/statistics.md are met."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.core.stats.bets import ArmBets, MeanBets
from trimtab.stats import MeanTest


def generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def brier(chance: np.random.Generator, rows: int, first: float, second: float) -> tuple[np.ndarray, np.ndarray]:
    """Brier losses at a base rate of 24 % of two classifiers that see the log-odds through noise."""
    log_odds = chance.normal(-1.45, 1.1, rows)
    label = chance.random(rows) < 1 / (1 + np.exp(-log_odds))
    one, two = ((1 / (1 + np.exp(-(log_odds + chance.normal(0, sd, rows)))) - label) ** 2 for sd in (first, second))
    return one, two


def rows_until_decided(test: MeanTest, champion: np.ndarray, challenger: np.ndarray, look: int = 10) -> int:
    for start in range(0, champion.size, look):
        test.update(champion[start : start + look], challenger[start : start + look])
        if test.verdict != "inconclusive":
            return start + look
    return champion.size


@given(st.floats(0, 1), st.floats(-1, 1), st.floats(-1, 1))
def test_a_bet_on_one_row_is_fair(weight: float, a: float, b: float) -> None:
    """Any two-point law of a difference: the evidence against its own mean has expectation one, against a lesser
    one less."""
    mean = weight * a + (1 - weight) * b
    for log_e in ("log_above", "log_below"):
        total = 0.0
        for chance, value in ((weight, a), (1 - weight, b)):
            bets = MeanBets()
            bets.update(np.array([value]))
            total += chance * math.exp(getattr(bets, log_e)(min(1.0, max(-1.0, mean))))
        assert total == pytest.approx(1.0, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=2), st.lists(st.floats(0, 1), min_size=2, max_size=2))
def test_bets_on_split_losses_are_fair(champion: list[float], challenger: list[float]) -> None:
    """Losses between 0 and 1, three rows of one arm and two of the other: mean over all outcomes at most one."""
    gap = sum(challenger) / 2 - sum(champion) / 2
    above = below = 0.0
    for code in range(2**5):
        bits = [(code >> i) & 1 for i in range(5)]
        base = np.array([champion[bit] for bit in bits[:3]])
        other = np.array([challenger[bit] for bit in bits[3:]])
        bets = ArmBets()
        bets.update(base, other)
        above += math.exp(bets.log_above(gap)) / 2**5
        below += math.exp(bets.log_below(gap)) / 2**5
    assert above <= 1 + 1e-9
    assert below <= 1 + 1e-9


def test_equal_models_rarely_fail() -> None:
    """A retrained model of the same quality in shadow, 3,000 labelled rows, a look every 10."""
    chance, runs, failed = generator(2), 100, 0
    for _ in range(runs):
        test = MeanTest(alpha=0.05, margin=0.0)
        rows_until_decided(test, *brier(chance, 3000, 0.6, 0.6))
        failed += test.verdict == "failed"
    assert failed / runs <= 0.05


@pytest.mark.parametrize("paired", [True, False])
def test_worse_by_the_margin_is_rarely_called_successful(paired: bool) -> None:
    """The challenger is worse by exactly what is tolerated: the edge of the claim."""
    chance, runs, passed = generator(6), 80, 0
    for _ in range(runs):
        champion = 0.9 * chance.random(2000)
        challenger = champion + 0.02 + chance.choice([-0.02, 0.02], 2000)
        test = MeanTest(alpha=0.05, margin=0.02, paired=paired)
        rows_until_decided(test, champion if paired else chance.permutation(champion), challenger, 20)
        passed += test.verdict == "successful"
    assert passed / runs <= 0.05


def test_paired_brier_losses_are_decided_within_500_rows() -> None:
    """Two real classifiers that differ by 0.03: 500 labelled rows in shadow must do."""
    chance = generator(9)
    stops = []
    for _ in range(60):
        test = MeanTest(alpha=0.05, margin=0.01)
        losses = brier(chance, 3000, 0.4, 1.2)
        stops.append(rows_until_decided(test, *losses))
        assert test.verdict == "failed"
    assert np.median(stops) <= 500


def test_an_equal_model_passes_within_a_week_of_labels() -> None:
    """300 labelled rows a day, tolerated 0.01: most good challengers are through after seven days."""
    chance = generator(10)
    stops = []
    for _ in range(40):
        test = MeanTest(alpha=0.025, margin=0.01)
        stops.append(rows_until_decided(test, *brier(chance, 6000, 0.4, 0.4)))
        assert test.verdict == "successful"
    assert np.median(stops) <= 2100


def test_pairing_needs_a_fraction_of_the_rows() -> None:
    """The reason for shadow: what is hard for both cancels out."""
    chance = generator(12)
    paired, split = [], []
    for _ in range(15):
        one, two = brier(chance, 20_000, 0.4, 0.9)
        paired.append(rows_until_decided(MeanTest(margin=0.01), one, two, 50))
        split.append(rows_until_decided(MeanTest(margin=0.01, paired=False), one[:10_000], two[10_000:], 50))
    assert np.median(paired) < 0.6 * np.median(split)


def test_the_interval_holds_a_wandering_mean() -> None:
    """The difference follows the hour of the day; the interval is of its running average."""
    chance, runs, missed = generator(13), 30, 0
    for _ in range(runs):
        test = MeanTest()
        means = []
        for hour in range(36):
            mean = 0.05 * math.sin(hour / 4)
            rows = np.clip(chance.normal(mean, 0.1, 40), mean - 0.4, mean + 0.4)
            test.update(np.maximum(-rows, 0), np.maximum(rows, 0))
            means.append(mean)
            low, high = test.interval
            if not low <= float(np.mean(means)) <= high:
                missed += 1
                break
    assert missed / runs <= 0.05


def test_units_of_the_loss_are_those_of_the_answer() -> None:
    """Absolute errors in minutes between 0 and 60: margin, difference and interval are minutes too."""
    chance = generator(14)
    champion = chance.gamma(4, 2, 4000).clip(0, 60)
    challenger = (champion + chance.normal(1.5, 3, 4000)).clip(0, 60)
    test = MeanTest(margin=0.5, lower=0, upper=60)
    test.update(champion, challenger)
    assert test.verdict == "failed"
    assert test.difference == pytest.approx(float((challenger - champion).mean()))
    low, high = test.interval
    assert 0 < low < test.difference < high < 4


def test_the_forecast_is_about_right() -> None:
    """The status says how many labelled rows are still needed: the answer must come in that order of magnitude."""
    chance = generator(15)
    one, two = brier(chance, 20_000, 0.5, 0.5)
    test = MeanTest(margin=0.005)
    test.update(one[:1000], two[:1000])
    forecast = test.rows_forecast
    done = 1000 + rows_until_decided(test, one[1000:], two[1000:], 50)
    assert forecast is None or done / 6 < forecast < 6 * done
    worse = MeanTest(margin=0.005)
    worse.update(one[:50], np.minimum(1.0, one[:50] + 0.1))
    assert worse.rows_forecast is None


def test_the_verdict_does_not_depend_on_the_looks() -> None:
    """Ten thousand labels arrive at once after a weekend: judged row by row all the same."""
    one, two = brier(generator(17), 12_000, 0.4, 0.7)
    whole, parts = MeanTest(margin=0.01), MeanTest(margin=0.01)
    whole.update(one, two)
    for start in range(0, 12_000, 7):
        parts.update(one[start : start + 7], two[start : start + 7])
    assert whole.log_e_value == pytest.approx(parts.log_e_value, abs=1e-6)
    assert whole.verdict == parts.verdict
    assert whole.interval == pytest.approx(parts.interval, abs=1e-5)


@pytest.mark.parametrize("paired", [True, False])
def test_state_survives_a_restart(paired: bool) -> None:
    """The controller dies between two looks; one arm had no rows yet in the split case."""
    chance = generator(16)
    looks = [brier(chance, 20, 0.4, 0.8) for _ in range(10)]
    whole, half = MeanTest(paired=paired, margin=0.01), MeanTest(paired=paired, margin=0.01)
    if not paired:
        looks.insert(3, (np.array([0.5]), np.array([])))
    for look in looks:
        whole.update(*look)
    for look in looks[:4]:
        half.update(*look)
    resumed = MeanTest.from_dict(json.loads(json.dumps(half.to_dict())))
    for look in looks[4:]:
        resumed.update(*look)
    assert resumed.to_dict() == whole.to_dict()
    assert resumed.interval == whole.interval


def test_nothing_seen_is_inconclusive() -> None:
    """No labels yet: no evidence, and no figure in place of one."""
    test = MeanTest()
    test.update([], [])
    assert (test.verdict, test.e_value, test.difference, test.rows_forecast) == ("inconclusive", 1.0, None, None)
    assert test.interval == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("champion", "challenger", "message"),
    [
        ([0.1, 0.2], [0.1], "found 2 champion and 1 challenger losses"),
        ([0.1, float("nan")], [0.1, 0.1], r"champion\[1\] is .*nan.*, outside \[0, 1\]"),
        ([0.1, 0.2], [0.1, 1.2], r"challenger\[1\] is .*1.2.*, outside \[0, 1\] \(1 of 2"),
        ([[0.1]], [[0.1]], "champion must be one-dimensional, found shape"),
    ],
)
def test_wrong_losses_are_named(champion: list[float], challenger: list[float], message: str) -> None:
    """Log losses are not bounded by 1; a label that never came is NaN."""
    test = MeanTest()
    with pytest.raises(ValueError, match=message):
        test.update(champion, challenger)
    assert test.champion_rows == 0


def test_wrong_bounds_are_named() -> None:
    """The bounds the wrong way round."""
    with pytest.raises(ValueError, match="lower must be less than upper"):
        MeanTest(lower=1, upper=0)
