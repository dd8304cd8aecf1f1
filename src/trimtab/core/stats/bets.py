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
from numpy.typing import NDArray

from trimtab.core.stats.sequential import Floats, log_mix

STAKES: Floats = np.array(
    [0.98, 0.8, 0.6, 0.45, 0.33, 0.24, 0.17, 0.12, 0.085, 0.06, 0.04, 0.025, 0.015, 0.008, 0.004, 0.002]
)
"""The grid of k: near 1 for rare, large differences; small for slight ones that need many rows."""
_LOG_WEIGHTS: Floats = np.full(STAKES.size, -math.log(STAKES.size))
_CENTRES: Floats = np.array([0.003, 0.03, 0.15, 0.4, 0.7])
_SLACK = 0.02
_GRID: Floats = np.linspace(0.0, 1.0, 65)

_Product = Callable[[Floats, int], Floats]
"""(stakes of shape (looks, k), arm) to sum of log(1 + stake x) over the values x of that arm (0 champion) in each
look."""


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
        return self._largest_excluded(0, log_threshold)

    def upper_bound(self, log_threshold: float) -> float:
        """The smallest mean that ``log_below`` excludes, to 1e-6; 1 where it excludes none."""
        return -self._largest_excluded(1, log_threshold)

    def _largest_excluded(self, side: int, log_threshold: float) -> float:
        """By ever finer grids: the evidence falls as the mean rises. The end is on the excluded side: the interval
        is the wider."""
        low, width = -1.0, 2.0
        if log_mix(self._against(side, low), _LOG_WEIGHTS) < log_threshold:
            return low
        while width > 1e-6:
            means = low + width * _GRID
            against = self._log_wealth[side] - self._rows[side] * np.log1p(means[:, None] * STAKES)
            excluded = int((_log_mixes(against) >= log_threshold).sum())
            low = float(means[max(excluded - 1, 0)])
            width *= float(_GRID[1])
        return low

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

    def update(self, values: Floats, above: float = 0.0, below: float = 0.0) -> tuple[Floats, Floats]:
        """Add values, shape (n,), each within [-1, 1]; returns ``log_above(above)`` and ``log_below(below)`` after
        each, (n,) each."""
        stakes = values[:, None] * STAKES
        rows = self._rows[0, 0] + np.arange(1.0, values.size + 1)[:, None]
        up = self._log_wealth[0] + np.cumsum(np.log1p(stakes), axis=0)
        down = self._log_wealth[1] + np.cumsum(np.log1p(-stakes), axis=0)
        if values.size:
            self._rows += values.size
            self._log_wealth = np.stack([up[-1], down[-1]])
        return _log_mixes(up - rows * np.log1p(STAKES * above)), _log_mixes(down - rows * np.log1p(-STAKES * below))

    def update_counts(self, hits: NDArray[np.int64], rows: NDArray[np.int64], above: float) -> Floats:
        """Add looks of 0/1 values: ``hits`` ones of ``rows``, shape (looks,). Returns ``log_above(above)`` after
        each look."""
        ones, every = np.cumsum(hits, dtype=np.float64)[:, None], np.cumsum(rows, dtype=np.float64)[:, None]
        path = self._log_wealth[0] + ones * np.log1p(STAKES) - (self._rows[0] + every) * np.log1p(STAKES * above)
        self._rows += float(rows.sum())
        self._log_wealth += float(hits.sum()) * np.log1p(np.stack([STAKES, -STAKES]))
        return _log_mixes(path)

    def update_weights(self, values: Floats, weights: Floats, above: float, below: float) -> tuple[Floats, Floats]:
        """Add looks of values on a grid: ``values`` (grid,) in [-1, 1], ``weights`` (looks, grid) rows at each.

        Returns ``log_above(above)`` and ``log_below(below)`` after each look, (looks,) each.
        """
        gathered = np.cumsum(weights, axis=0)
        rows = self._rows[0, 0] + gathered.sum(axis=1)[:, None]
        up = self._log_wealth[0] + gathered @ np.log1p(values[:, None] * STAKES)
        down = self._log_wealth[1] + gathered @ np.log1p(-values[:, None] * STAKES)
        if weights.shape[0]:
            self._rows += float(weights.sum())
            self._log_wealth = np.stack([up[-1], down[-1]])
        return _log_mixes(up - rows * np.log1p(STAKES * above)), _log_mixes(down - rows * np.log1p(-STAKES * below))


