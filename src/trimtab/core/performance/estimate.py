"""Performance that is to be expected before labels come: confidence-based estimation (CBPE) with an interval.

With calibrated scores, a row of score s is of class 1 with chance c(s): so the expected confusion matrix, AUROC, Brier
score and log loss of any rows follow from how their scores are spread. *It sees p(x), not p(y|x)*: where the relation
of inputs and labels changes (concept drift), c(s) no longer holds and the estimate is wrong without a sign of it. So it
stands beside realised performance and never raises an alarm by itself.

Source: Białek et al., "Estimating model performance under covariate shift without labels", arXiv 2401.08348. The
interval is ours: chance of the labels, few calibration rows, and how calibration moved from block to block before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trimtab.core.performance.calibration import Calibration, between_of, bin_scores, calibration_of
from trimtab.core.profiles.baseline import PREFIX, Baseline
from trimtab.core.profiles.profile import Profile
from trimtab.core.profiles.scorecard import LOG_FLOOR
from trimtab.core.stats.seeded import seeded

Floats = NDArray[np.float64]

DRAWS = 400
FREEDOM = 5
"""Degrees of freedom of the assumed block effect, where no blocks tell."""
METRICS = ("accuracy", "f1", "precision", "recall", "auroc", "log_loss", "brier")
NOTE = "estimated from scores: sees changed inputs, cannot see concept drift"


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the metrics of these rows will be, were the relation of inputs and labels as it was."""

    rows: int
    metrics: Mapping[str, tuple[float, float, float]]
    """Name to (estimate, low, high): the interval holds the realised figure of these rows in 95 % of blocks."""
    calibration_rows: int
    calibration_blocks: int
    """Blocks by which it is known how calibration moves; 0: a usual amount is assumed."""
    note: str = NOTE


@dataclass(frozen=True, slots=True, eq=False)
class _Spread:
    """How the scores of the rows are spread."""

    scores: Floats
    """(B,) ascending."""
    counts: Floats
    """(B,)"""
    second: Floats
    """(B,) share that is predicted as class 1."""


def estimate_from_scores(
    calibration: Calibration, scores: Floats, positive: int = 1, blocks: int = 1, seed: int = 0
) -> Estimate | None:
    """For rows at hand.

    Args:
        calibration: of the same version.
        scores: (n,) of class 1, or (n, 2).
        positive: index of the class that precision, recall and F1 are about.
        blocks: blocks of time that the rows come from: what blocks differ by evens out over them.
        seed: of the draws behind the interval.

    Returns:
        None without rows.

    Example:
        >>> from trimtab.core.profiles import score_rows
        >>> rng = np.random.default_rng(0)
        >>> s = rng.beta(1, 2, 20_000)
        >>> y = (rng.random(20_000) < s).astype(float)
        >>> known = calibration_of(score_rows(np.column_stack([1 - s, s]), y))
        >>> found = estimate_from_scores(known, rng.beta(2, 1, 5000))
        >>> round(found.metrics["accuracy"][0], 2)
        0.75
    """
    values = scores[:, 1] if scores.ndim == 2 else scores
    means, counts = bin_scores(values)
    if not len(means):
        return None
    return _estimate(calibration, _Spread(means, counts, (means > 0.5).astype(np.float64)), positive, blocks, seed)


def estimate_from_baseline(
    baseline: Baseline, profile: Profile, positive: int = 1, blocks: int = 1, seed: int = 0
) -> Estimate | None:
    """From sums alone: the baseline's labelled rows calibrate, the profile's score histogram is weighed.

    Args:
        baseline: of the version.
        profile: counted in its bins, answers included.
        positive, blocks, seed: as in ``estimate_from_scores``.

    Returns:
        None for regression, more than two classes, a baseline without evaluation, or a profile without answers.
    """
    calibration = baseline_calibration(baseline)
    if calibration is None:
        return None
    spread = _spread(baseline, profile.counts)
    return None if spread is None else _estimate(calibration, spread, positive, blocks, seed)


