"""Bets that losses became larger, on their ranks: what the conformal e-detector adds up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

QUANTILES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
RATIOS = (1.15, 1.3, 1.6, 2.0, 3.0, 5.0, 10.0, 20.0, 40.0)
SHARES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.55, 0.8)
POWERS = (0.25, 0.4, 0.6, 0.75)
FLOOR = 0.001
"""Ranks below count as this: a handful of the worst losses ever is no change yet."""
LARGEST = 1e200
"""Evidence is held here: a float holds little more."""


def step_pairs() -> list[tuple[float, float]]:
    """(q, r): ranks up to q become r times as frequent."""
    return [(q, r) for q in QUANTILES for r in RATIOS if q * r < 0.95]


class RankBets:
    """Shiryaev-Roberts sums of 72 steps (half of the weight) and 28 powers (the other half).

    Steps: f(u) = r for u <= q, else (1 - r q) / (1 - q). Powers: f(u) = (1 - w) + w k u^(k-1), large where the loss is
    larger than nearly all before. Each integrates to 1 over [0, 1]; with a tolerance e it is divided by
    1 + e (f_max - 1) (steps), or by 1 + e (1 / k - 1) w (powers): the expectation of f where the chance of u <= v is at
    most (1 + e) v for every v that matters.
    """

    def __init__(self, tolerance: float = 0.0) -> None:
        pairs = step_pairs()
        q = np.array([pair[0] for pair in pairs])
        r = np.array([pair[1] for pair in pairs])
        fair = 1.0 + tolerance * (r - 1.0)
        self._q, self._win, self._lose = q, r / fair, (1.0 - r * q) / (1.0 - q) / fair
        w = np.array([share for share in SHARES for _ in POWERS])
        k = np.array([power for _ in SHARES for power in POWERS])
        even = 1.0 + tolerance * w * (1.0 / k - 1.0)
        self._flat, self._steep, self._power = (1.0 - w) / even, w * k / even, k - 1.0
        self._weights = np.concatenate([np.full(len(q), 0.5 / len(q)), np.full(len(w), 0.5 / len(w))])
        self._sums = np.zeros(len(self._weights))
        self._bets = np.empty(len(self._weights))
        self._evidence = 0.0
        self._ranks: list[float] = []

    @property
    def evidence(self) -> float:
        """The weighted mean of M."""
        return self._evidence

    def take(self, u: float) -> None:
        """Bet on one rank in (0, 1], small where the loss is large."""
        self._ranks.append(u)
        size = len(self._q)
        self._bets[:size] = np.where(u <= self._q, self._win, self._lose)
        self._bets[size:] = self._flat + self._steep * max(u, FLOOR) ** self._power
        self._sums += 1.0
        self._sums *= self._bets
        np.minimum(self._sums, LARGEST, out=self._sums)
        self._evidence = float(self._sums @ self._weights)

    def onset(self) -> int:
        """Index of the rank from which the bet that won most has its largest product: where the rise began."""
        best = int(np.argmax(self._sums * self._weights))
        u = np.array(self._ranks)
        size = len(self._q)
        if best < size:
            logs = np.where(u <= self._q[best], np.log(self._win[best]), np.log(self._lose[best]))
        else:
            at = best - size
            logs = np.log(self._flat[at] + self._steep[at] * np.maximum(u, FLOOR) ** self._power[at])
        return int(np.argmax(np.cumsum(logs[::-1])[::-1])) if len(logs) else 0
