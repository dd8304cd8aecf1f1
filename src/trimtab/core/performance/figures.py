"""Realised metrics with confidence intervals, from scorecards of blocks of time.

Definitions are scikit-learn's; with more than two classes precision, recall, F1 and AUROC are the plain mean over the
classes (one against the rest), and the Brier score is the sum over the classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import sqrt
from operator import add

import numpy as np
from numpy.typing import NDArray

from trimtab.core.profiles.scorecard import Scorecard, empty_scorecard

Floats = NDArray[np.float64]

BLOCKS_MIN = 8
"""Blocks from which the interval rests on how blocks differ."""
Z = 1.959964
CLASSIFICATION = ("accuracy", "f1", "precision", "recall", "auroc", "log_loss", "brier")
REGRESSION = ("mae", "mse", "rmse", "r2")
HIGHER_IS_BETTER = frozenset({"accuracy", "f1", "precision", "recall", "auroc", "r2"})


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric with its two-sided 95 % confidence interval."""

    name: str
    value: float
    """NaN where the rows do not define it (AUROC of a single class)."""
    low: float
    """NaN where there is no interval."""
    high: float
    rows: int
    method: str
    """``blocks``: by how blocks of time differ; ``rows``: as if rows were independent."""


def figures_of(cards: Sequence[Scorecard], positive: int = 1) -> dict[str, Figure]:
    """All metrics of the rows of all blocks, by name.

    With at least eight blocks the variance is that of leaving out one block at a time (jackknife; Künsch 1989), because
    rows of a day have their weather in common; it is never taken smaller than that of independent rows. With fewer
    blocks rows are taken as independent, and ``method`` says so.

    Args:
        cards: one per block of time, of one version; blocks without rows are left out.
        positive: index of the class that precision, recall and F1 are about, where there are two.

    Example:
        >>> from trimtab.core.profiles import score_rows
        >>> scores = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]])
        >>> found = figures_of([score_rows(scores, np.array([0.0, 1.0, 1.0, 1.0]))])
        >>> found["accuracy"].value, found["recall"].value, found["accuracy"].method
        (0.75, 0.6666666666666666, 'rows')
    """
    used = [card for card in cards if card.rows]
    if not used:
        return {}
    total = reduce(add, used)
    measures = _measures(total, positive)
    out = {}
    for name, measure in measures.items():
        value = measure(total)
        rows_variance = _row_variance(name, total, value, positive)
        variance, method, freedom = rows_variance, "rows", 0
        if len(used) >= BLOCKS_MIN:
            found = _block_variance(measure, used, total)
            if np.isfinite(found):
                variance, method, freedom = max(found, np.nan_to_num(rows_variance)), "blocks", len(used) - 1
        half = (_t975(freedom) if freedom else Z) * sqrt(variance) if np.isfinite(variance) else float("nan")
        low, high = _bounded(name, value, half, total.rows if method == "rows" else 0)
        out[name] = Figure(name, value, low, high, total.rows, method)
    return out


def _measures(card: Scorecard, positive: int) -> dict[str, Callable[[Scorecard], float]]:
    if not card.classes:
        return {"mae": lambda c: c.loss, "mse": lambda c: c.log_loss, "rmse": _rmse, "r2": _r2}
    scale = 1.0 if card.classes == 2 else 2.0
    return {
        "accuracy": lambda c: c.accuracy,
        "f1": lambda c: _of_confusion("f1", c.confusion, positive),
        "precision": lambda c: _of_confusion("precision", c.confusion, positive),
        "recall": lambda c: _of_confusion("recall", c.confusion, positive),
        "auroc": auroc,
        "log_loss": lambda c: c.log_loss,
        "brier": lambda c: c.loss * scale,
    }


def auroc(card: Scorecard) -> float:
    """Of two classes, or the mean over more; NaN where a class does not occur."""
    if card.classes == 2:
        return card.auroc()
    return float(np.mean([card.auroc(of) for of in range(card.classes)]))


def _rmse(card: Scorecard) -> float:
    return sqrt(card.log_loss) if card.rows else float("nan")


def _r2(card: Scorecard) -> float:
    if not card.rows:
        return float("nan")
    around = float(card.errors[3] - card.errors[2] ** 2 / card.rows)
    return 1.0 - float(card.errors[1]) / around if around > 0 else float("nan")


def _of_confusion(name: str, confusion: NDArray[np.int64], positive: int) -> float:
    """Precision, recall or F1; 0 where nothing was predicted (or none is there), as scikit-learn has it."""
    classes = len(confusion)
    hit = np.diag(confusion).astype(np.float64)
    predicted, true = confusion.sum(axis=0), confusion.sum(axis=1)
    over = {"precision": predicted, "recall": true, "f1": 0.5 * (predicted + true)}[name]
    with np.errstate(invalid="ignore", divide="ignore"):
        each = np.where(over > 0, hit / np.maximum(over, 1e-12), 0.0)
    return float(each[positive]) if classes == 2 else float(each.mean())


