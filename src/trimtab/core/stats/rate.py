"""Are bad events more frequent in the challenger's arm? An exact sequential test for any shares of traffic."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.core.stats.bets import ArmBets
from trimtab.core.stats.sequential import (
    Answer,
    Floats,
    bounded_exp,
    check_alpha,
    check_margin,
    check_state,
    decide,
    log_mix,
)

ODDS: Floats = np.array([1.02, 1.05, 1.1, 1.2, 1.4, 1.7, 2.4, 5.0, 20.0])
"""Odds ratios that the mixture bets on."""
ODDS_WEIGHTS: Floats = np.array([0.02, 0.03, 0.04, 0.08, 0.39, 0.10, 0.27, 0.04, 0.03])
"""Most weight where a rollout's harm usually lies; any weights are exact, they only move the power about."""
_LARGEST_PIECE = 2_000_000
"""Terms that are held at once when many or large looks are judged: bounds the memory."""
_TABLE: Floats = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1.0, 4096.0)))])


def log_factorial(n: NDArray[np.int64]) -> Floats:
    """Natural log of n! for whole n >= 0, any shape; relative error under 1e-13 (a table, then Stirling's series).

    >>> bool(np.allclose(log_factorial(np.array([0, 5, 50000])), [0.0, math.log(120), math.lgamma(50001)], rtol=1e-13))
    True
    """
    if n.size == 0 or int(n.max()) < _TABLE.size:
        return np.asarray(_TABLE[n], dtype=np.float64)
    x = np.maximum(n, _TABLE.size - 1).astype(np.float64)
    inverse = 1.0 / x
    series = inverse * (1 / 12 - inverse**2 * (1 / 360 - inverse**2 / 1260))
    stirling = x * np.log(x) - x + 0.5 * np.log(2 * math.pi * x) + series
    return np.where(n < _TABLE.size, _TABLE[np.minimum(n, _TABLE.size - 1)], stirling)