class ArmBets(Bets):
    """Bets on the difference of two arms' means (challenger - champion); values are in [0, 1]."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        super().__init__()
        self._seen = (0.0, 0.0)  # (rows, sum) of both arms so far: the level that the next look is centred on

    def update(self, champion: Floats, challenger: Floats) -> None:
        """Add the values of a look, shape (n,) each; neither arm may be empty."""
        n0, n1 = np.array([float(champion.size)]), np.array([float(challenger.size)])
        sums = np.array([champion.sum() + challenger.sum()])

        def product(stake: Floats, arm: int) -> Floats:
            values = challenger if arm else champion
            return np.asarray(np.log1p(stake[..., None] * values).sum(axis=-1), dtype=np.float64)

        self._add(n0, n1, sums, product, 0.0)

    def update_counts(self, bad: NDArray[np.int64], total: NDArray[np.int64], below: float) -> Floats:
        """Add looks of 0/1 values, shape (looks, 2) each, column 0 the champion; no arm of any look may be empty.

        Returns ``log_below(below)`` after each look, shape (looks,).
        """
        counts = bad.astype(np.float64)

        def product(stake: Floats, arm: int) -> Floats:
            return np.asarray(counts[: stake.shape[0], arm, None] * np.log1p(stake), dtype=np.float64)

        totals = total.astype(np.float64)
        return self._add(totals[:, 0], totals[:, 1], counts.sum(axis=1), product, below)

    def _add(self, n0: Floats, n1: Floats, sums: Floats, product: _Product, below: float) -> Floats:
        """Add looks in order, each centred on the level of the rows before it."""
        n = n0 + n1
        rows = self._seen[0] + np.cumsum(n) - n
        totals = self._seen[1] + np.cumsum(sums) - sums
        gains = _look_gains((totals + 0.5) / (rows + 1.0), n0, n1, product)
        if self._seen[0] == 0 and n.size:
            first = np.stack([_look_gains(np.array([c]), n0[:1], n1[:1], product)[0] for c in _CENTRES])
            count = np.maximum(np.isfinite(first).sum(axis=0), 1)
            top = np.where(np.isfinite(first).any(axis=0), first.max(axis=0), 0.0)
            with np.errstate(divide="ignore"):
                gains[0] = top + np.log(np.exp(first - top).sum(axis=0) / count)
        fair = np.isfinite(gains)
        wealth = self._log_wealth + np.cumsum(np.where(fair, gains, 0.0), axis=0)
        taken = self._rows + np.cumsum(fair * n[:, None, None], axis=0)
        if n.size:
            self._log_wealth, self._rows = wealth[-1], taken[-1]
        self._seen = (self._seen[0] + float(n.sum()), self._seen[1] + float(sums.sum()))
        return _log_mixes(wealth[:, 1] - taken[:, 1] * np.log1p(-STAKES * below))

    def to_list(self) -> list[list[list[float]]]:
        return [*super().to_list(), [list(self._seen)]]

    def restore(self, state: list[list[list[float]]]) -> None:
        super().restore(state)
        self._seen = (float(state[2][0][0]), float(state[2][0][1]))


def _look_gains(centre: Floats, n0: Floats, n1: Floats, product: _Product) -> Floats:
    """Log gain of looks without their n log(1 + k d), shape (looks, 2, stakes); -inf where no fair bet of that size
    fits.

    Row 0 takes the challenger as the arm that is high, row 1 the champion. All inputs have shape (looks,).
    """
    n = (n0 + n1)[:, None, None]
    high_rows, low_rows = np.stack([n1, n0], axis=1)[:, :, None], np.stack([n0, n1], axis=1)[:, :, None]
    whole = 1.0 / STAKES
    low = whole * low_rows / n + centre[:, None, None]
    high = whole - low
    fair = (low >= 1.0 + _SLACK) & (high >= _SLACK)
    low, high = np.where(fair, low, 2.0), np.where(fair, high, 1.0)
    up, down = 1.0 / high, -1.0 / low
    numerator = np.stack(
        [product(up[:, 0], 1) + product(down[:, 0], 0), product(up[:, 1], 0) + product(down[:, 1], 1)], axis=1
    )
    ceiling = n * np.log(up - down) + high_rows * np.log(high_rows * low / n) + low_rows * np.log(low_rows * high / n)
    return np.where(fair, numerator - ceiling, -np.inf)


def _log_mixes(log_values: Floats) -> Floats:
    """``log_mix`` with equal weights of each row; (rows, stakes) to (rows,)."""
    top = log_values.max(axis=1)
    return np.asarray(top + np.log(np.exp(log_values - top[:, None]).mean(axis=1)), dtype=np.float64)
