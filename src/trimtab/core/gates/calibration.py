"""The calibration gate: do scores of 30 % come true in 30 % of the rows?

Expected calibration error: rows in bins of like scores (equal counts), the mean over the rows of |mean score - share
that came true| of their bin. With its interval by blocks of time (``jackknife_interval``). Where the world moves, every
model is off for a while; so the limit is the setting or the champion's own error on the same rows, whichever is larger.

Source: Naeini, Cooper, Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trimtab.core.domain.gate import GateResult
from trimtab.core.domain.verdict import Verdict
from trimtab.core.gates.guard import SIGN, guard
from trimtab.core.gates.intervals import jackknife_interval
from trimtab.core.gates.metrics import Answers, Measure, Rows

GATE = "calibration"
BINS_MAX = 10
ROWS_PER_BIN = 100
ROOM = 0.02
"""How much worse than the champion is nobody's concern."""


def calibration_error(answers: Answers) -> Measure:
    """The error as a function of the rows looked at: of the positive of two classes, else of the predicted class.

    >>> scores = np.column_stack([np.full(400, 0.5), np.full(400, 0.5)])
    >>> truth = np.tile([0.0, 1.0], 200)
    >>> calibration_error(Answers(truth, truth, scores))(np.ones(400, bool))
    0.0
    """
    score, hit = _scores(answers)
    bins = int(np.clip(len(score) // ROWS_PER_BIN, 1, BINS_MAX))
    edges = np.unique(np.quantile(score, np.linspace(0, 1, bins + 1)[1:-1]))
    place = np.searchsorted(edges, score, side="right")
    gap = score - hit

    def value(rows: Rows) -> float:
        return float(np.abs(np.bincount(place[rows], weights=gap[rows])).sum()) / max(1, int(rows.sum()))

    return value


def _scores(answers: Answers) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if answers.scores is None:
        raise ValueError("calibration needs scores and the model gives none")
    if answers.scores.shape[1] == 2:
        return answers.scores[:, answers.positive], (answers.truth == answers.positive).astype(np.float64)
    top = answers.scores.argmax(axis=1)
    return answers.scores[np.arange(len(top)), top], (answers.truth == top).astype(np.float64)


def calibration_gate(
    ours: Answers, champion: Answers | None, *, limit: float, name: str = "champion", level: float = 0.95
) -> GateResult:
    """Compare the candidate's error with the limit.

    Args:
        ours: the candidate's answers, rows in time order.
        champion: on the same rows; None for the first version, or where it gives no scores.
        limit: largest error, in units of probability.
        name: of the champion, for the words.
    """
    rows = np.ones(len(ours.truth), bool)
    if len(rows) < ROWS_PER_BIN:
        text = f"{len(rows):,} rows < {ROWS_PER_BIN} that are needed"
        return GateResult(GATE, Verdict.INCONCLUSIVE, text, None, limit, "probability")
    own = calibration_error(ours)
    allowed, whose = limit, ""
    if champion is not None and champion.scores is not None:
        theirs = calibration_error(champion)(rows) + ROOM
        if theirs > limit:
            allowed, whose = theirs, f" ({name}'s and {ROOM:g})"
    interval = jackknife_interval(own, len(rows), level)
    verdict = guard(interval, allowed)
    score, hit = _scores(ours)
    text = (
        f"calibration error {interval.estimate:.3f} {SIGN[verdict]} {allowed:.3f}{whose} ({len(rows):,} rows; mean "
        f"score {score.mean():.3f}, came true {hit.mean():.3f}; {100 * level:g} % interval "
        f"{max(0.0, interval.low):.3f} to {interval.high:.3f})"
    )
    return GateResult(GATE, verdict, text, interval.estimate, allowed, "probability")