@lru_cache(maxsize=4)  # a memo of a pure function of a frozen value: the loop asks at every look
def baseline_calibration(baseline: Baseline) -> Calibration | None:
    """The calibration of a version by its own evaluation, and how it moved between the evaluation's blocks.

    Of each block the baseline keeps the score histogram, the labels' counts and the sum of Brier losses: two equations
    for the two effects of the block.
    """
    calibration = calibration_of(baseline.evaluation)
    if calibration is None or f"{PREFIX}score" not in {feature.name for feature in baseline.layout.features}:
        return calibration
    effects, noise = [], []
    table, place = baseline.loss_blocks, {start: at for at, start in enumerate(baseline.blocks.starts.tolist())}
    for at, start in enumerate(table.starts.tolist()):
        if table.rows[at] < 50 or start not in place:
            continue
        spread = _spread(baseline, baseline.blocks.counts[place[start]])
        if spread is None or abs(spread.counts.sum() - float(table.rows[at])) > 0.5:
            continue  # answers without a label: the sums are not of the same rows
        found = _block_effect(calibration, spread, float(table.positives[at, 1]), float(table.sums[at]))
        effects.append(found[0])
        noise.append(found[1])
    if len(effects) < 8:
        return calibration
    return replace(calibration, between=between_of(np.array(effects), np.array(noise)), blocks=len(effects))


def _block_effect(calibration: Calibration, spread: _Spread, hits: float, loss: float) -> tuple[Floats, Floats]:
    """(a, b) from how many labels and how much Brier loss a block had beyond what was to be expected."""
    chance = _clipped(calibration.chance(spread.scores))
    weight = spread.counts * chance * (1 - chance)
    centred = np.log(chance / (1 - chance)) - calibration.middle
    lever = 1 - 2 * spread.scores  # what one more hit in this bin adds to the loss
    expected = float(np.dot(spread.counts, chance * lever + spread.scores**2))
    moved = np.array([hits - float(np.dot(spread.counts, chance)), loss - expected])
    slopes = np.array(
        [
            [weight.sum(), np.dot(weight, centred)],
            [np.dot(weight, lever), np.dot(weight, lever * centred)],
        ]
    )
    spread_of = np.array([[weight.sum(), np.dot(weight, lever)], [np.dot(weight, lever), np.dot(weight, lever**2)]])
    # least squares with a prior of one standard unit on each effect, as the Newton step of whole scorecards has
    inner = np.linalg.pinv(spread_of)
    inverse = np.linalg.inv(slopes.T @ inner @ slopes + np.eye(2))
    return inverse @ slopes.T @ inner @ moved, inverse


def _spread(baseline: Baseline, counts: NDArray[np.integer]) -> _Spread | None:
    """The score histogram of a profile, in the finer bins of the evaluation.

    A profile's bin holds 1/128 of the evaluation's rows, which for a rare class is all that matters: so its count is
    spread over the score bins of the evaluation within it, as the evaluation's rows were. Where a bin has scores on
    both sides of 0.5, the class that was answered says how many lie above.
    """
    names = [feature.name for feature in baseline.layout.features]
    if f"{PREFIX}score" not in names or f"{PREFIX}class" not in names:
        return None
    at = names.index(f"{PREFIX}score")
    feature = baseline.layout.features[at]
    own = counts[baseline.layout.part(at)].astype(np.float64)[:-1]  # without missing
    if not own.any():
        return None
    cells = baseline.evaluation.histogram[0].sum(axis=0).astype(np.float64)
    kept = cells > 0
    means, weights = baseline.evaluation.score_sums[0][kept] / cells[kept], cells[kept]
    holder = np.searchsorted(feature.edges, means, side="right")
    edges = np.concatenate([[0.0], np.clip(feature.edges, 0.0, 1.0), [1.0]])
    scores, amounts, places = [means], [weights], [holder]
    empty = np.setdiff1d(np.flatnonzero(own), holder)
    scores.append(0.5 * (edges[:-1] + edges[1:])[empty])
    amounts.append(np.ones(len(empty)))
    places.append(empty)
    score, amount, place = np.concatenate(scores), np.concatenate(amounts), np.concatenate(places)
    share = own[place] * amount / np.bincount(place, weights=amount, minlength=len(own))[place]
    order = np.argsort(score, kind="stable")
    score, share, place = score[order], share[order], place[order]
    second = (score > 0.5).astype(np.float64)
    share = _as_answered(share, second, place, _second_answers(baseline, counts, names))
    used = share > 0
    return _Spread(score[used], share[used], second[used])


