"""RateTest: exact by enumeration, then by simulation of rollouts."""

from __future__ import annotations

import json
import math
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.core.stats.bets import ArmBets
from trimtab.core.stats.rate import ODDS, ODDS_WEIGHTS, conditional_log_ratios, log_factorial, share_log_ratios
from trimtab.stats import RateTest


def generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@given(st.lists(st.integers(0, 3_000_000), min_size=1, max_size=20))
def test_log_factorial_is_lgamma(numbers: list[int]) -> None:
    """Looks of any size, from a request to a busy day, cross from the table into the series."""
    expected = [math.lgamma(n + 1) for n in numbers]
    assert np.allclose(log_factorial(np.array(numbers, dtype=np.int64)), expected, rtol=1e-12, atol=1e-12)


@given(st.integers(1, 30), st.integers(1, 30), st.data())
def test_conditional_ratio_is_the_noncentral_hypergeometric(n0: int, n1: int, data: st.DataObject) -> None:
    """One look, by hand: the likelihood ratio equals the definition, and its mean over 'no harm' is exactly one."""
    bad = data.draw(st.integers(0, n0 + n1))
    support = range(max(0, bad - n0), min(bad, n1) + 1)
    weights = {k: comb(n1, k) * comb(n0, bad - k) for k in support}
    whole = comb(n0 + n1, bad)
    expectation = np.zeros(ODDS.size)
    for k in support:
        found = conditional_log_ratios(ints(k), ints(bad), ints(n1), ints(n0 + n1))[0]
        for index, odds in enumerate(ODDS):
            alternative = weights[k] * odds**k / sum(weights[j] * odds**j for j in support)
            assert found[index] == pytest.approx(math.log(alternative * whole / weights[k]), abs=1e-9)
        expectation += weights[k] / whole * np.exp(found)
    assert expectation == pytest.approx(np.ones(ODDS.size), abs=1e-9)


def test_many_looks_at_once_equal_one_by_one() -> None:
    """The campaign judges thousands of runs in one call; a rollout judges one look. Both must be the same
    arithmetic."""
    bad1, bad0, n1, n0 = ints(0, 3, 50, 2), ints(0, 1, 20, 300), ints(1, 10, 60, 50), ints(5, 40, 9000, 5000)
    together = conditional_log_ratios(bad1, bad0 + bad1, n1, n0 + n1)
    for i in range(4):
        alone = conditional_log_ratios(bad1[i : i + 1], (bad0 + bad1)[i : i + 1], n1[i : i + 1], (n0 + n1)[i : i + 1])
        assert together[i] == pytest.approx(alone[0], abs=1e-9)


@given(st.integers(0, 40), st.floats(0.001, 0.999))
def test_share_ratio_is_fair(bad: int, share: float) -> None:
    """A look of one request, routed by a known share: the mean of each bet over 'no harm' is exactly one."""
    k = np.arange(bad + 1)
    pmf = np.array([comb(bad, int(i)) for i in k]) * share**k * (1 - share) ** (bad - k)
    values = np.array([np.exp(share_log_ratios(int(i), bad, share)) for i in k])
    assert pmf @ values == pytest.approx(np.ones(ODDS.size), rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.floats(0.0, 1.0), st.floats(-1.0, 1.0), st.booleans(), st.booleans())
def test_bets_on_two_arms_are_fair(n0: int, n1: int, p0: float, gap: float, first: bool, worse: bool) -> None:
    """Any level, any shares, the first look or a later one: the mean of the bet over the hypothesis is at most one.

    Enumerates every outcome of a look, for rates that differ by exactly the difference tested, and by less.
    """
    p1 = min(1.0, max(0.0, p0 + gap))
    difference = min(1.0, p1 - p0 + 0.1) if worse else max(-1.0, p1 - p0 - 0.1)
    for tested in (p1 - p0, difference):
        mean = 0.0
        for b0 in range(n0 + 1):
            for b1 in range(n1 + 1):
                chance = comb(n0, b0) * p0**b0 * (1 - p0) ** (n0 - b0) * comb(n1, b1) * p1**b1 * (1 - p1) ** (n1 - b1)
                bets = ArmBets()
                if not first:
                    bets._seen = (40.0, 6.0)  # as after 40 rows of which 6 were bad
                bets.update_counts(ints(b0, b1)[None], ints(n0, n1)[None], 0.0)
                log_e = bets.log_above(tested) if worse else bets.log_below(tested)
                mean += chance * math.exp(log_e)
        assert mean <= 1 + 1e-9


