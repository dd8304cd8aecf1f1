"""The exact test against scipy, and the rate of its false alarms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln

from trimtab.core.stats.hypergeometric import log_factorial, two_sided_bound


def test_log_factorial_agrees_from_zero_to_a_hundred_million() -> None:
    """Counts range from none to all rows of a year."""
    n = np.array([0, 1, 2, 10, 254, 255, 256, 257, 1000, 1e6, 1e8])
    np.testing.assert_allclose(log_factorial(n), gammaln(n + 1), rtol=1e-14, atol=1e-12)


@pytest.mark.parametrize(("total", "marked", "drawn"), [(60, 20, 15), (5000, 40, 500), (100_500, 800, 500)])
def test_never_smaller_than_the_exact_p(total: int, marked: int, drawn: int) -> None:
    """A bound that is too small would be a false alarm somewhere."""
    law = stats.hypergeom(total, marked, drawn)
    k = np.arange(max(0, drawn + marked - total), min(drawn, marked) + 1).astype(float)
    exact = np.minimum(1, 2 * np.minimum(law.cdf(k), law.sf(k - 1)))
    bound = two_sided_bound(k, np.array(float(drawn)), np.array(float(marked)), np.array(float(total)))
    assert (bound >= exact * (1 - 1e-7)).all()
    small = (exact < 0.05) & (exact > 1e-250)
    assert (bound[small] <= 1.1 * exact[small]).all(), "and hardly larger where it matters"
