"""The exact test against scipy, and the rate of its false alarms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln

from trimtab.core.stats.hypergeometric import SLIGHT, log_factorial, region_p


def test_log_factorial_agrees_from_zero_to_a_hundred_million() -> None:
    """Counts range from none to all rows of a year."""
    n = np.array([0, 1, 2, 10, 254, 255, 256, 257, 1000, 1e6, 1e8])
    np.testing.assert_allclose(log_factorial(n), gammaln(n + 1), rtol=1e-14, atol=1e-12)


@pytest.mark.parametrize(
    ("total", "marked", "drawn"), [(60, 20, 15), (5000, 40, 500), (100_500, 800, 500), (5500, 7, 500), (40, 38, 30)]
)
def test_never_smaller_than_the_exact_p(total: int, marked: int, drawn: int) -> None:
    """A bound that is too small would be a false alarm somewhere."""
    law = stats.hypergeom(total, marked, drawn)
    k = np.arange(max(0, drawn + marked - total), min(drawn, marked) + 1).astype(float)
    sides = int(law.pmf(k[0]) <= SLIGHT) + int(law.pmf(k[-1]) <= SLIGHT)
    exact = np.minimum(1, sides * np.minimum(law.cdf(k), law.sf(k - 1)))
    bound, least = region_p(k, np.array(float(drawn)), np.array(float(marked)), np.array(float(total)))
    assert (bound >= exact * (1 - 1e-7)).all()
    small = (exact < 0.05) & (exact > 1e-250) & (bound < 1)
    assert (bound[small] <= 1.1 * exact[small]).all(), "and hardly larger where it matters"
    assert (least == least[0]).all()
    assert least[0] == pytest.approx(bound.min())
    pmf = law.pmf(k)
    for limit in (0.001, 0.01, 0.05):
        assert pmf[bound <= limit].sum() <= limit * (1 + 1e-9), "the stated rate, summed over every outcome"


def test_a_count_that_can_show_nothing_says_so() -> None:
    """One missing value among a thousand rows, wherever it lies, is no evidence; it must not use up alpha either."""
    p, least = region_p(np.array([0.0, 1.0]), np.array([500.0]), np.array([1.0]), np.array([1000.0]))
    assert (p == 1).all()
    assert (least == 1).all()