def conditional_log_ratios(
    challenger_bad: NDArray[np.int64],
    bad: NDArray[np.int64],
    challenger_total: NDArray[np.int64],
    total: NDArray[np.int64],
    odds: Floats = ODDS,
) -> Floats:
    """Log likelihood ratios of odds ratios against 1, each look conditioned on its totals; shape (looks, odds).

    Given the totals of a look, the challenger's bad events K are noncentral hypergeometric with the odds ratio t, and
    the ratio against t = 1 is ``t^K / E_1[t^K]``: no rate of either arm appears in it. All inputs are whole numbers of
    shape (looks,).
    """
    widest = int(np.minimum(bad, challenger_total).max(initial=0)) + 1
    step = max(1, _LARGEST_PIECE // (odds.size * widest))
    parts = (slice(start, start + step) for start in range(0, bad.size, step))
    pieces = [
        _conditional_piece(challenger_bad[part], bad[part], challenger_total[part], total[part], odds) for part in parts
    ]
    return np.concatenate(pieces) if pieces else np.empty((0, odds.size))


def _conditional_piece(
    challenger_bad: NDArray[np.int64],
    bad: NDArray[np.int64],
    challenger_total: NDArray[np.int64],
    total: NDArray[np.int64],
    odds: Floats,
) -> Floats:
    n1, n0 = challenger_total[:, None], (total - challenger_total)[:, None]
    least, most = np.maximum(0, bad[:, None] - n0), np.minimum(bad[:, None], n1)
    k = least + np.arange(int((most - least).max(initial=0)) + 1)
    inside = k <= most
    k = np.minimum(k, most)
    rest = bad[:, None] - k
    log_pmf = -log_factorial(np.stack([k, n1 - k, rest, n0 - rest])).sum(axis=0)
    log_pmf = np.where(inside, log_pmf, -np.inf)
    log_pmf -= log_pmf.max(axis=1, keepdims=True)
    base = np.log(np.exp(log_pmf).sum(axis=1))
    away = k - challenger_bad[:, None]
    terms = log_pmf[:, None, :] + np.log(odds)[None, :, None] * away[:, None, :]
    top = terms.max(axis=2)
    tilted = top + np.log(np.exp(terms - top[:, :, None]).sum(axis=2))
    return np.asarray(base[:, None] - tilted, dtype=np.float64)


def share_log_ratios(challenger_bad: int, bad: int, share: float, odds: Floats = ODDS) -> Floats:
    """Log likelihood ratios from a known share alone: a bad event is the challenger's with probability ``share``
    when nothing is wrong, and ``share t / (1 - share + share t)`` when its bad events are t times as frequent.
    Shape (odds,)."""
    return np.asarray(challenger_bad * np.log(odds) - bad * np.log1p(share * (odds - 1.0)), dtype=np.float64)


class RateTest:
    r"""Is the challenger's rate of bad events higher than the champion's? May be looked at after every request.

    **Evidence of harm** (``e_value``). At each look, given its totals, the challenger's bad events are
    hypergeometric when both rates are equal; the likelihood ratio against the odds ratio t is :math:`t^{K} /
    E_1[t^{K}]`. The products over the looks for t in ``ODDS``, mixed outside the product, are an e-process: where
    the challenger's rate is no higher at any look, ``P(e_value ever reaches 1/alpha) <= alpha``. No rate is
    estimated, so it is exact for rare events, for rates that change from look to look, and for shares that change
    from look to look. ``failed`` is raised at ``e_value >= 1/alpha``. A look with one request carries nothing under
    that condition; give ``share`` where it is known, and the look is conditioned on its number of bad events alone.

    **Within the margin** (``successful``, ``interval``). Fair bets on both arms
    (``trimtab.core.stats.bets.ArmBets``) test every difference of the rates. ``successful`` is raised with
    probability at most ``alpha`` where the challenger's rate is higher by ``margin`` or more at every look;
    ``interval`` holds the difference, where it is constant, at all times with probability ``1 - alpha``.

    Assumptions: rows are independent given the past looks, and traffic is split without regard to the outcome. Many
    rows of one entity with a common fate count as more evidence than they are: count entities instead. A look's
    size must not depend on its outcomes.

    When to use its siblings: ``MeanTest`` for losses and scores, ``QuantileTest`` for latencies.
    Cost: time O(bad events of the look), state about 100 numbers.

    Args:
        alpha: bound on false ``failed``, and separately on false ``successful``. The default lets 5 % of harmless
        rollouts be stopped.
        margin: a difference of rates (0.01 is one percentage point) that is tolerated. 0 asks for proof that the
        challenger is better.

    Sources: Lindon & Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022 (shares); Turner, Ly
    & Grünwald, "Generic E-variables for exact sequential k-sample tests", 2024 (differences); Fisher's noncentral
    hypergeometric distribution.

    >>> generator = np.random.Generator(np.random.PCG64(7))
    >>> test = RateTest(alpha=0.05, margin=0.01)
    >>> for _ in range(20):
    ...     test.update(champion_bad=int(generator.binomial(950, 0.02)), champion_total=950,
    ...                 challenger_bad=int(generator.binomial(50, 0.10)), challenger_total=50)
    >>> test.verdict
    'failed'
    >>> test.e_value > 1e6, test.interval[0] > 0.0
    (True, True)
    """

    def __init__(self, alpha: float = 0.05, margin: float = 0.01) -> None:
        self.alpha = check_alpha(alpha)
        self.margin = check_margin(margin)
        self.champion_bad = self.champion_total = self.challenger_bad = self.challenger_total = 0
        self._log_products = np.zeros(ODDS.size)
        self._bets = ArmBets()
        self._waiting_harm, self._waiting = np.zeros(4, dtype=np.int64), np.zeros(4, dtype=np.int64)
        self._log_top = 0.0
        self._verdict: Answer = "inconclusive"

    def update(
        self,
        champion_bad: int,
        champion_total: int,
        challenger_bad: int,
        challenger_total: int,
        share: float | None = None,
    ) -> None:
        """Add the rows of one look. A look in which an arm is empty waits and joins the next.

        Args:
            champion_bad: bad events among the champion's rows of this look.
            champion_total: rows the champion answered.
            challenger_bad: bad events among the challenger's rows.
            challenger_total: rows the challenger answered.
            share: probability that a row of this look went to the challenger, where that was set and held for the
                whole look.

        Raises:
            ValueError: counts are negative or bad exceeds total; ``share`` is not between 0 and 1.
        """
        _check_counts("champion", champion_bad, champion_total)
        _check_counts("challenger", challenger_bad, challenger_total)
        if share is not None and not 0.0 < share < 1.0:
            raise ValueError(f"share must be between 0 and 1, found {share!r}; leave it out where it is not known")
        look = np.array([[champion_bad, champion_total, challenger_bad, challenger_total]], dtype=np.int64)
        if share is None:
            self.update_looks(look)
            return
        self._count(look)
        self._log_products += share_log_ratios(challenger_bad, champion_bad + challenger_bad, share)
        self._waiting, ready = _joined(self._waiting, look)
        self._judge(np.array([self.log_e_value]), self._bets.update_counts(ready[:, 0::2], ready[:, 1::2], self.margin))

    def update_looks(self, looks: NDArray[np.int64]) -> None:
        """Add many looks at once, in order, as if one by one: a failure between them counts.

        Args:
            looks: whole numbers, shape (looks, 4): champion bad, champion total, challenger bad, challenger total.

        Raises:
            ValueError: the shape is another, counts are negative or bad exceeds total.
        """
        looks = np.asarray(looks, dtype=np.int64)
        if looks.ndim != 2 or looks.shape[1] != 4:
            raise ValueError(f"looks must have shape (looks, 4), found {looks.shape}")
        if (looks < 0).any() or (looks[:, 0::2] > looks[:, 1::2]).any():
            raise ValueError(
                "looks must hold counts of at least 0, bad not above total: champion first, then challenger"
            )
        self._count(looks)
        self._waiting_harm, harm = _joined(self._waiting_harm, looks)
        self._waiting, bets = _joined(self._waiting, looks)
        within = self._bets.update_counts(bets[:, 0::2], bets[:, 1::2], self.margin)
        ratios = conditional_log_ratios(harm[:, 2], harm[:, 0] + harm[:, 2], harm[:, 3], harm[:, 1] + harm[:, 3])
        paths = self._log_products + np.cumsum(ratios, axis=0) + np.log(ODDS_WEIGHTS)
        self._log_products = self._log_products + ratios.sum(axis=0)
        top = paths.max(axis=1, initial=-np.inf)
        self._judge(top + np.log(np.exp(paths - top[:, None]).sum(axis=1)), within)

    def _count(self, looks: NDArray[np.int64]) -> None:
        bad0, n0, bad1, n1 = (int(x) for x in looks.sum(axis=0))
        self.champion_bad, self.champion_total = self.champion_bad + bad0, self.champion_total + n0
        self.challenger_bad, self.challenger_total = self.challenger_bad + bad1, self.challenger_total + n1

    def _judge(self, log_harm: Floats, within: Floats) -> None:
        """Settle the verdict from the evidence after each look, shape (looks,) each."""
        threshold, now = -math.log(self.alpha), self._bets.log_below(self.margin)
        if within.size != log_harm.size:  # looks with a known share and others wait apart
            within = np.full(log_harm.size, now)
        self._log_top = max(self._log_top, float(log_harm[within < threshold].max(initial=0.0)))
        ever = bool(((log_harm >= threshold) & (within < threshold)).any()) or self._verdict == "failed"
        self._verdict = decide(self.log_e_value, now, self.alpha, ever)

    @property
    def log_e_value(self) -> float:
        """Natural log of ``e_value``."""
        return log_mix(self._log_products, np.log(ODDS_WEIGHTS))

    @property
    def e_value(self) -> float:
        """Evidence that the challenger's rate is higher: 20 is as strong as p = 0.05, at any time. Stops at
        exp(700)."""
        return bounded_exp(self.log_e_value)

    @property
    def highest_e_value(self) -> float:
        """The most that ``e_value`` was after any look at which the rate was not shown to be within the margin: what
        ``failed`` goes by."""
        return bounded_exp(self._log_top)

    @property
    def verdict(self) -> Answer:
        """``failed`` | ``successful`` | ``inconclusive``. A failure that was once raised stays."""
        return self._verdict

    @property
    def interval(self) -> tuple[float, float]:
        """Anytime-valid 1 - alpha interval of challenger's rate minus champion's."""
        return self.interval_at(math.log(2.0 / self.alpha))

    def interval_at(self, threshold: float) -> tuple[float, float]:
        """The differences against which the bets' evidence is below ``exp(threshold)`` from either side."""
        return self._bets.lower_bound(threshold), self._bets.upper_bound(threshold)

    @property
    def difference(self) -> float | None:
        """Challenger's rate minus champion's as observed; None until both arms have rows."""
        if not (self.champion_total and self.challenger_total):
            return None
        return self.challenger_bad / self.challenger_total - self.champion_bad / self.champion_total

    @property
    def rows_forecast(self) -> int | None:
        """Rows of both arms in all until ``successful``, if rates and shares go on as so far; None where that is
        not in sight."""
        return self._bets.rows_forecast(self.margin, -math.log(self.alpha))

    def to_dict(self) -> dict[str, Any]:
        """The whole state as plain JSON values."""
        return {
            "format": 1,
            "test": "rate",
            "alpha": self.alpha,
            "margin": self.margin,
            "counts": [self.champion_bad, self.champion_total, self.challenger_bad, self.challenger_total],
            "waiting_harm": self._waiting_harm.tolist(),
            "waiting": self._waiting.tolist(),
            "log_products": self._log_products.tolist(),
            "bets": self._bets.to_list(),
            "log_top": self._log_top,
            "verdict": self._verdict,
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> RateTest:
        """The test as it was when ``to_dict`` was called."""
        check_state(state, "rate")
        test = cls(state["alpha"], state["margin"])
        test.champion_bad, test.champion_total, test.challenger_bad, test.challenger_total = state["counts"]
        test._waiting_harm = np.array(state["waiting_harm"], dtype=np.int64)
        test._waiting = np.array(state["waiting"], dtype=np.int64)
        test._log_products = np.array(state["log_products"], dtype=np.float64)
        test._bets.restore(state["bets"])
        test._log_top = state.get("log_top", 0.0)
        test._verdict = state["verdict"]
        return test


def _joined(waiting: NDArray[np.int64], looks: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Looks with both arms occupied, after what waits; and what waits now. Shape (looks, 4) in and out."""
    if waiting[1] == waiting[3] == 0 and bool((looks[:, 1::2] > 0).all()):
        return waiting, looks
    ready, held = [], waiting.copy()
    for look in looks:
        held = held + look
        if held[1] and held[3]:
            ready.append(held)
            held = np.zeros(4, dtype=np.int64)
    return held, np.array(ready, dtype=np.int64).reshape(-1, 4)


def _check_counts(arm: str, bad: int, total: int) -> None:
    for name, count in ((f"{arm}_bad", bad), (f"{arm}_total", total)):
        if int(count) != count or count < 0:
            raise ValueError(f"{name} must be a whole number of at least 0, found {count!r}")
    if bad > total:
        raise ValueError(f"{arm}_bad is {bad}, more than {arm}_total {total}; totals include the bad events")
