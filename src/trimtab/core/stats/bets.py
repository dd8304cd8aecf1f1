"""Fair bets on the mean of bounded values: the engine under ``MeanTest`` and under the interval of ``RateTest``.

**One sample** (``MeanBets``). For values d in [-1, 1] with conditional mean at most m, the bet (1 + k d)/(1 + k m)
has expectation at most 1 for any 0 < k < 1. So ``L(k) = sum log(1 + k d)``, kept for a fixed grid of k, gives the
evidence against *every* m after the fact: ``log e(m) = log mean_k exp(L(k) - n log(1 + k m))``. As log is concave,
it holds for the running mean of the conditional means too: values whose mean wanders are covered on average. This
is the betting confidence sequence of Waudby-Smith & Ramdas ("Estimating means of bounded random variables by
betting", JRSS B 2024) with fixed mixtures (a discrete universal portfolio) in place of predictable bets.

**Two arms** (``ArmBets``). For a look with n1 challenger values x and n0 champion values y in [0, 1], any k1 > 0 and
0 < k0 < 1 chosen before the look,

    prod(1 + k1 x) prod(1 - k0 y) / sup_{mu1 - mu0 <= d} (1 + k1 mu1)^n1 (1 - k0 mu0)^n0

has expectation at most 1 where the means differ by at most d. The supremum has a closed form in which d appears
only as ``n log(1 + k d)`` with 1/k = 1/k0 + 1/k1 and n = n0 + n1: so with k on a fixed grid the state is again one
number per k, and every d can be asked for afterwards. The level of both arms may change from look to look; how 1/k
splits into 1/k0 + 1/k1 centres the bet on the level seen so far, and the first look is spread over several levels.
For 0/1 values this is the e-variable of Turner, Ly & Grünwald ("Generic E-variables for exact sequential k-sample
tests", 2024).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from trimtab.core.stats.sequential import Floats, log_mix

STAKES: Floats = np.array(
    [0.98, 0.8, 0.6, 0.45, 0.33, 0.24, 0.17, 0.12, 0.085, 0.06, 0.04, 0.025, 0.015, 0.008, 0.004, 0.002]
)
"""The grid of k: near 1 for rare, large differences; small for slight ones that need many rows."""
_LOG_WEIGHTS: Floats = np.full(STAKES.size, -math.log(STAKES.size))
_CENTRES: Floats = np.array([0.003, 0.03, 0.15, 0.4, 0.7])
_SLACK = 0.02

Weighted = tuple[Floats, Floats]
"""Values in [0, 1] and how often each occurs, both of shape (n,): 0/1 outcomes cost two terms however many rows
they are."""


class Bets:
    """Evidence on a mean in [-1, 1], from both sides. Row 0 of the state bets that it is high, row 1 that it is low."""

    __slots__ = ("_log_wealth", "_rows")

    def __init__(self) -> None:
        self._rows = np.zeros((2, STAKES.size))
        self._log_wealth = np.zeros((2, STAKES.size))

    def log_above(self, mean: float) -> float:
        """Log e-value against 'the mean is at most ``mean``'."""
        return log_mix(self._against(0, mean), _LOG_WEIGHTS)

    def log_below(self, mean: float) -> float:
        """Log e-value against 'the mean is at least ``mean``'."""
        return log_mix(self._against(1, -mean), _LOG_WEIGHTS)

    def _against(self, side: int, mean: float) -> Floats:
        return np.asarray(self._log_wealth[side] - self._rows[side] * np.log1p(STAKES * mean), dtype=np.float64)

    def lower_bound(self, log_threshold: float) -> float:
        """The largest mean that ``log_above`` excludes, to 1e-6; -1 where it excludes none."""
        return _largest_excluded(self.log_above, log_threshold)

    def upper_bound(self, log_threshold: float) -> float:
        """The smallest mean that ``log_below`` excludes, to 1e-6; 1 where it excludes none."""
        return -_largest_excluded(lambda mean: self.log_below(-mean), log_threshold)

    def rows_forecast(self, mean: float, log_threshold: float) -> int | None:
        """Rows in all until 'the mean is below ``mean``' is shown if rows go on as so far; None where it does not
        grow."""
        rows = float(self._rows[1].max())
        growth = float(self._against(1, -mean).max()) / rows if rows else 0.0
        return math.ceil((log_threshold + math.log(STAKES.size)) / growth) if growth > 0 else None

    def to_list(self) -> list[list[list[float]]]:
        """The state as plain numbers."""
        return [self._rows.tolist(), self._log_wealth.tolist()]

    def restore(self, state: list[list[list[float]]]) -> None:
        """Take over a state that ``to_list`` gave."""
        self._rows = np.array(state[0], dtype=np.float64)
        self._log_wealth = np.array(state[1], dtype=np.float64)


class MeanBets(Bets):
    """Bets on the mean of one sample of values in [-1, 1]."""

    __slots__ = ()

    def update(self, values: Floats) -> None:
        """Add values, shape (n,), each within [-1, 1]."""
        self._rows += values.size
        stakes = STAKES[:, None] * values[None, :]
        self._log_wealth[0] += np.log1p(stakes).sum(axis=1)
        self._log_wealth[1] += np.log1p(-stakes).sum(axis=1)

    def update_counts(self, hits: int, rows: int) -> None:
        """Add ``rows`` values of which ``hits`` are 1 and the others 0."""
        self._rows += rows
        self._log_wealth[0] += hits * np.log1p(STAKES)
        self._log_wealth[1] += hits * np.log1p(-STAKES)


class ArmBets(Bets):
    """Bets on the difference of two arms' means (challenger - champion); values are in [0, 1]."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        super().__init__()
        self._seen = (0.0, 0.0)  # (rows, sum) of both arms so far: the level that the next look is centred on

    def update(self, champion: Weighted, challenger: Weighted) -> None:
        """Add a look; neither arm may be empty."""
        n0, n1 = float(champion[1].sum()), float(challenger[1].sum())
        rows, total = self._seen
        if rows == 0:
            every = np.stack([_look_gains(float(centre), champion, challenger) for centre in _CENTRES])
            top = every.max(axis=0)
            count = np.maximum(np.isfinite(every).sum(axis=0), 1)
            base = np.where(np.isfinite(top), top, 0.0)
            gains = top + np.log(np.maximum(np.exp(every - base).sum(axis=0), 1e-300) / count)
        else:
            gains = _look_gains((total + 0.5) / (rows + 1.0), champion, challenger)
        fair = np.isfinite(gains)
        self._log_wealth += np.where(fair, gains, 0.0)
        self._rows += fair * (n0 + n1)
        self._seen = (rows + n0 + n1, total + float(champion[0] @ champion[1]) + float(challenger[0] @ challenger[1]))

    def to_list(self) -> list[list[list[float]]]:
        return [*super().to_list(), [list(self._seen)]]

    def restore(self, state: list[list[list[float]]]) -> None:
        super().restore(state)
        self._seen = (float(state[2][0][0]), float(state[2][0][1]))


