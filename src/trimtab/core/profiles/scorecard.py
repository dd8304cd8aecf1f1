"""What labelled rows say of a model, as sums: counts, losses, confusion, score histograms by class. Scorecards of
parts add up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.core.domain.errors import DataError, IntegrityError
from trimtab.core.profiles import codec
from trimtab.core.profiles.columns import Numbers

SCORE_BINS = 128
"""Bins of a score, equal in log odds from 1:9,999 to 9,999:1, so that rare events are resolved."""
LOG_FLOOR = 1e-6
"""Scores are clipped here for the log loss only."""
_EDGES_LOGIT = 9.21


def score_edges() -> Numbers:
    """(SCORE_BINS - 1,) inner edges."""
    return 1.0 / (1.0 + np.exp(-np.linspace(-_EDGES_LOGIT, _EDGES_LOGIT, SCORE_BINS - 1)))


@dataclass(frozen=True, slots=True, eq=False)
class Scorecard:
    """Sums over labelled rows of one version.

    Classification (``classes`` = K >= 2): the loss is the Brier score halved, Σ_k (p_k - y_k)² / 2, in [0, 1]; for
    two classes (p - y)².
    Regression (K = 0): the loss is the absolute error.
    """

    classes: int
    rows: int
    losses: NDArray[np.float64]
    """(4,) sum of loss, sum of loss², sum of log loss (regression: of squared error), its sum of squares."""
    confusion: NDArray[np.int64]
    """(K, K) label by predicted class (largest score); regression (0, 0)."""
    histogram: NDArray[np.int64]
    """(K, 2, SCORE_BINS) for each class: other labels, this label; by the score of this class. Two classes keep only
    class 1: (1, 2, …)."""
    score_sums: NDArray[np.float64]
    """(K or 1, SCORE_BINS) sum of scores in each bin: calibration is label share against mean score."""
    errors: NDArray[np.float64]
    """(5,) regression: sums of error, error², label, label², prediction·label; zeros for classification."""

    def __add__(self, other: Scorecard) -> Scorecard:
        if self.classes != other.classes:
            raise DataError(f"scorecards of {self.classes} and {other.classes} classes do not add up")
        return Scorecard(
            self.classes,
            self.rows + other.rows,
            self.losses + other.losses,
            self.confusion + other.confusion,
            self.histogram + other.histogram,
            self.score_sums + other.score_sums,
            self.errors + other.errors,
        )

    @property
    def loss(self) -> float:
        """Mean loss; NaN without rows."""
        return float(self.losses[0]) / self.rows if self.rows else float("nan")

    @property
    def log_loss(self) -> float:
        """Mean log loss (regression: mean squared error); NaN without rows."""
        return float(self.losses[2]) / self.rows if self.rows else float("nan")

    @property
    def accuracy(self) -> float:
        """Share of rows whose label has the largest score; NaN without rows or classes."""
        return float(np.trace(self.confusion)) / self.rows if self.rows and self.classes else float("nan")

    @property
    def label_counts(self) -> NDArray[np.int64]:
        """(K,) rows of each class."""
        counts: NDArray[np.int64] = self.confusion.sum(axis=1)
        return counts

    def auroc(self, of: int = -1) -> float:
        """Area under the ROC curve from the score histogram (ties within a bin count one half); NaN with a single
        class."""
        others, these = self.histogram[of if self.classes > 2 else 0]
        negatives, positives = int(others.sum()), int(these.sum())
        if not negatives or not positives:
            return float("nan")
        below = np.concatenate([[0], np.cumsum(others)[:-1]])
        return float(np.dot(these, below + 0.5 * others)) / (negatives * positives)

    def to_bytes(self) -> bytes:
        """Versioned binary form."""
        arrays = {
            "losses": self.losses,
            "confusion": self.confusion,
            "histogram": self.histogram,
            "score_sums": self.score_sums,
            "errors": self.errors,
        }
        return codec.pack("scorecard", 1, {"classes": self.classes, "rows": self.rows}, arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> Scorecard:
        """Raises IntegrityError where the bytes are damaged or of another format."""
        head, arrays = codec.unpack("scorecard", 1, data)
        classes = head["classes"]
        if arrays["confusion"].shape != (classes, classes):
            raise IntegrityError(f"scorecard of {classes} classes holds a confusion of {arrays['confusion'].shape}")
        return cls(classes, head["rows"], **arrays)


def empty_scorecard(classes: int) -> Scorecard:
    """The neutral element of +. ``classes`` is 0 for regression."""
    kept = 0 if classes == 0 else 1 if classes == 2 else classes
    return Scorecard(
        classes,
        0,
        np.zeros(4),
        np.zeros((classes, classes), dtype=np.int64),
        np.zeros((kept, 2, SCORE_BINS), dtype=np.int64),
        np.zeros((kept, SCORE_BINS)),
        np.zeros(5),
    )


def row_losses(scores: Numbers, labels: Numbers) -> Numbers:
    """(n,) the loss of each row; NaN where the label is missing (NaN, or negative for classes).

    Args:
        scores: (n, K) class scores, or (n,) predicted values for regression.
        labels: (n,) index of the class, or the value.
    """
    if scores.ndim == 1:
        return np.abs(scores - labels)
    known = np.isfinite(labels) & (labels >= 0)
    out = np.full(len(labels), np.nan)
    at = np.flatnonzero(known)
    picked = scores[at, labels[at].astype(np.intp)]
    out[at] = 0.5 * ((scores[at] ** 2).sum(axis=1) - 2 * picked + 1)
    return out


def score_rows(scores: Numbers, labels: Numbers) -> Scorecard:
    """The scorecard of these rows; rows without a label are left out.

    Args:
        scores: (n, K) class scores in the order of the classes, or (n,) predicted values for regression.
        labels: (n,) index of the class (NaN or -1: not known yet), or the value (NaN: not known yet).

    Raises:
        DataError: lengths differ, or a label is not an index of a class.
    """
    scores = np.asarray(scores, dtype=np.float64)
    labels = np.asarray(labels, dtype=np.float64)
    if len(scores) != len(labels):
        raise DataError(f"{len(scores)} scores, but {len(labels)} labels")
    losses = row_losses(scores, labels) if _sound(scores, labels) else labels
    kept = np.isfinite(losses)
    scores, labels, losses = scores[kept], labels[kept], losses[kept]
    return _regression(scores, labels, losses) if scores.ndim == 1 else _classification(scores, labels, losses)


def _sound(scores: Numbers, labels: Numbers) -> bool:
    if scores.ndim == 2 and len(labels) and np.nanmax(labels, initial=-1.0) >= scores.shape[1]:
        raise DataError(f"label {np.nanmax(labels):g} is not an index of one of {scores.shape[1]} classes")
    if scores.ndim not in (1, 2) or (scores.ndim == 2 and scores.shape[1] < 2):
        raise DataError(f"scores must be (n, classes >= 2) or (n,), found {scores.shape}")
    return True


def _regression(values: Numbers, labels: Numbers, losses: Numbers) -> Scorecard:
    empty = empty_scorecard(0)
    error = values - labels
    square = error**2
    sums = np.array([losses.sum(), square.sum(), square.sum(), (square**2).sum()])
    errors = np.array([error.sum(), square.sum(), labels.sum(), (labels**2).sum(), (values * labels).sum()])
    return Scorecard(0, len(labels), sums, empty.confusion, empty.histogram, empty.score_sums, errors)


def _classification(scores: Numbers, labels: Numbers, losses: Numbers) -> Scorecard:
    classes = scores.shape[1]
    empty = empty_scorecard(classes)
    at = labels.astype(np.intp)
    picked = np.clip(scores[np.arange(len(at)), at], LOG_FLOOR, 1.0)
    logs = -np.log(picked)
    sums = np.array([losses.sum(), np.dot(losses, losses), logs.sum(), np.dot(logs, logs)])
    confusion = np.bincount(at * classes + scores.argmax(axis=1), minlength=classes * classes).reshape(classes, classes)
    histogram, score_sums = empty.histogram, empty.score_sums
    for slot, of in enumerate([1] if classes == 2 else range(classes)):
        bins = np.searchsorted(score_edges(), scores[:, of], side="right")
        is_class = (at == of).astype(np.intp)
        histogram[slot] = np.bincount(is_class * SCORE_BINS + bins, minlength=2 * SCORE_BINS).reshape(2, SCORE_BINS)
        score_sums[slot] = np.bincount(bins, weights=scores[:, of], minlength=SCORE_BINS)
    return Scorecard(classes, len(at), sums, confusion.astype(np.int64), histogram, score_sums, empty.errors)
