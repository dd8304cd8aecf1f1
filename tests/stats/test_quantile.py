"""QuantileTest: against the definition bin by bin, then by simulation of latencies."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.core.stats import quantile as module
from trimtab.stats import QuantileTest


def generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def by_definition(low: module._Bins, high: module._Bins, q: float, shift: float) -> float:
    """The least over every bin that the champion's quantile could be in, one after another."""
    every = np.concatenate([[module._ZERO_BIN, module._ZERO_BIN + 1], np.arange(-500, 1300), [module._TOP_BIN]])
    starts = np.where(high.bins > module._ZERO_BIN, module._edge(high.bins - 1), 0.0)
    below = np.where(low.bins[None, :] < every[:, None], low.counts, 0).sum(axis=1)
    limits = (module._edge(every) + shift)[:, None]
    # a bin is counted when the limit is above its lower edge: then the limit's own bin reaches at least to it
    reached = (starts < limits * (1 - 1e-9)) | ((high.bins == module._ZERO_BIN) & (limits >= 0))
    up_to = np.where(reached, high.counts, 0).sum(axis=1)
    one = module._log_mixture(below, low.n, q, module._ODDS)
    two = module._log_mixture(up_to, high.n, q, 1 / module._ODDS)
    return float((one + two).min())


values = st.lists(st.one_of(st.just(0.0), st.floats(0.1, 500.0)), min_size=1, max_size=25)


@settings(max_examples=60, deadline=None)
@given(values, values, st.sampled_from([0.5, 0.95]), st.one_of(st.just(0.0), st.floats(-50, 50)))
def test_evidence_is_the_least_over_all_bins(one: list[float], two: list[float], q: float, shift: float) -> None:
    """Ties, zeros, few values, any shift: looking only where counts change must miss no bin."""
    low, high = module._Bins(), module._Bins()
    low.add(np.array(one))
    high.add(np.array(two))
    found = module._log_evidence(low, high, q, shift)
    assert found <= by_definition(low, high, q, shift) + 1e-6


@given(st.integers(1, 60), st.floats(0.05, 0.95))
def test_one_arm_is_fair(n: int, q: float) -> None:
    """The mean of the evidence over all counts is one where the probability is q."""
    counts = np.arange(n + 1)
    pmf = np.array([math.comb(n, int(k)) for k in counts]) * q**counts * (1 - q) ** (n - counts)
    for odds in (module._ODDS, 1 / module._ODDS):
        assert float(pmf @ np.exp(module._log_mixture(counts, n, q, odds))) == pytest.approx(1.0, rel=1e-9)


def run(chance: np.random.Generator, factor: float, margin: float, looks: int = 40) -> tuple[QuantileTest, int]:
    test = QuantileTest(q=0.95, alpha=0.05, margin=margin)
    for look in range(1, looks + 1):
        test.update(chance.lognormal(3, 0.58, 100), factor * chance.lognormal(3, 0.58, 100))
        if test.verdict != "inconclusive":
            return test, 100 * look
    return test, 100 * looks


def test_equal_latencies_rarely_fail() -> None:
    """The same code deployed again."""
    chance = generator(1)
    assert sum(run(chance, 1.0, 0.0)[0].verdict == "failed" for _ in range(40)) <= 2


def test_slower_by_the_margin_is_rarely_called_successful() -> None:
    """p95 near 52.1 ms, slower by exactly the 5.2 ms that are tolerated."""
    chance, p95 = generator(2), math.exp(3 + 1.6448536 * 0.58)
    assert sum(run(chance, 1.1, 0.1 * p95)[0].verdict == "successful" for _ in range(40)) <= 2


def test_half_as_slow_again_fails_soon() -> None:
    """A larger model: p95 rises by half."""
    chance = generator(3)
    tests = [run(chance, 1.5, 5.0) for _ in range(15)]
    assert all(test.verdict == "failed" for test, _ in tests)
    assert np.median([rows for _, rows in tests]) <= 600


def test_equal_latencies_pass_within_a_margin() -> None:
    """Tolerated 20 ms on 52: found good after some thousand answers."""
    chance = generator(4)
    test, rows = run(chance, 1.0, 20.0)
    assert test.verdict == "successful"
    assert rows <= 2000
    low, high = test.interval
    assert low < 0 < high
    assert test.difference is not None
    assert low <= test.difference <= high


def test_the_interval_holds_the_difference() -> None:
    """Looked at after every 400 answers."""
    chance, missed = generator(5), 0
    truth = 0.2 * math.exp(3 + 1.6448536 * 0.58)
    for _ in range(30):
        test = QuantileTest(q=0.95, margin=0.0)
        for _ in range(5):
            test.update(chance.lognormal(3, 0.58, 400), 1.2 * chance.lognormal(3, 0.58, 400))
            low, high = test.interval
            if not low <= truth <= high:
                missed += 1
                break
    assert missed <= 1
    assert -20 < low < high < 60


def test_quantiles_are_within_half_a_percent() -> None:
    """What the status shows is close to numpy's."""
    test = QuantileTest(q=0.9)
    sample = generator(6).gamma(3, 10, 5000)
    test.update(sample, [])
    champion, challenger = test.quantiles
    assert champion == pytest.approx(float(np.quantile(sample, 0.9)), rel=0.01)
    assert challenger is None
    assert test.verdict == "inconclusive"
    assert test.difference is None
    assert test.interval == (-math.inf, math.inf)


def test_state_survives_a_restart() -> None:
    """The controller dies between two looks."""
    chance = generator(7)
    looks = [(chance.gamma(3, 10, 50), chance.gamma(3, 12, 50)) for _ in range(6)]
    whole, half = QuantileTest(margin=2.0), QuantileTest(margin=2.0)
    for look in looks:
        whole.update(*look)
    for look in looks[:3]:
        half.update(*look)
    resumed = QuantileTest.from_dict(json.loads(json.dumps(half.to_dict())))
    for look in looks[3:]:
        resumed.update(*look)
    assert resumed.to_dict() == whole.to_dict()
    assert resumed.e_value == whole.e_value


def test_wrong_values_are_named() -> None:
    """A clock that ran backwards; a quantile in percent."""
    with pytest.raises(ValueError, match=r"challenger\[0\] is .*-3.*, outside \[0,"):
        QuantileTest().update([1.0], [-3.0])
    with pytest.raises(ValueError, match="q must be between 0 and 1, found 95"):
        QuantileTest(q=95)
