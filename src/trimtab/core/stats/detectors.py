"""Did the level of a stream of block losses rise? E-detectors that may be looked at after every block.

Shin, Ramdas & Rinaldo, "E-detectors: a nonparametric framework for sequential change detection" (2022): with bets
f_t whose expectation
under 'no change' is at most 1, the sum M_t = (M_{t-1} + 1) f_t reaches c with an average run length of at least c, so
P(alarm within T blocks) <= T / c, whenever one looks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trimtab.core.stats.rank_bets import step_pairs

Values = NDArray[np.float64]

RISES = np.array([0.5, 1.0, 1.5, 2.0])
"""Rises of the level, in standard deviations of a block, that the mean detector bets on."""
CAP = 3.0
"""A block counts at most this many standard deviations: one bad day alone is no change."""


def shiryaev_roberts(log_bets: Values) -> Values:
    """(T,) ln of the mean of M over the bets, after each block; the alarm is at ln c.

    Args:
        log_bets: (T, J) ln f of each of J bets for each block; each f has expectation at most 1 under 'no change'.
    """
    steps, bets = log_bets.shape
    level = np.full(bets, -np.inf)
    path = np.empty(steps)
    log_n = np.log(max(bets, 1))
    for at in range(steps):
        level = np.logaddexp(level, 0.0) + log_bets[at]
        path[at] = np.logaddexp.reduce(level) - log_n
    return path


def step_onset(losses: Values, level: float) -> int:
    """Index of the block from which a step explains the losses best (least squares: ``level`` before, free after).

    The number of blocks where no rise explains anything.
    """
    size = len(losses)
    sums = np.cumsum((losses - level)[::-1])[::-1]
    gain = np.where(sums > 0, sums**2, 0.0) / np.arange(size, 0, -1)
    return int(np.argmax(gain)) if size and gain.max() > 0 else size


def rise_bets(z: Values) -> Values:
    """(T, J) ln bets on a rise of the mean of standardised losses: λ z - λ² / 2, z capped above at ``CAP``.

    Expectation at most 1 where z has mean at most 0 and is sub-Gaussian with variance proxy 1 under 'no change'.
    The baseline's own
    uncertainty belongs into z: subtract the *upper* confidence limit of its mean (Podkopaev & Ramdas, ICLR 2022).
    """
    capped = np.minimum(z, CAP)
    return RISES * capped[:, None] - RISES**2 / 2


def rank_bets(losses: Values, warm_up: int) -> Values:
    """(T, J) ln bets on conformal ranks: u_t is the rank of loss t among all up to t (ties count as
    smaller), small where it is large.

    Distribution-free: exact where blocks are exchangeable before the change, whatever the losses' distribution
    (Vovk et al. 2003).
    The first ``warm_up`` blocks are only collected. Bets f(u) = r for u <= q, else (1 - r q) / (1 - q).
    """
    pairs = step_pairs()
    q = np.array([pair[0] for pair in pairs])
    r = np.array([pair[1] for pair in pairs])
    out = np.zeros((len(losses), len(pairs)))
    win, lose = np.log(r), np.log((1 - r * q) / (1 - q))
    for at in range(warm_up, len(losses)):
        earlier = losses[:at]
        rank = (np.count_nonzero(earlier >= losses[at]) + 1.0) / (at + 1.0)
        # whole ranks with ties against the bettor make P(u <= q) at most q: the bet is fair or worse
        out[at] = np.where(rank <= q, win, lose)
    return out