def _second_answers(baseline: Baseline, counts: NDArray[np.integer], names: list[str]) -> float:
    at = names.index(f"{PREFIX}class")
    label = baseline.classes[1] if len(baseline.classes) == 2 else "1"
    levels = baseline.layout.features[at].levels
    return float(counts[baseline.layout.part(at)][levels.index(label)]) if label in levels else 0.0


def _as_answered(share: Floats, second: Floats, place: NDArray[np.intp], answered: float) -> Floats:
    """Rows moved within the bin that holds scores on both sides, so that as many lie above as were answered."""
    over, under = second == 1.0, second == 0.0
    mixed = np.isin(place, np.intersect1d(place[over & (share > 0)], place[under & (share > 0)]))
    if not mixed.any():
        return share
    above, below = share[mixed & over].sum(), share[mixed & under].sum()
    wanted = min(max(answered - share[over & ~mixed].sum(), 0.0), above + below)
    factor = np.where(over, wanted / above, (above + below - wanted) / below)
    moved: Floats = np.where(mixed, share * factor, share)
    return moved


def _clipped(chances: Floats) -> Floats:
    return np.clip(chances, 1e-6, 1 - 1e-6)


def _estimate(calibration: Calibration, spread: _Spread, positive: int, blocks: int, seed: int) -> Estimate:
    chance = _clipped(calibration.chance(spread.scores))
    rng = seeded(seed)
    centred = np.log(chance / (1 - chance)) - calibration.middle
    freedom = calibration.blocks - 1 if calibration.blocks else FREEDOM
    tails = np.sqrt(freedom / rng.chisquare(freedom, DRAWS))[:, None]  # Student's t: few blocks say little of the rest
    effects = (
        rng.multivariate_normal(np.zeros(2), calibration.between / max(blocks, 1), size=DRAWS, method="eigh") * tails
    )
    effects += rng.multivariate_normal(np.zeros(2), calibration.sampling, size=DRAWS, method="eigh")
    logits = calibration.middle + centred + effects[:, :1] + effects[:, 1:] * centred
    moved = _clipped(1 / (1 + np.exp(-np.clip(logits, -30, 30))))
    hits = rng.binomial(np.floor(spread.counts).astype(np.int64), moved).astype(np.float64)
    hits += (rng.random(moved.shape) < moved) * (spread.counts % 1.0)  # counts may be spread over bins
    drawn = _metrics(spread, hits, positive)
    central = _metrics(spread, (spread.counts * chance)[None, :], positive)
    out = {}
    for name in METRICS:
        known = drawn[name][np.isfinite(drawn[name])]
        value = float(central[name][0])
        if not known.size or not np.isfinite(value):
            continue
        low, high = np.quantile(known, [0.025, 0.975])
        out[name] = (value, min(float(low), value), max(float(high), value))
    return Estimate(round(float(spread.counts.sum())), out, calibration.rows, calibration.blocks)


def _metrics(spread: _Spread, hits: Floats, positive: int) -> dict[str, Floats]:
    """Each (R,), from hits (R, B): rows of class 1 in each bin."""
    counts, second, scores = spread.counts, spread.second, spread.scores
    misses = counts - hits
    rows = counts.sum()
    true_second, true_first = hits @ second, misses @ (1 - second)
    hit = true_second if positive == 1 else true_first
    predicted = float(counts @ second) if positive == 1 else float(counts @ (1 - second))
    actual = hits.sum(axis=1) if positive == 1 else misses.sum(axis=1)
    safe = np.clip(scores, LOG_FLOOR, 1 - LOG_FLOOR)
    below = np.cumsum(misses, axis=1) - 0.5 * misses
    positives, negatives = hits.sum(axis=1), misses.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "accuracy": (true_second + true_first) / rows,
            "precision": hit / predicted if predicted else np.full(len(hits), np.nan),
            "recall": np.where(actual > 0, hit / actual, np.nan),
            "f1": np.where(predicted + actual > 0, 2 * hit / (predicted + actual), np.nan),
            "auroc": np.einsum("rb,rb->r", hits, below) / (positives * negatives),
            "log_loss": -(hits @ np.log(safe) + misses @ np.log(1 - safe)) / rows,
            "brier": (hits @ (1 - scores) ** 2 + misses @ scores**2) / rows,
        }
