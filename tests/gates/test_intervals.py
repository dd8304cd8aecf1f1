"""The gates' intervals must cover what they claim, also when neighbours in time resemble each other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from trimtab.core.gates.intervals import block_edges, jackknife_interval, quantile_interval, t_quantile


@pytest.mark.parametrize("df", [1, 2, 3, 5, 7, 12, 39, 199, 5000])
@pytest.mark.parametrize("p", [0.025, 0.4, 0.6, 0.9, 0.975, 0.999])
def test_t_quantiles_are_those_of_scipy(df: int, p: float) -> None:
    """A gate's limit of 2.02 standard errors for 40 blocks comes from here."""
    assert t_quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=2e-4)


def test_the_interval_of_a_mean_is_the_t_interval_of_block_means() -> None:
    """A year of evaluation rows: forty blocks, their means taken as independent."""
    values = np.random.default_rng(1).normal(size=4000)
    found = jackknife_interval(lambda rows: float(values[rows].mean()), len(values))
    means = values.reshape(40, 100).mean(axis=1)
    half = stats.t.ppf(0.975, 39) * means.std(ddof=1) / np.sqrt(40)
    assert found.estimate == pytest.approx(values.mean())
    assert found.high - found.estimate == pytest.approx(half, rel=1e-3)


def test_blocks_hold_their_level_where_rows_taken_as_independent_do_not() -> None:
    """Storms: the losses of a day go up and down together. 95 % must stay about 95 %."""
    rng = np.random.default_rng(2)
    by_block = by_row = 0
    for _ in range(300):
        days = np.repeat(rng.normal(size=200), 20)
        values = days + rng.normal(size=4000)
        found = jackknife_interval(lambda rows, values=values: float(values[rows].mean()), 4000)
        by_block += found.low <= 0.0 <= found.high
        by_row += abs(values.mean()) <= 1.96 * values.std() / np.sqrt(4000)
    assert by_block / 300 > 0.90
    assert by_row / 300 < 0.70


def test_few_rows_are_their_own_blocks() -> None:
    """A first model with 150 evaluation rows."""
    assert len(block_edges(150)) == 151
    assert len(block_edges(200)) == 9
    assert len(block_edges(1_000_000)) == 41


def test_a_statistic_that_a_block_decides_alone_is_not_a_number() -> None:
    """AUROC when all frauds came in one week: leaving that week out leaves one class."""
    positives = np.arange(400) < 10

    def statistic(rows: np.ndarray) -> float:
        return 1.0 if positives[rows].any() else float("nan")

    assert np.isnan(jackknife_interval(statistic, 400).high)


@pytest.mark.parametrize("n", [80, 400])
def test_the_quantile_interval_covers_the_p95(n: int) -> None:
    """A skewed latency distribution; the true p95 of an exponential is known."""
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(1000):
        found = quantile_interval(rng.exponential(size=n), 0.95)
        hits += found.low <= -np.log(0.05) <= found.high
    assert hits / 1000 >= 0.94


def test_too_few_requests_give_no_upper_end() -> None:
    """Fifty requests cannot bound a p95 from above with 97.5 % confidence."""
    assert quantile_interval(np.ones(50), 0.95).high == float("inf")
    assert quantile_interval(np.ones(73), 0.95).high == 1.0


@pytest.mark.parametrize(("values", "q"), [(np.array([]), 0.5), (np.ones(3), 1.0)])
def test_nonsense_is_refused(values: np.ndarray, q: float) -> None:
    """A defect of ours upstream must not become a figure."""
    with pytest.raises(ValueError, match="quantile_interval needs"):
        quantile_interval(values, q)
