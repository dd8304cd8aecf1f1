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
from typing import Any

import numpy as np

from trimtab.core.stats.sequential import Floats, log_mix

STAKES: Floats = np.array(
    [0.98, 0.8, 0.6, 0.45, 0.33, 0.24, 0.17, 0.12, 0.085, 0.06, 0.04, 0.025, 0.015, 0.008, 0.004, 0.002]
)
"""The grid of k: near 1 for rare, large differences; small for slight ones that need many rows."""
_CENTRES: Floats = np.array([0.003, 0.03, 0.15, 0.4, 0.7])
_SLACK = 0.02


def _log_weights(count: int) -> Floats:
    return np.full(count, -math.log(count))


class MeanBets:
    """Evidence that the mean of values in [-1, 1] lies above any given m. State: a count and one number per stake."""

    __slots__ = ("_log_wealth", "n")

    def __init__(self) -> None:
        self.n = 0
        self._log_wealth = np.zeros(STAKES.size)

    def update(self, values: Floats) -> None:
        """Add values, shape (n,), each within [-1, 1]."""
        self.n += values.size
        self._log_wealth += np.log1p(STAKES[:, None] * values[None, :]).sum(axis=1)

    def update_counts(self, value: float, hits: int, rows: int) -> None:
        """Add ``rows`` values of which ``hits`` are ``value`` (-1 to 1) and the others 0."""
        self.n += rows
        self._log_wealth += hits * np.log1p(STAKES * value)

    def log_evidence(self, mean: float) -> float:
        """Log e-value against 'the mean is at most ``mean``' (-1 <= mean <= 1)."""
        return log_mix(self._log_wealth - self.n * np.log1p(STAKES * mean), _log_weights(STAKES.size))

    def rows_forecast(self, mean: float, log_threshold: float) -> float | None:
        """Rows in all until the evidence reaches the threshold if rows go on as so far; None where it does not grow."""
        return _forecast(self._log_wealth - self.n * np.log1p(STAKES * mean), self.n, log_threshold)

    def to_list(self) -> list[float]:
        return [float(self.n), *self._log_wealth.tolist()]

    @classmethod
    def from_list(cls, state: list[float]) -> MeanBets:
        bets = cls()
        bets.n = int(state[0])
        bets._log_wealth = np.array(state[1:], dtype=np.float64)
        return bets


class ArmBets:
    """Evidence that the mean of one arm exceeds that of the other by more than any given difference.

    Values are in [0, 1] and come with counts, so that 0/1 outcomes cost two terms however many rows they are.
    """

    __slots__ = ("_log_wealth", "_rows", "_seen")

    def __init__(self) -> None:
        self._rows = np.zeros(STAKES.size)
        self._log_wealth = np.zeros(STAKES.size)
        self._seen = (0.0, 0.0)  # (rows, sum) of both arms so far: the level that the next look is centred on

    def update(self, high: tuple[Floats, Floats], low: tuple[Floats, Floats]) -> None:
        """Add a look: (values, counts) of the arm that is suspected to be higher, and of the other. Neither may be
        empty."""
        n1, n0 = float(high[1].sum()), float(low[1].sum())
        rows, total = self._seen
        centres = _CENTRES if rows == 0 else np.array([(total + 0.5) / (rows + 1.0)])
        gains = np.stack([_look_gains(float(centre), high, low) for centre in centres])
        counts = np.isfinite(gains).sum(axis=0)
        fair = counts > 0
        top = np.where(fair, gains.max(axis=0), 0.0)
        mixed = top + np.log(np.exp(gains - top).sum(axis=0), where=fair, out=np.zeros(STAKES.size))
        self._log_wealth += np.where(fair, mixed - np.log(np.maximum(counts, 1)), 0.0)
        self._rows += np.where(fair, n1 + n0, 0.0)
        self._seen = (rows + n1 + n0, total + float(high[0] @ high[1]) + float(low[0] @ low[1]))

    def _against(self, difference: float) -> Floats:
        return np.asarray(self._log_wealth - self._rows * np.log1p(STAKES * difference), dtype=np.float64)

    def log_evidence(self, difference: float) -> float:
        """Log e-value against 'high minus low is at most ``difference``' (-1 <= difference <= 1)."""
        return log_mix(self._against(difference), _log_weights(STAKES.size))

    def rows_forecast(self, difference: float, log_threshold: float) -> float | None:
        """As ``MeanBets.rows_forecast``; rows of both arms."""
        return _forecast(self._against(difference), self._seen[0], log_threshold)

    def to_list(self) -> list[list[float]]:
        return [self._rows.tolist(), self._log_wealth.tolist(), list(self._seen)]

    @classmethod
    def from_list(cls, state: list[list[float]]) -> ArmBets:
        bets = cls()
        bets._rows = np.array(state[0], dtype=np.float64)
        bets._log_wealth = np.array(state[1], dtype=np.float64)
        bets._seen = (float(state[2][0]), float(state[2][1]))
        return bets


def _look_gains(centre: float, high: tuple[Floats, Floats], low: tuple[Floats, Floats]) -> Floats:
    """Log gain of one look for each stake, without its n log(1 + k d); -inf where no fair bet of that size fits the
    shares."""
    n1, n0 = float(high[1].sum()), float(low[1].sum())
    n = n0 + n1
    whole = 1.0 / STAKES
    u0 = n0 * whole / n + centre
    u1 = whole - u0
    fair = (u0 >= 1.0 + _SLACK) & (u1 >= _SLACK)
    u0, u1 = np.where(fair, u0, 2.0), np.where(fair, u1, 1.0)
    numerator = np.log1p(high[0] / u1[:, None]) @ high[1] + np.log1p(-low[0] / u0[:, None]) @ low[1]
    ceiling = n * np.log(1.0 / u0 + 1.0 / u1) + n1 * np.log(n1 * u0 / n) + n0 * np.log(n0 * u1 / n)
    return np.where(fair, numerator - ceiling, -np.inf)


def _forecast(log_wealth: Floats, rows: float, log_threshold: float) -> float | None:
    if rows == 0:
        return None
    growth = float(log_wealth.max()) / rows
    return (log_threshold + math.log(STAKES.size)) / growth if growth > 0 else None


def lower_bound(bets: MeanBets | ArmBets, log_threshold: float) -> float:
    """The largest m in [-1, 1] that the evidence excludes from below: a lower confidence bound, to 1e-6."""
    if bets.log_evidence(-1.0) < log_threshold:
        return -1.0
    low, high = -1.0, 1.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        if bets.log_evidence(middle) >= log_threshold:
            low = middle
        else:
            high = middle
    return low


def state_list(bets: MeanBets | ArmBets) -> list[Any]:
    """The serialisable state."""
    return list(bets.to_list())
