"""How often the second of two classes comes true at each score: what estimated performance rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.core.profiles.scorecard import SCORE_BINS, Scorecard, score_edges

Floats = NDArray[np.float64]

ROWS_MIN = 100
"""Labelled rows from which a calibration is trusted at all."""
BLOCKS_MIN = 8
"""Blocks from which it is known how calibration moves from block to block."""
ALONE = 0.15
"""Standard deviation of the block effect (log odds) where it is not known from blocks."""


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Chance of class 1 by score, with what is not sure of it.

    The chance at a score is non-decreasing (isotonic, weighted by rows). A later block may differ by
    logit p' = logit p + a + b (logit p - m): (a, b) has the covariance ``sampling`` (the calibration rows were few)
    plus ``between`` (blocks differ by nature).
    """

    scores: Floats
    """(B,) ascending mean scores of the bins that hold rows."""
    chances: Floats
    """(B,) in (0, 1)."""
    middle: float
    """m: mean logit of the chance over the calibration rows."""
    sampling: Floats
    """(2, 2)"""
    between: Floats
    """(2, 2)"""
    rows: int
    blocks: int
    """Blocks that ``between`` was measured on; 0: an assumption."""

    def chance(self, scores: Floats) -> Floats:
        """(n,) chance of class 1 at these scores: linear between the bins."""
        return np.interp(scores, self.scores, self.chances)


def calibration_of(total: Scorecard, blocks: Sequence[Scorecard] = ()) -> Calibration | None:
    """From labelled rows; None with fewer than 100, a single class, or another number of classes than two.

    Args:
        total: all rows.
        blocks: the same by block of time, as long as the blocks that will be estimated; with at least eight of them it
            is measured how calibration moves from block to block.
    """
    if total.classes != 2 or total.rows < ROWS_MIN or not (total.label_counts > 0).all():
        return None
    others, these = total.histogram[0].astype(np.float64)
    counts = others + these
    kept = counts > 0
    scores = total.score_sums[0][kept] / counts[kept]
    # one more row of the overall rate in every bin: no chance is exactly 0 or 1
    rate = these.sum() / counts.sum()
    chances = isotonic((these[kept] + 0.5 * rate) / (counts[kept] + 0.5), counts[kept] + 0.5)
    logits: Floats = np.log(chances / (1 - chances)).astype(np.float64)
    middle = float(np.average(logits, weights=counts[kept]))
    whole = _information(counts[kept], chances, logits - middle)
    sampling = _inverse(whole)
    used = [card for card in blocks if card.rows >= ROWS_MIN // 2]
    between: Floats = np.diag([ALONE**2, ALONE**2])
    measured = 0
    if len(used) >= BLOCKS_MIN:
        effects, noise = zip(*(_effect(card, kept, chances, logits - middle) for card in used), strict=True)
        between = between_of(np.array(effects), np.array(noise))
        measured = len(used)
    return Calibration(scores, chances, middle, sampling, between, total.rows, measured)


def between_of(effects: Floats, noise: Floats) -> Floats:
    """(2, 2) covariance of the block effects beyond what rows of a block alone bring about; never negative.

    Args:
        effects: (n, 2) estimated effects.
        noise: (n, 2, 2) their sampling covariances.
    """
    around = np.cov(effects.T) - noise.mean(axis=0)
    values, vectors = np.linalg.eigh(around)
    kept: Floats = (vectors * np.maximum(values, 0.0)) @ vectors.T
    return kept


def _effect(card: Scorecard, kept: NDArray[np.bool_], chances: Floats, centred: Floats) -> tuple[Floats, Floats]:
    """(a, b) of one block by one Newton step from no effect, kept small where the block says little; and its noise."""
    others, these = card.histogram[0].astype(np.float64)
    counts, hits = (others + these)[kept], these[kept]
    residual = hits - counts * chances
    information = _information(counts, chances, centred)
    inverse = _inverse(information)
    score = np.array([residual.sum(), np.dot(residual, centred)])
    return inverse @ score, inverse


def _information(counts: Floats, chances: Floats, centred: Floats) -> Floats:
    weight = counts * chances * (1 - chances)
    cross = float(np.dot(weight, centred))
    return np.array([[weight.sum(), cross], [cross, float(np.dot(weight, centred**2))]])


def _inverse(information: Floats) -> Floats:
    """With a prior of one standard unit on each effect, so that it exists."""
    found: Floats = np.asarray(np.linalg.inv(information + np.eye(2)), dtype=np.float64)
    return found


def isotonic(values: Floats, weights: Floats) -> Floats:
    """(n,) the non-decreasing sequence nearest to ``values`` (pool adjacent violators; Barlow et al. 1972).

    >>> isotonic(np.array([0.1, 0.4, 0.2, 0.9]), np.ones(4)).round(2).tolist()
    [0.1, 0.3, 0.3, 0.9]
    """
    means: list[float] = []
    sizes: list[float] = []
    lengths: list[int] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        means.append(value)
        sizes.append(weight)
        lengths.append(1)
        while len(means) > 1 and means[-2] > means[-1]:
            size = sizes[-2] + sizes[-1]
            means[-2] = (means[-2] * sizes[-2] + means[-1] * sizes[-1]) / size
            sizes[-2] = size
            lengths[-2] += lengths[-1]
            del means[-1], sizes[-1], lengths[-1]
    return np.repeat(np.array(means), lengths)


def bin_scores(scores: Floats) -> tuple[Floats, Floats]:
    """Scores of class 1 as (mean scores, counts) of the scorecard's bins that hold some.

    Args:
        scores: (n,) in [0, 1]; NaN is left out.
    """
    known = scores[np.isfinite(scores)]
    bins = np.searchsorted(score_edges(), known, side="right")
    counts = np.bincount(bins, minlength=SCORE_BINS).astype(np.float64)
    sums = np.bincount(bins, weights=known, minlength=SCORE_BINS)
    kept = counts > 0
    return sums[kept] / counts[kept], counts[kept]
