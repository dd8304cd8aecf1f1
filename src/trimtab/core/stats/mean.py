"""Are losses higher in the challenger's arm? A sequential test of means of bounded values, paired or split."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from trimtab.core.stats.bets import ArmBets, MeanBets
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

_EMPTY: Floats = np.empty(0)
_PIECE = 4096
"""Pairs that are bet on in one piece: bounds the memory of a large update."""


class MeanTest:
    r"""Is the challenger's mean loss higher than the champion's? May be looked at after every row.

    **Paired** (``paired=True``): both versions scored the same rows, as in shadow. With d = challenger's loss -
    champion's, scaled to [-1, 1], the wealth :math:`\prod (1 + k d_i) / (1 + k m)` tests 'mean(d) <= m'; its
    mixture over a fixed grid of k is an e-process for every m (Waudby-Smith & Ramdas 2024). What both versions find
    hard cancels out: it decides in a fraction of the rows that split traffic needs.

    **Unpaired** (``paired=False``): rows were split between the arms, any shares, also changing. Fair bets on both arms
    (``trimtab.core.stats.bets.ArmBets``; Turner, Ly & Grünwald 2024, carried over from 0/1 to bounded values).

    Claims, at all times and however often one looks: ``failed`` with probability at most ``alpha`` where the
    challenger's mean is no higher; ``successful`` with probability at most ``alpha`` where it is higher by
    ``margin`` or more; ``interval`` holds the mean difference with probability ``1 - alpha``. Paired, the mean is
    the running average of the conditional means, so it may wander; unpaired, the difference is taken as constant
    (or the hypothesis as true at every look).

    Assumptions: the bounds hold (a value outside is an error); each value's mean given the past is what is compared
    (rows may depend on the past, not on the arm they went to). Losses: higher is worse; pass ``1 - x`` or ``-x``
    for scores.

    Cost: time O(rows), state under 100 numbers. Paired, 20 to 40 rows per unit of (sd of d / difference)^2 / 2.

    Args:
        alpha: bound on false ``failed``, and separately on false ``successful``.
        margin: a difference of means, in units of the loss, that is tolerated. 0 asks for proof that the challenger
        is better.
        lower: least value a loss can have.
        upper: greatest value a loss can have.
        paired: whether champion[i] and challenger[i] are losses on the same row.

    Sources: Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting", JRSS B 2024; Turner, Ly &
    Grünwald, "Generic E-variables for exact sequential k-sample tests", 2024.

    >>> generator = np.random.Generator(np.random.PCG64(7))
    >>> test = MeanTest(alpha=0.05, margin=0.01)
    >>> champion = generator.beta(1, 5, size=2000)
    >>> test.update(champion=champion, challenger=np.clip(champion + generator.normal(0.03, 0.1, size=2000), 0, 1))
    >>> test.verdict, test.interval[0] > 0
    ('failed', True)
    """

    def __init__(
        self, alpha: float = 0.05, margin: float = 0.0, lower: float = 0.0, upper: float = 1.0, paired: bool = True
    ) -> None:
        self.alpha = check_alpha(alpha)
        self.margin = check_margin(margin)
        if not (math.isfinite(lower) and math.isfinite(upper) and lower < upper):
            raise ValueError(f"lower must be less than upper and both finite, found {lower!r} and {upper!r}")
        self.lower, self.upper, self.paired = float(lower), float(upper), bool(paired)
        self.champion_rows = self.challenger_rows = 0
        self._champion_sum = self._challenger_sum = 0.0
        self._bets: MeanBets | ArmBets = MeanBets() if paired else ArmBets()
        self._waiting: tuple[Floats, Floats] = (_EMPTY, _EMPTY)
        self._log_top = 0.0
        self._verdict: Answer = "inconclusive"

    def update(self, champion: ArrayLike, challenger: ArrayLike) -> None:
        """Add the losses of one look: shape (n,) each, of the same rows in the same order when paired, any lengths
        when not.

        Raises:
            ValueError: a value is missing, not finite or outside the bounds; paired lengths differ.
        """
        base = as_values(champion, "champion", self.lower, self.upper)
        other = as_values(challenger, "challenger", self.lower, self.upper)
        if self.paired and base.size != other.size:
            raise ValueError(
                f"paired losses must be of the same rows: found {base.size} champion and {other.size} challenger losses"
            )
        self.champion_rows += base.size
        self.challenger_rows += other.size
        self._champion_sum += float(base.sum())
        self._challenger_sum += float(other.sum())
        log_harm, within = self._take(base, other)
        threshold = -math.log(self.alpha)
        ever = bool(((log_harm >= threshold) & (within < threshold)).any()) or self._verdict == "failed"
        self._log_top = max(self._log_top, float(log_harm[within < threshold].max(initial=0.0)))
        self._verdict = decide(self.log_e_value, self.log_within, self.alpha, ever)
        if self._verdict == "failed":
            self._log_top = max(self._log_top, self.log_e_value)

    def _take(self, base: Floats, other: Floats) -> tuple[Floats, Floats]:
        """Add the losses; evidence of harm and of 'within the margin' after each pair (or after the look, when
        unpaired)."""
        span = self.upper - self.lower
        if isinstance(self._bets, MeanBets):
            pairs = (other - base) / span
            parts = [
                self._bets.update(pairs[start : start + _PIECE], 0.0, self._scaled_margin)
                for start in range(0, pairs.size, _PIECE)
            ]
            return np.concatenate([x for x, _ in parts] or [_EMPTY]), np.concatenate([x for _, x in parts] or [_EMPTY])
        first = np.concatenate([self._waiting[0], (base - self.lower) / span])
        second = np.concatenate([self._waiting[1], (other - self.lower) / span])
        if first.size and second.size:
            self._bets.update(first, second)
            first, second = _EMPTY, _EMPTY
        self._waiting = (first, second)
        return _EMPTY, _EMPTY

    @property
    def _scaled_margin(self) -> float:
        return min(1.0, self.margin / (self.upper - self.lower))

    @property
    def log_e_value(self) -> float:
        """Natural log of ``e_value``."""
        return self._bets.log_above(0.0)

    @property
    def e_value(self) -> float:
        """Evidence that the challenger's mean loss is higher: 20 is as strong as p = 0.05, at any time. Stops at
        exp(700)."""
        return bounded_exp(self.log_e_value)

    @property
    def highest_e_value(self) -> float:
        """The most that ``e_value`` was while the loss was not shown to be within the margin: what ``failed`` goes
        by."""
        return bounded_exp(self._log_top)

    @property
    def verdict(self) -> Answer:
        """``failed`` | ``successful`` | ``inconclusive``. A failure that was once raised stays."""
        return self._verdict

    @property
    def log_within(self) -> float:
        """Natural log of the evidence that the challenger is worse by less than the margin."""
        return self._bets.log_below(self._scaled_margin)

    @property
    def interval(self) -> tuple[float, float]:
        """Anytime-valid 1 - alpha interval of challenger's mean loss minus champion's, in units of the loss."""
        return self.interval_at(math.log(2.0 / self.alpha))

    def interval_at(self, log_threshold: float) -> tuple[float, float]:
        """The differences against which the evidence is below ``exp(log_threshold)`` from either side."""
        span = self.upper - self.lower
        return span * self._bets.lower_bound(log_threshold), span * self._bets.upper_bound(log_threshold)

    @property
    def difference(self) -> float | None:
        """Challenger's mean loss minus champion's as observed; None until both arms have rows."""
        if not (self.champion_rows and self.challenger_rows):
            return None
        return self._challenger_sum / self.challenger_rows - self._champion_sum / self.champion_rows

    @property
    def rows_forecast(self) -> int | None:
        """Rows in all (pairs; of both arms when unpaired) until ``successful`` if losses go on as so far; None: not
        in sight."""
        return self.rows_forecast_at(-math.log(self.alpha))

    def rows_forecast_at(self, log_threshold: float) -> int | None:
        """As ``rows_forecast``, until the evidence reaches ``exp(log_threshold)``."""
        return self._bets.rows_forecast(self._scaled_margin, log_threshold)

    def to_dict(self) -> dict[str, Any]:
        """The whole state as plain JSON values."""
        return {
            "format": 1,
            "test": "mean",
            "alpha": self.alpha,
            "margin": self.margin,
            "lower": self.lower,
            "upper": self.upper,
            "paired": self.paired,
            "rows": [self.champion_rows, self.challenger_rows],
            "sums": [self._champion_sum, self._challenger_sum],
            "waiting": [side.tolist() for side in self._waiting],
            "bets": self._bets.to_list(),
            "log_top": self._log_top,
            "verdict": self._verdict,
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> MeanTest:
        """The test as it was when ``to_dict`` was called."""
        check_state(state, "mean")
        test = cls(state["alpha"], state["margin"], state["lower"], state["upper"], state["paired"])
        test.champion_rows, test.challenger_rows = state["rows"]
        test._champion_sum, test._challenger_sum = state["sums"]
        test._waiting = (
            np.array(state["waiting"][0], dtype=np.float64),
            np.array(state["waiting"][1], dtype=np.float64),
        )
        test._bets.restore(state["bets"])
        test._log_top = state.get("log_top", 0.0)
        test._verdict = state["verdict"]
        return test