def _look_gains(centre: float, champion: Weighted, challenger: Weighted) -> Floats:
    """Log gain of one look without its n log(1 + k d), shape (2, stakes); -inf where no fair bet of that size fits
    the shares.

    Row 0 takes the challenger as the arm that is high, row 1 the champion.
    """
    n0, n1 = float(champion[1].sum()), float(challenger[1].sum())
    n = n0 + n1
    high_rows, low_rows = np.array([[n1], [n0]]), np.array([[n0], [n1]])
    whole = 1.0 / STAKES
    low = whole * low_rows / n + centre
    high = whole - low
    fair = (low >= 1.0 + _SLACK) & (high >= _SLACK)
    low, high = np.where(fair, low, 2.0), np.where(fair, high, 1.0)
    up, down = 1.0 / high, -1.0 / low
    numerator = np.stack(
        [
            _log_product(up[0], challenger) + _log_product(down[0], champion),
            _log_product(up[1], champion) + _log_product(down[1], challenger),
        ]
    )
    ceiling = n * np.log(up - down) + high_rows * np.log(high_rows * low / n) + low_rows * np.log(low_rows * high / n)
    return np.where(fair, numerator - ceiling, -np.inf)


def _log_product(stakes: Floats, arm: Weighted) -> Floats:
    return np.asarray(np.log1p(np.multiply.outer(stakes, arm[0])) @ arm[1], dtype=np.float64)


def _largest_excluded(log_evidence: Callable[[float], float], log_threshold: float) -> float:
    low, high = -1.0, 1.0
    if log_evidence(low) < log_threshold:
        return low
    while high - low > 1e-6:
        middle = (low + high) / 2
        if log_evidence(middle) >= log_threshold:
            low = middle
        else:
            high = middle
    return low