def _row_variance(name: str, card: Scorecard, value: float, positive: int) -> float:
    """Variance of the metric with independent rows; NaN where the sums do not tell."""
    rows = card.rows
    if rows < 2 or not np.isfinite(value):
        return float("nan")
    if name in ("brier", "mae"):
        scale = value / card.loss if card.loss > 0 else 1.0
        return _mean_variance(float(card.losses[0]), float(card.losses[1]), rows) * scale**2
    if name in ("log_loss", "mse"):
        return _mean_variance(float(card.losses[2]), float(card.losses[3]), rows)
    if name == "rmse":
        variance = _mean_variance(float(card.losses[2]), float(card.losses[3]), rows)
        return variance / (4 * value**2) if value > 0 else 0.0
    if name == "auroc":
        return _auroc_variance(card)
    if name in ("accuracy", "f1", "precision", "recall"):
        return _jackknife_of_cells(name, card.confusion, value, positive)
    return float("nan")  # R2: from blocks only


def _mean_variance(total: float, squares: float, rows: int) -> float:
    return max(squares / rows - (total / rows) ** 2, 0.0) / (rows - 1)


def _jackknife_of_cells(name: str, confusion: NDArray[np.int64], value: float, positive: int) -> float:
    """Leaving out one row at a time: rows of one cell of the confusion matrix do the same, so K² trials are all."""
    rows = int(confusion.sum())
    without, counts = [], []
    for cell in np.argwhere(confusion > 0):
        left = confusion.copy()
        left[tuple(cell)] -= 1
        if name == "accuracy":
            without.append(float(np.trace(left)) / (rows - 1))
        else:
            without.append(_of_confusion(name, left, positive))
        counts.append(int(confusion[tuple(cell)]))
    moved = np.array(without) - value
    return float((rows - 1) / rows * np.dot(counts, moved**2))


def _auroc_variance(card: Scorecard) -> float:
    """DeLong, DeLong & Clarke-Pearson, Biometrics 44 (1988), over score bins; the mean over classes where there are
    more than two (which takes them as wholly dependent)."""
    found = []
    for others, these in card.histogram.astype(np.float64):
        negatives, positives = others.sum(), these.sum()
        if negatives < 2 or positives < 2:
            return float("nan")
        above_of_negatives = (these.sum() - np.cumsum(these) + 0.5 * these) / positives
        below_of_positives = (np.cumsum(others) - 0.5 * others) / negatives
        area = float(np.dot(these, below_of_positives) / positives)
        first = float(np.dot(these, (below_of_positives - area) ** 2)) / (positives - 1)
        second = float(np.dot(others, (above_of_negatives - area) ** 2)) / (negatives - 1)
        found.append(sqrt(first / positives + second / negatives))
    return float(np.mean(found)) ** 2


def _block_variance(measure: Callable[[Scorecard], float], cards: Sequence[Scorecard], total: Scorecard) -> float:
    """Jackknife over blocks, each as heavy as its rows (weighted pseudo-values)."""
    without = np.array([measure(_less(total, card)) for card in cards])
    if not np.isfinite(without).all():
        return float("nan")
    count = len(cards)
    return float((count - 1) / count * ((without - without.mean()) ** 2).sum())


def _less(total: Scorecard, part: Scorecard) -> Scorecard:
    return Scorecard(
        total.classes,
        total.rows - part.rows,
        total.losses - part.losses,
        total.confusion - part.confusion,
        total.histogram - part.histogram,
        total.score_sums - part.score_sums,
        total.errors - part.errors,
    )


def _bounded(name: str, value: float, half: float, rows: int) -> tuple[float, float]:
    """Shares stay within 0 and 1; the interval of an accuracy of few independent rows is Wilson's."""
    if not np.isfinite(half):
        return float("nan"), float("nan")
    if name == "accuracy" and rows:
        return wilson(value, rows)
    low, high = value - half, value + half
    if name in ("accuracy", "f1", "precision", "recall", "auroc"):
        return max(low, 0.0), min(high, 1.0)
    return (low, min(high, 1.0)) if name == "r2" else (max(low, 0.0), high)


def wilson(share: float, rows: float, z: float = Z) -> tuple[float, float]:
    """Wilson's score interval of a share.

    >>> tuple(round(end, 3) for end in wilson(1.0, 10))
    (0.722, 1.0)
    """
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _t975(freedom: int) -> float:
    """97.5 % quantile of Student's t (Cornish-Fisher; within 1 % from 4 degrees of freedom)."""
    z = Z
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def total_of(cards: Sequence[Scorecard], classes: int) -> Scorecard:
    """Their sum; the neutral element where there are none."""
    return reduce(add, cards, empty_scorecard(classes))