@pytest.mark.parametrize(("rate", "share"), [(0.001, 0.01), (0.001, 0.5), (0.05, 0.05), (0.2, 0.5)])
def test_equal_arms_rarely_fail_however_often_looked_at(rate: float, share: float) -> None:
    """A harmless challenger, 20,000 requests, somebody looks every 200: a z-test stops a third of them."""
    chance, runs, stopped = generator(11), 300, 0
    for _ in range(runs):
        n1 = chance.binomial(200, share, size=100)
        bad1, bad0 = chance.binomial(n1, rate), chance.binomial(200 - n1, rate)
        keep = (n1 > 0) & (n1 < 200)
        steps = conditional_log_ratios(bad1[keep], (bad0 + bad1)[keep], n1[keep], np.full(int(keep.sum()), 200))
        paths = np.exp(np.cumsum(steps, axis=0)) @ ODDS_WEIGHTS
        stopped += bool((paths >= 20).any())
    assert stopped / runs <= 0.05


def drive(test: RateTest, chance: np.random.Generator, p0: float, p1: float, looks: int = 100, rows: int = 100) -> int:
    """Rows per arm until the test is decided."""
    for look in range(1, looks + 1):
        test.update(int(chance.binomial(rows, p0)), rows, int(chance.binomial(rows, p1)), rows)
        if test.verdict != "inconclusive":
            return look * rows
    return looks * rows


@pytest.mark.parametrize(("p0", "p1", "median"), [(0.05, 0.07, 1900), (0.05, 0.10, 450), (0.20, 0.25, 1050)])
def test_harm_is_found_in_time(p0: float, p1: float, median: int) -> None:
    """The challenger answers wrongly half again as often; the figures are those promised in docs/statistics.md."""
    chance = generator(3)
    stops = []
    for _ in range(60):
        test = RateTest(alpha=0.05, margin=0.0)
        stops.append(drive(test, chance, p0, p1))
        assert test.verdict == "failed"
    assert np.median(stops) <= 1.25 * median  # 60 runs; benchmarks/rollout measures 2,000


def test_a_share_that_changes_with_the_error_rate_is_no_harm() -> None:
    """The share rises to 50 % just when an outage doubles all errors: pooled, the challenger looks twice as bad."""
    chance, failed = generator(5), 0
    for _ in range(60):
        test = RateTest(alpha=0.05)
        for share, rate in [(0.02, 0.02)] * 20 + [(0.5, 0.10)] * 20:
            n1 = int(chance.binomial(500, share))
            test.update(int(chance.binomial(500 - n1, rate)), 500 - n1, int(chance.binomial(n1, rate)), n1)
        failed += test.verdict == "failed"
        assert test.challenger_bad / test.challenger_total > 1.3 * test.champion_bad / test.champion_total
    assert failed <= 3


def test_single_requests_with_a_known_share() -> None:
    """A small service asks after every request; half of the bad answers come from the 10 % that the challenger
    answers."""
    chance = generator(8)
    test = RateTest(alpha=0.05)
    rows = 0
    while rows < 3000:
        rows += 1
        challenger = chance.random() < 0.1
        bad = chance.random() < (0.3 if challenger else 0.05)
        counts = (int(bad), 1)
        test.update(*((0, 0, *counts) if challenger else (*counts, 0, 0)), share=0.1)
        if test.verdict == "failed":
            break
    assert test.verdict == "failed"
    assert rows < 1500


def test_no_bad_event_at_all_is_success_after_enough_rows() -> None:
    """Two healthy versions without any error: neither stays undecided for ever nor passes on a handful of rows."""
    test = RateTest(alpha=0.05, margin=0.01)
    test.update(0, 50, 0, 50)
    assert test.verdict == "inconclusive"
    rows = drive(test, generator(1), 0.0, 0.0)
    assert test.verdict == "successful"
    assert 300 <= rows <= 1500
    assert test.interval[0] <= 0.0 <= test.interval[1] < 0.015


def test_the_interval_holds_the_difference_at_every_look() -> None:
    """A person watches the interval on the status page all day: it must hold the truth all day."""
    chance, runs, missed = generator(21), 60, 0
    for _ in range(runs):
        test = RateTest(alpha=0.05, margin=0.0)
        for _ in range(25):
            test.update(int(chance.binomial(180, 0.04)), 180, int(chance.binomial(60, 0.07)), 60)
            low, high = test.interval
            if not low <= 0.03 <= high:
                missed += 1
                break
    assert missed / runs <= 0.05
    assert high - low < 0.1


def test_worse_within_the_margin_is_tolerated() -> None:
    """A million requests a day show a rise of 0.1 points beyond doubt; the policy tolerates 1 point."""
    test = RateTest(alpha=0.05, margin=0.01)
    for _ in range(10):
        test.update(50_000, 1_000_000, 51_000, 1_000_000)
    assert test.e_value > 20
    assert test.verdict == "successful"


