"""What came true against what the model answered, as one pair of numbers for each labelled row.

Two classes: the score of the second and 0 or 1. More classes: the largest score and whether it was right. A number: the
value and the label. Rows are cut into joint cells (score by outcome), so that 'what came true given the score' can be
searched for a change.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.core.diagnosis.rows.case import Case, Codes, Flags
from trimtab.core.diagnosis.rows.when import SEGMENTS, Change, scan
from trimtab.core.profiles.columns import Numbers
from trimtab.core.profiles.scorecard import row_losses

SCORES = 8
"""Cells of the score in the search; outcomes of a number have as many."""
FINE = 20
"""Cells of the score in calibration."""
RARE = 5e-4
"""Probability that outcomes seem to change by chance."""
ROWS_MIN = 100
"""Labelled rows, before and since, without which nothing is said of outcomes."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """Labelled rows: of the reference those that the model did not learn from, then those of current."""

    number: bool
    """Regression."""
    rows: NDArray[np.intp]
    """(k,) rows of current whose label is known and of an age where most are known."""
    score: Numbers
    """(e + k,) reference rows first."""
    outcome: Numbers
    """(e + k,)"""
    loss: Numbers
    """(e + k,)"""
    known: int
    """e."""
    known_rows: NDArray[np.intp]
    """(e,) their rows of the reference."""
    scores: Numbers
    """(e + k, K) or (e + k,) as the model gave them."""
    labels: Numbers
    """(e + k,) index of the class, or the value."""

    @property
    def enough(self) -> bool:
        return self.known >= ROWS_MIN and len(self.rows) >= ROWS_MIN

    def since(self, change: Change) -> Flags:
        """(e + k,) labelled rows of the stretch."""
        inside = (np.arange(len(self.rows)) >= change.first) & (np.arange(len(self.rows)) < change.end)
        return np.concatenate([np.zeros(self.known, dtype=np.bool_), inside])


def outcomes(case: Case) -> Outcomes:
    """Join scores and labels."""
    eval_labels = case.reference_labels[len(case.reference_labels) - len(case.reference_scores) :]
    usable = np.isfinite(eval_labels) & _sound(case.reference_scores)
    rows = np.flatnonzero(mature(case.labels) & np.isfinite(case.labels) & _sound(case.scores))
    scores = np.concatenate([case.reference_scores[usable], case.scores[rows]])
    labels = np.concatenate([eval_labels[usable], case.labels[rows]])
    losses = row_losses(scores, labels)
    if not case.classes:
        score, outcome = scores, labels
    elif len(case.classes) == 2:
        score, outcome = scores[:, 1], labels
    else:
        score, outcome = scores.max(axis=1), (scores.argmax(axis=1) == labels).astype(np.float64)
    own = np.flatnonzero(usable) + len(case.reference_labels) - len(case.reference_scores)
    return Outcomes(not case.classes, rows, score, outcome, losses, len(own), own, scores, labels)


def _sound(scores: Numbers) -> Flags:
    return np.asarray(np.isfinite(scores.reshape(len(scores), -1)).all(axis=1), dtype=np.bool_)


def mature(labels: Numbers) -> Flags:
    """(m,) rows in segments where nearly as many labels are known as usual: early labels are biased."""
    known: Flags = np.isfinite(labels)
    steps = min(SEGMENTS, max(len(labels), 1))
    step = np.minimum(np.arange(len(labels)) * steps // max(len(labels), 1), steps - 1)
    share: Numbers = np.bincount(step, weights=known, minlength=steps) / np.maximum(
        np.bincount(step, minlength=steps), 1
    )
    usual = float(np.quantile(share, 0.75))
    return share[step] >= 0.8 * usual


def relation(found: Outcomes, adjacent: bool = False) -> Change:
    """The stretch (in labelled rows of current) where outcomes given the score differ most from all others.

    Args:
        adjacent: the others are only the rows of current, and only chance limits: for streams whose outcomes never
            stand still, where a change must show a signature of its own.
    """
    known = slice(0, found.known)
    edges = np.unique(np.quantile(found.score[known], np.linspace(0, 1, SCORES + 1)[1:-1]))
    by_score = np.searchsorted(edges, found.score, side="right").astype(np.int64)
    scores = len(edges) + 1
    if found.number:
        error = found.outcome - found.score
        cuts = np.unique(np.quantile(error[known], np.linspace(0, 1, SCORES + 1)[1:-1]))
        low, high = float(error[known].min()), float(error[known].max())
        by_outcome = np.searchsorted(cuts, error, side="right")
        by_outcome = np.where(error > high, len(cuts) + 2, np.where(error < low, len(cuts) + 1, by_outcome))
        size = len(cuts) + 3
    else:
        by_outcome, size = found.outcome.astype(np.int64), 2
    if adjacent:
        return _given(by_score[found.known :], by_outcome[found.known :], scores, size, 1)
    fine = _given(by_score, by_outcome, scores, size, found.known)
    if found.number:
        return fine
    return max(
        fine, _given(by_score // ((scores + 1) // 2), by_outcome, 2, size, found.known), key=lambda each: each.ratio
    )


def answers(found: Outcomes) -> tuple[Codes, int]:
    """(e + k,) cells of what the model answered, and their number: tenths of the score of the second of two classes;
    otherwise the likeliest class, and whether it was likelier than usual."""
    known = slice(0, found.known)
    if found.scores.shape[1] == 2:
        edges = np.unique(np.quantile(found.score[known], np.linspace(0, 1, 11)[1:-1]))
        return np.searchsorted(edges, found.score, side="right").astype(np.int64), len(edges) + 1
    sure = found.score > float(np.median(found.score[known]))
    return 2 * found.scores.argmax(axis=1).astype(np.int64) + sure, 2 * found.scores.shape[1]


def _given(score: Codes, outcome: Codes, scores: int, size: int, known: int) -> Change:
    joint = score * size + outcome
    start = 0 if known == 1 else known
    parts = (joint[:known], joint[start:], scores * size, (score[:known], score[start:], scores))
    return scan(*parts, base=known, p=RARE)


def marginal(found: Outcomes) -> Change:
    """The stretch where classes alone differ most."""
    codes = found.labels.astype(np.int64)
    return scan(codes[: found.known], codes[found.known :], int(codes.max(initial=0)) + 1, base=found.known)


def calibration(found: Outcomes, rows: Flags) -> Numbers:
    """(e + k,) expected outcome given the score, learned from the chosen rows: means in cells of the score.

    For a number: the score plus the mean error of its cell.
    """
    edges = np.unique(np.quantile(found.score, np.linspace(0, 1, FINE + 1)[1:-1]))
    cell = np.searchsorted(edges, found.score, side="right")
    size = len(edges) + 1
    target = found.outcome - found.score if found.number else found.outcome
    overall = float(target[rows].mean()) if rows.any() else 0.0
    count = np.bincount(cell[rows], minlength=size)
    mean = (np.bincount(cell[rows], weights=target[rows], minlength=size) + 2 * overall) / (count + 2)
    return mean[cell] + (found.score if found.number else 0.0)


def expected_loss(found: Outcomes, rows: Flags) -> Numbers:
    """(e + k,) mean loss of the chosen rows in each row's cell of the score."""
    edges = np.unique(np.quantile(found.score, np.linspace(0, 1, FINE + 1)[1:-1]))
    cell = np.searchsorted(edges, found.score, side="right")
    size = len(edges) + 1
    overall = float(found.loss[rows].mean())
    count = np.bincount(cell[rows], minlength=size)
    mean = (np.bincount(cell[rows], weights=found.loss[rows], minlength=size) + 2 * overall) / (count + 2)
    found_mean: Numbers = mean[cell]
    return found_mean
