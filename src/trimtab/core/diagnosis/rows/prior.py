"""Did only the shares of the classes move?

Under a prior shift, rows of a class keep the scores they had, and scores as a whole move as far as the new shares make
expect. Both are asked of the rows since against as many just before, so that a population that wanders slowly does not
count; what neighbouring windows differ by nature is taken off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trimtab.core.diagnosis.rows.case import Codes, Flags
from trimtab.core.diagnosis.rows.finding import confidence
from trimtab.core.diagnosis.rows.outcomes import Outcomes, answers, calibration
from trimtab.core.diagnosis.rows.values import apart
from trimtab.core.diagnosis.rows.when import chance
from trimtab.core.profiles.columns import Numbers

if TYPE_CHECKING:
    from trimtab.core.diagnosis.rows.relations import Relation

NATS_MIN = 5.0
ROWS_MIN = 500
"""Rows just before that are compared with, at least."""
MOVED_MIN = 0.04
"""Change of a class's share that is worth recalibrating for."""


def prior_shift(seen: Relation, classes: tuple[str, ...], *, ordered: bool = True) -> tuple[float, str]:
    """How sure it is that only the shares of the classes moved, and in words.

    Two comparisons, in nats. Rows of a class keep their scores (prior shift), against outcomes given the score are as
    before (a shift of the inputs): the difference of both G statistics, each less its degrees of freedom and divided by
    the dispersion of the windows before. And the mean scores moved as far as the shares make expect, against not at all
    (the labels alone moved): a likelihood ratio of normal means, which only breaks ties where scores tell little.

    Args:
        classes: their names, in the order of the labels.
        ordered: rows are in order of time; otherwise (rows made of sums) all others stand before, and nothing is known
            of nature.
    """
    found, since = seen.found, seen.since
    if found.number:
        return 0.0, ""
    before = _just_before(since) if ordered else seen.before
    labels = found.labels.astype(np.int64)
    now, was = (np.bincount(labels[rows], minlength=len(classes)) / max(rows.sum(), 1) for rows in (since, before))
    cell, cells = answers(found)
    keeps, free = _within(labels, len(classes), cell, cells, since, before)
    differs, ways = _within(cell, cells, labels, len(classes), since, before)
    if not free or not ways or float(np.abs(now - was).max()) < MOVED_MIN:
        return 0.0, ""
    nature = _dispersion(labels, len(classes), cell, cells, before) if ordered else 1.0
    evidence = ((free - keeps) + (differs - ways)) / (2 * nature)
    fits = confidence(nature * chance(free, 10, 0.05), keeps, 1.5)
    along = _along(found, labels, since, before, now - was, ordered=ordered)
    sure = _odds(evidence - NATS_MIN) * _odds(2 * along + 1) * max(fits, 0.05)
    at = int(np.argmax(np.abs(now - was))) if len(classes) > 2 else 1
    name = f"of {classes[at]}" if len(classes) > 2 else "of positives"
    text = f"the share {name} went from {was[at]:.1%} to {now[at]:.1%}, and rows of each class keep their scores"
    return sure, f"{text}; recalibrated, the loss is {recalibration_gain(seen):.1%} lower"


def _just_before(since: Flags) -> Flags:
    """As many rows as the stretch has, just before it."""
    first = int(np.argmax(since))
    at = np.arange(len(since))
    inside: Flags = (at < first) & (at >= first - max(int(since.sum()), ROWS_MIN))
    return inside


def _within(of: Codes, groups: int, codes: Codes, size: int, now: Flags, before: Flags) -> tuple[float, int]:
    """G statistic of ``codes``, now against before, within each group of rows; and its degrees of freedom."""
    gain, freedom = 0.0, 0
    for group in range(groups):
        rows = of == group
        counts = [np.bincount(codes[rows & part], minlength=size).astype(np.float64) for part in (now, before)]
        more, free = apart(counts[0], counts[1])
        gain, freedom = gain + more, freedom + free
    return gain, freedom


def _dispersion(labels: Codes, classes: int, cell: Codes, cells: int, before: Flags) -> float:
    """How many times more than chance both halves of the rows before differ within each class; at least 1."""
    rows = np.flatnonzero(before)
    halves = [np.zeros(len(before), dtype=np.bool_) for _ in range(2)]
    halves[0][rows[: len(rows) // 2]] = True
    halves[1][rows[len(rows) // 2 :]] = True
    gain, free = _within(labels, classes, cell, cells, halves[0], halves[1])
    return max(gain / max(free, 1), 1.0)


def _along(found: Outcomes, labels: Codes, since: Flags, before: Flags, moved: Numbers, *, ordered: bool) -> float:
    """Nats for 'the mean scores moved as the shares of the classes did' against 'they did not move'."""
    total = 0.0
    rows = np.flatnonzero(before)
    for at in range(1 if found.scores.shape[1] == 2 else 0, found.scores.shape[1]):
        score = found.scores[:, at]
        means = np.array(
            [float(score[(labels == of) & before].mean()) if ((labels == of) & before).any() else 0.0
             for of in range(len(moved))]
        )  # fmt: skip
        due = float(means @ moved)
        shift = float(score[since].mean() - score[before].mean())
        error = float(score.var()) * (1 / since.sum() + 1 / before.sum())
        halves = score[rows[: len(rows) // 2]], score[rows[len(rows) // 2 :]]
        wander = float(halves[0].mean() - halves[1].mean()) ** 2 / 2 if ordered else 0.0
        total += (shift**2 - (shift - due) ** 2) / (2 * max(error + wander, 1e-12))
    return total


def _odds(nats: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(nats, -50, 50))))


def recalibration_gain(seen: Relation) -> float:
    """Relative gain of squared error when scores are recalibrated within the stretch."""
    found, since, before = seen.found, seen.since, seen.before
    now, was = calibration(found, since)[since], calibration(found, before)[since]
    y = found.outcome[since]
    old = float(((y - was) ** 2).mean())
    return 1 - float(((y - now) ** 2).mean()) / max(old, 1e-12)


def shifted(expected: Numbers, outcome: Numbers, since: Flags) -> Numbers:
    """(n,) probabilities with their odds times one factor, so that their mean since is that of the outcomes."""
    odds = np.log(np.clip(expected, 1e-4, 1 - 1e-4) / (1 - np.clip(expected, 1e-4, 1 - 1e-4)))
    due, low, high = float(outcome[since].mean()), -8.0, 8.0
    for _ in range(30):
        middle = (low + high) / 2
        mean = float((1 / (1 + np.exp(-(odds[since] + middle)))).mean())
        low, high = (middle, high) if mean < due else (low, middle)
    found: Numbers = 1 / (1 + np.exp(-(odds + low)))
    return found