def test_a_failure_stays() -> None:
    """After the abort late good rows come in: the verdict in the journal must not turn."""
    test = RateTest(alpha=0.05, margin=0.01)
    for _ in range(20):
        test.update(1, 100, 20, 100)
    assert test.verdict == "failed"
    for _ in range(400):
        test.update(10, 100, 0, 100)
    assert test.e_value < 1
    assert test.verdict == "failed"


def test_state_survives_a_restart() -> None:
    """The controller dies in the middle of a rollout and goes on from the stored state."""
    chance = generator(4)
    looks = [(int(chance.binomial(90, 0.05)), 90, int(chance.binomial(10, 0.08)), 10) for _ in range(30)]
    looks.insert(5, (3, 40, 0, 0))
    whole, half = RateTest(0.05, 0.02), RateTest(0.05, 0.02)
    for look in looks:
        whole.update(*look)
    for look in looks[:6]:
        half.update(*look)
    resumed = RateTest.from_dict(json.loads(json.dumps(half.to_dict())))
    for look in looks[6:]:
        resumed.update(*look)
    assert resumed.to_dict() == whole.to_dict()
    assert (resumed.e_value, resumed.interval, resumed.verdict) == (whole.e_value, whole.interval, whole.verdict)


def test_many_looks_in_one_call_are_as_one_by_one() -> None:
    """The analysis replays the whole rollout at each tick: the verdict may not depend on how it is fed."""
    chance = generator(6)
    looks = np.stack(
        [chance.binomial(60, 0.1, 80), np.full(80, 60), chance.binomial(3, 0.2, 80), chance.integers(0, 4, 80)], axis=1
    )
    looks[:, 2] = np.minimum(looks[:, 2], looks[:, 3])
    one, all_ = RateTest(margin=0.02), RateTest(margin=0.02)
    for look in looks:
        one.update(*(int(x) for x in look))
    all_.update_looks(looks)
    assert all_.log_e_value == pytest.approx(one.log_e_value, abs=1e-9)
    assert all_.interval == pytest.approx(one.interval, abs=2e-6)
    assert all_.verdict == one.verdict
    assert (all_.champion_bad, all_.challenger_total) == (one.champion_bad, one.challenger_total)


def test_a_failure_between_two_looks_counts() -> None:
    """The evidence stood over the threshold at noon and fell until the evening tick."""
    bad_then_good = np.array([[1, 100, 20, 100]] * 5 + [[10, 100, 0, 100]] * 200)
    test = RateTest(margin=0.0)
    test.update_looks(bad_then_good)
    assert test.e_value < 20
    assert test.verdict == "failed"


def test_looks_with_and_without_a_share_mix() -> None:
    """The share was known for part of the rollout only."""
    test = RateTest(margin=0.05)
    test.update(0, 1, 0, 0, share=0.1)
    test.update(0, 30, 0, 0)
    test.update(0, 400, 0, 60)
    test.update(1, 1, 0, 0, share=0.1)
    assert test.e_value < 1.0
    assert test.champion_total == 432
    assert test.verdict in ("successful", "inconclusive")


def test_a_look_with_an_empty_arm_waits() -> None:
    """At 1 % many looks have no row of the challenger: they join the next instead of being lost."""
    waited, joined = RateTest(), RateTest()
    waited.update(4, 100, 0, 0)
    waited.update(6, 100, 1, 2)
    joined.update(10, 200, 1, 2)
    assert waited.e_value == joined.e_value
    assert waited.interval == joined.interval
    assert waited.champion_total == 200


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((5, 4, 0, 1), "champion_bad is 5, more than champion_total 4"),
        ((0, 4, -1, 1), "challenger_bad must be a whole number of at least 0, found -1"),
        ((0, 4.5, 0, 1), "champion_total must be a whole number"),
    ],
)
def test_wrong_counts_are_named(counts: tuple[int, int, int, int], message: str) -> None:
    """Totals without the errors in them: a usual slip."""
    test = RateTest()
    with pytest.raises(ValueError, match=message):
        test.update(*counts)
    assert test.champion_total == 0


def test_wrong_settings_are_named() -> None:
    """alpha in percent, a negative margin, a share in percent, the state of another test."""
    with pytest.raises(ValueError, match="alpha must be between 0 and 1, found 5"):
        RateTest(alpha=5)
    with pytest.raises(ValueError, match="margin must be a finite number of at least 0"):
        RateTest(margin=-0.1)
    with pytest.raises(ValueError, match="share must be between 0 and 1, found 5"):
        RateTest().update(0, 1, 0, 1, share=5)
    with pytest.raises(ValueError, match="not the state of a rate test"):
        RateTest.from_dict({"test": "mean", "format": 1})
