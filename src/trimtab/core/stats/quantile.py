"""Is a quantile of the latency higher in the challenger's arm? A sequential test on counts in fine bins."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trimtab.core.stats.sequential import (
    Answer,
    Floats,
    as_values,
    bounded_exp,
    check_alpha,
    check_margin,
    check_state,
    decide,
)

_RATIO = 1.005
_ZERO_BIN = -8000
_TOP_BIN = 8000
_ODDS: Floats = np.array([1.01, 1.03, 1.07, 1.15, 1.3, 1.6, 2.2, 4.0])


class _Bins:
    """Counts of values in bins (1.005^(i-1), 1.005^i]; zero and what is below 1e-17 stand in the lowest."""

    __slots__ = ("bins", "edges", "n", "up_to")

    def __init__(self, bins: NDArray[np.int64] | None = None, counts: NDArray[np.int64] | None = None) -> None:
        self._set(np.empty(0, np.int64) if bins is None else bins, np.empty(0, np.int64) if counts is None else counts)

    def _set(self, bins: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        self.bins = bins
        self.edges = _edge(bins)
        self.up_to = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self.n = int(self.up_to[-1])

    @property
    def counts(self) -> NDArray[np.int64]:
        """Values in each of ``bins``."""
        return np.diff(self.up_to)

    def add(self, values: Floats) -> None:
        logs = np.log(np.maximum(values, 1e-300)) / math.log(_RATIO)
        index = np.clip(np.ceil(logs), _ZERO_BIN, _TOP_BIN).astype(np.int64)
        bins, place = np.unique(np.concatenate([self.bins, index]), return_inverse=True)
        counts = np.zeros(bins.size, dtype=np.int64)
        np.add.at(counts, place, np.concatenate([self.counts, np.ones(index.size, dtype=np.int64)]))
        self._set(bins, counts)

    def count_up_to(self, limits: Floats) -> NDArray[np.int64]:
        """Values in bins whose upper edge is at most each limit, shape of ``limits``."""
        return np.asarray(self.up_to[np.searchsorted(self.edges, limits, side="right")], dtype=np.int64)

    def quantile(self, q: float) -> float | None:
        """The upper edge of the bin that holds the q-quantile; None without values."""
        if not self.n:
            return None
        return float(self.edges[int(np.searchsorted(self.up_to[1:], q * self.n, side="left"))])


def _edge(bins: NDArray[np.int64] | np.int64 | int) -> Floats:
    """Upper edge of a bin; the lowest bin ends at zero."""
    index = np.asarray(bins, dtype=np.float64)
    return np.where(index <= _ZERO_BIN, 0.0, _RATIO**index)


def _log_mixture(count: NDArray[np.int64], n: int, q: float, odds: Floats) -> Floats:
    """Log e-values from ``count`` of n values at or under a point, against 'its probability is q', towards odds
    ratio ``odds``.

    Odds above 1 give evidence that the probability is above q (fair against every probability of at most q), odds
    below 1 that it is below. Shape (points,).
    """
    terms = count[:, None] * np.log(odds) - n * np.log1p(q * (odds - 1.0))
    top = terms.max(axis=1)
    return np.asarray(top + np.log(np.exp(terms - top[:, None]).mean(axis=1)), dtype=np.float64)


def _log_evidence(low: _Bins, high: _Bins, q: float, shift: float) -> float:
    """Log e-value against 'the quantile of ``high`` is at most that of ``low`` plus ``shift``'.

    If that were so, the bin (a, b] that holds the quantile of ``low`` would have ``P(low <= a) <= q`` and
    ``P(high <= b + shift) >= q``. The evidence against that pair is the product of two e-values (independent arms);
    that against
    the whole hypothesis is the least over the bins.
    """
    if not (low.n and high.n):
        return 0.0
    # The least stands where the count of `high` has just risen: where b + shift passes the lower edge of an
    # occupied bin.
    # The neighbours are looked at too, so rounding cannot step over it; every point more is another true bound.
    wanted = np.maximum(_edge(np.maximum(high.bins - 1, _ZERO_BIN)) - shift, 0.0)
    rise = np.floor(np.log(np.maximum(wanted, 1e-300)) / math.log(_RATIO))
    rise = np.clip(rise, _ZERO_BIN, _TOP_BIN).astype(np.int64)
    points = np.unique(np.concatenate([rise - 1, rise, rise + 1, rise + 2, [_ZERO_BIN]]))
    points = points[(points >= _ZERO_BIN) & (points <= _TOP_BIN)]
    below = np.where(points > _ZERO_BIN, low.count_up_to(_edge(points - 1)), 0)
    ceilings = _next_edge(_edge(points) + shift)
    against_low = _log_mixture(below, low.n, q, _ODDS)
    against_high = _log_mixture(high.count_up_to(ceilings), high.n, q, 1.0 / _ODDS)
    return float((against_low + against_high).min())


def _next_edge(values: Floats) -> Floats:
    """The smallest edge at or above each value; below zero stays below zero, where nothing is counted."""
    index = np.ceil(np.log(np.maximum(values, 1e-300)) / math.log(_RATIO) - 1e-9)
    return np.where(values < 0, -1.0, _edge(np.clip(index, _ZERO_BIN, _TOP_BIN).astype(np.int64)) * (1 + 1e-12))


class QuantileTest:
    r"""Is the q-quantile of the challenger's values (latencies) higher than the champion's? May be looked at after
    every row.

    If the challenger's quantile were no higher, then at the champion's quantile x both :math:`P_0(X < x) \le q` and
    :math:`P_1(X \le x) \ge q` would hold. Each half is tested by a mixture of binomial likelihood ratios on the
    counts up to x; their product is an e-process, and its least over all x is evidence against every such x:
    ``failed`` at ``e_value >= 1/alpha``. ``successful`` tests a shift by ``margin`` in the same way. ``interval``
    holds the difference of the quantiles with probability ``1 - alpha`` at all times.

    Values are counted in bins 0.5 % wide. For ``failed`` that costs nothing: a quantile of binned values is the binned
    quantile. For shifts the edges are taken to the safe side, so nothing depends on it but half a percent of power.

    Assumptions: values are independent given the past, and there is one x that the quantiles of both arms lie on
    the said sides of at all times; where latencies follow the hours of the day, ``RateTest`` on 'slower than the
    limit' needs no such x. Values are at least 0, of any unit.

    Cost: time O(values + occupied bins) per look; state one number per occupied bin (hundreds).

    Args:
        q: the quantile, 0.95 for 'p95'.
        alpha: bound on false ``failed``, and separately on false ``successful``.
        margin: a rise of the quantile that is tolerated, in the unit of the values (0.020 is 20 ms where they are
        seconds).

    Source: after Howard & Ramdas, "Sequential estimation of quantiles with applications to A/B testing and best-arm
    identification", Bernoulli 2022, with mixtures in place of their stitched boundaries and the two arms tested
    jointly.

    >>> generator = np.random.Generator(np.random.PCG64(7))
    >>> test = QuantileTest(q=0.95, alpha=0.05, margin=0.020)
    >>> test.update(champion=generator.gamma(4, 0.010, size=4000), challenger=generator.gamma(4, 0.015, size=4000))
    >>> test.verdict, test.interval[0] > 0
    ('failed', True)
    """

    def __init__(self, q: float = 0.95, alpha: float = 0.05, margin: float = 0.020) -> None:
        if not 0.0 < q < 1.0:
            raise ValueError(f"q must be between 0 and 1, found {q!r} (0.95 is the 95th percentile)")
        self.q = float(q)
        self.alpha = check_alpha(alpha)
        self.margin = check_margin(margin)
        self._champion, self._challenger = _Bins(), _Bins()
        self._verdict: Answer = "inconclusive"

    def update(self, champion: ArrayLike, challenger: ArrayLike) -> None:
        """Add the values of one look, shape (n,) each, any lengths.

        Raises:
            ValueError: a value is missing, infinite or negative.
        """
        largest = float(np.finfo(np.float64).max)
        base = as_values(champion, "champion", 0.0, largest)
        other = as_values(challenger, "challenger", 0.0, largest)
        self._champion.add(base)
        self._challenger.add(other)
        within = _log_evidence(self._challenger, self._champion, self.q, -self.margin)
        self._verdict = decide(self.log_e_value, within, self.alpha, self._verdict == "failed")

    @property
    def champion_rows(self) -> int:
        """Values of the champion."""
        return self._champion.n

    @property
    def challenger_rows(self) -> int:
        """Values of the challenger."""
        return self._challenger.n

    @property
    def log_e_value(self) -> float:
        """Natural log of ``e_value``."""
        return _log_evidence(self._champion, self._challenger, self.q, 0.0)

    @property
    def e_value(self) -> float:
        """Evidence that the challenger's quantile is higher: 20 is as strong as p = 0.05. Stops at exp(700)."""
        return bounded_exp(self.log_e_value)

    @property
    def verdict(self) -> Answer:
        """``failed`` | ``successful`` | ``inconclusive``. A failure that was once raised stays."""
        return self._verdict

    @property
    def quantiles(self) -> tuple[float | None, float | None]:
        """The champion's and the challenger's quantile as observed, to 0.5 %; None without values."""
        return self._champion.quantile(self.q), self._challenger.quantile(self.q)

    @property
    def difference(self) -> float | None:
        """Challenger's quantile minus champion's as observed; None until both arms have values."""
        base, other = self.quantiles
        return None if base is None or other is None else other - base

    @property
    def interval(self) -> tuple[float, float]:
        """Anytime-valid 1 - alpha interval of the difference, in the unit of the values; infinite ends where
        nothing is excluded."""
        threshold = math.log(2.0 / self.alpha)
        low = _shift_bound(self._champion, self._challenger, self.q, threshold)
        return low, -_shift_bound(self._challenger, self._champion, self.q, threshold)

    def to_dict(self) -> dict[str, Any]:
        """The whole state as plain JSON values."""
        return {
            "format": 1,
            "test": "quantile",
            "q": self.q,
            "alpha": self.alpha,
            "margin": self.margin,
            "champion": [self._champion.bins.tolist(), self._champion.counts.tolist()],
            "challenger": [self._challenger.bins.tolist(), self._challenger.counts.tolist()],
            "verdict": self._verdict,
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> QuantileTest:
        """The test as it was when ``to_dict`` was called."""
        check_state(state, "quantile")
        test = cls(state["q"], state["alpha"], state["margin"])
        test._champion = _Bins(*(np.array(part, dtype=np.int64) for part in state["champion"]))
        test._challenger = _Bins(*(np.array(part, dtype=np.int64) for part in state["challenger"]))
        test._verdict = state["verdict"]
        return test


def _shift_bound(low: _Bins, high: _Bins, q: float, threshold: float) -> float:
    """The largest shift that is excluded: the quantile of ``high`` exceeds that of ``low`` by more, to a thousandth
    of the range."""
    if not (low.n and high.n):
        return -math.inf
    reach = float(max(low.edges[-1], high.edges[-1]))
    left, right = -1.01 * reach - 1e-12, 1.01 * reach + 1e-12
    if _log_evidence(low, high, q, left) < threshold:
        return -math.inf
    while right - left > 1e-4 * reach:
        middle = (left + right) / 2
        if _log_evidence(low, high, q, middle) >= threshold:
            left = middle
        else:
            right = middle
    return left
