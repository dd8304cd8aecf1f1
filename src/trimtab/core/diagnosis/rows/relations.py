"""Outcomes changed, given what the model answered: a changed world, a changed share of classes, or broken labels?

- The change depends on the inputs (see ``structure``): the relation changed in a part of the world. Concept drift.
- It does not, rows of each class still have the scores they had, and only the shares of the classes moved: prior shift.
- It does not, and what comes back hardly follows the scores any more (shuffled, turned round), or a part of one class
  comes back as the other: the labels are broken, not the world.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trimtab.core.diagnosis.rows.case import Case, Flags
from trimtab.core.diagnosis.rows.course import course
from trimtab.core.diagnosis.rows.finding import Finding, confidence
from trimtab.core.diagnosis.rows.outcomes import Outcomes, calibration, expected_loss, marginal, outcomes, relation
from trimtab.core.diagnosis.rows.structure import Structure, structures
from trimtab.core.diagnosis.rows.when import Change, chance
from trimtab.core.domain.diagnosis import Kind
from trimtab.core.profiles.columns import Numbers

EXPLAINED_MIN = 0.01
"""Share of the residual variance between a column's cells under which a structure is none that matters."""
HARM_MIN = 0.03
"""Relative rise of the loss, against what the scores made expect, that is worth acting on."""
SLOPE_MIN = 0.6
"""Outcomes that follow the scores by less than this, without structure, are no outcomes of these rows."""


TURNED_MAX = 1.3
"""Loss of labels turned back, relative to what was to be expected, up to which they count as turned round."""
NATS_MIN = 5.0
ADJACENT_MIN = 0.1
"""Share of the labelled rows that must lie before a change which is told by the rows just before it."""
WOBBLY_SLOPE = 0.25
RUNS = 6
WOBBLE_MIN = 0.03
ERRORS_MIN = 3.0
"""Times its own wobble by which a slope must lie below 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Relation:
    """What there is to see of outcomes."""

    found: Outcomes
    change: Change
    given_scores: bool
    """The change is one of outcomes given the scores; otherwise only of how often which outcome comes."""
    wobbly: bool
    """Outcomes of this stream never stand still: the change is no more than usual by size, and only a signature of its
    own, against the rows just before, makes it one."""
    since: Flags
    before: Flags
    """What it is compared with."""
    structure: list[Structure]
    excess: float
    """Loss since, relative to what the scores made expect: 0.1 is 10 % more."""
    error: float
    """Standard error of ``excess``."""
    slope: float
    """Of outcomes on calibrated scores within the stretch: 1 as before, 0 unrelated, -1 turned round."""
    wobble: float
    """Standard deviation of that slope among runs of the rows before: some streams follow the scores less at times."""

    @property
    def harm(self) -> bool:
        return self.change.real and self.excess > HARM_MIN and self.excess > 3 * self.error


def relation_of(case: Case) -> Relation | None:
    """None without enough labels."""
    found = outcomes(case)
    if not found.enough:
        return None
    change, given_scores = relation(found), True
    if not change.real and not found.number:
        plain = marginal(found)
        if plain.real:
            change, given_scores = plain, False
    since = found.since(change)
    if change.real or change.gain < chance(16, 1000, 1e-4):
        return _measured(case, found, change, given_scores, False, since, ~since)
    near = relation(found, adjacent=True)
    since = found.since(near)
    before = ~since & (np.arange(len(since)) >= found.known)
    if near.first < ADJACENT_MIN * len(found.rows):
        since = found.since(change)
        return _measured(case, found, change, given_scores, False, since, ~since)
    return _measured(case, found, near, True, True, since, before)


def _measured(
    case: Case, found: Outcomes, change: Change, given_scores: bool, wobbly: bool, since: Flags, before: Flags
) -> Relation | None:
    if since.sum() < 30 or before.sum() < 30:
        return None
    expected = expected_loss(found, before)
    usual = max(float(expected[since].mean()), 1e-12)
    over = (found.loss - expected)[since]
    return Relation(
        found,
        change,
        given_scores,
        wobbly,
        since,
        before,
        structures(case, found, since, before),
        float(over.mean()) / usual,
        float(over.std()) / np.sqrt(len(over)) / usual,
        slope_of(found, since, before),
        _wobble(found, before),
    )


def slope_of(found: Outcomes, since: Flags, before: Flags) -> float:
    x = calibration(found, before)[since]
    y = found.outcome[since]
    spread = float(x.var())
    return float(np.cov(x, y)[0, 1] / spread) if spread > 1e-9 else 1.0


def _wobble(found: Outcomes, before: Flags) -> float:
    rows = np.flatnonzero(before)
    slopes = []
    for run in np.array_split(rows, RUNS):
        inside = np.zeros(len(before), dtype=np.bool_)
        inside[run] = True
        slopes.append(slope_of(found, inside, before))
    return max(float(np.std(slopes, ddof=1)), WOBBLE_MIN)


def relations(case: Case, seen: Relation | None) -> list[Finding]:
    """Findings that need labels, each with its own confidence."""
    if seen is None or not seen.change.real:
        return []
    if seen.wobbly:
        return _signed(case, seen)
    sure = confidence(seen.change.ratio, 1.0, 1.5)
    prior, how = prior_shift(seen)
    moved = _finding(case, seen, Kind.PRIOR_SHIFT, "PriorShift", sure * prior, how, recalibration_gain(seen), HARM_MIN)
    if not seen.given_scores:
        return [moved] if prior > 0 else []
    turned = turned_round(seen)
    if turned > 0:
        text = "turned round, the labels are as before"
        return [_finding(case, seen, Kind.LABEL_FAULT, "LabelsTurned", sure, text, turned, TURNED_MAX)]
    best = seen.structure[0]
    structured = confidence(best.ratio, 1.0) * confidence(best.explained, EXPLAINED_MIN)
    prior *= 1 - structured
    moved = _finding(case, seen, Kind.PRIOR_SHIFT, "PriorShift", sure * prior, how, recalibration_gain(seen), HARM_MIN)
    lost = channel(seen)
    alike = (1 - structured) * (1 - unlike(seen)) * (1 - prior)
    follows = confidence(SLOPE_MIN, max(seen.slope, 1e-3), 1.5) * confidence((1 - seen.slope) / seen.wobble, ERRORS_MIN)
    broken = _unrelated(case, seen, sure * max(follows, lost) * alike, lost if follows < 0.5 else 0.0)
    return [moved, broken, _concept(case, seen, sure * (0.2 + 0.8 * max(structured, unlike(seen) * (1 - prior))))]


def _signed(case: Case, seen: Relation) -> list[Finding]:
    """Where outcomes never stand still: labels that lost or turned their relation to the scores from one row to the
    next, or a change that one column explains to a large part."""
    best = seen.structure[0]
    text = "turned round, the labels are as before"
    turned = turned_round(seen)
    if turned > 0:
        return [_finding(case, seen, Kind.LABEL_FAULT, "LabelsTurned", 0.9, text, turned, TURNED_MAX)]
    structured = confidence(best.ratio, 2.0) * confidence(best.explained, 10 * EXPLAINED_MIN)
    lost = confidence(WOBBLY_SLOPE, max(abs(seen.slope), 1e-3), 1.5) * (1 - structured)
    worse = confidence(max(seen.excess, 1e-9), 5 * HARM_MIN)
    return [_unrelated(case, seen, 0.95 * lost * worse, 0.0), _concept(case, seen, 0.95 * structured * worse)]


def _finding(
    case: Case, seen: Relation, kind: Kind, code: str, sure: float, text: str, value: float, limit: float
) -> Finding:
    first, end = _row(seen, seen.change.first), _ends(case, seen)
    return Finding(kind, code, (), first, end, sure, text, value, limit)


def _row(seen: Relation, at: int) -> int:
    return int(seen.found.rows[min(at, len(seen.found.rows) - 1)])


def _ends(case: Case, seen: Relation) -> int:
    return case.rows if seen.change.end >= len(seen.found.rows) else _row(seen, seen.change.end)


def _concept(case: Case, seen: Relation, sure: float) -> Finding:
    """The relation of inputs and outcomes changed."""
    best = seen.structure[0]
    expected = expected_loss(seen.found, seen.before)
    strong = best.ratio > 1 and best.explained > EXPLAINED_MIN
    path = best.path if strong else seen.found.loss - expected
    how = course(path[seen.found.known :])
    first = how.first if how.gradual else (how.first if strong else seen.change.first)
    kind = Kind.GRADUAL_DRIFT if how.gradual else Kind.SUDDEN_DRIFT
    names = tuple(each.name for each in seen.structure[:3] if each.ratio > 0.5 * best.ratio) if strong else ()
    where = f", most along {best.name}" if strong else ""
    text = f"loss {seen.excess:+.0%} against what the scores made expect{where}; the relation changed"
    harm = confidence(max(seen.excess, 1e-9), HARM_MIN) if seen.excess > 2 * seen.error else 0.2
    return Finding(
        kind, "RelationChanged", names, _row(seen, first), _ends(case, seen), sure * harm, text, seen.excess, HARM_MIN
    )


def prior_shift(seen: Relation) -> tuple[float, str]:
    """How sure it is that only the shares of the classes moved, and in words.

    Two comparisons, in nats. Rows of a class keep their scores (prior shift), against outcomes given the score are as
    before (a shift of the inputs): the difference of both G statistics, each less its degrees of freedom. And the mean
    score moved as far as the shares make expect, against not at all (the labels alone moved): a likelihood ratio of
    two normal means.
    """
    found, since, before = seen.found, seen.since, seen.before
    if found.number:
        return 0.0, ""
    edges = np.unique(np.quantile(found.score, np.linspace(0, 1, 11)[1:-1]))
    cell = np.searchsorted(edges, found.score, side="right")
    size = len(edges) + 1
    by_class = [
        _g(cell[rows & since], cell[rows & before], size) for of in (0.0, 1.0) for rows in [found.outcome == of]
    ]
    outcome = found.outcome.astype(np.int64)
    by_score = [_g(outcome[rows & since], outcome[rows & before], 2) for of in range(size) for rows in [cell == of]]
    keeps = sum(free - gain for gain, free in by_class) / 2
    differs = sum(gain - free for gain, free in by_score) / 2
    now, was = float(outcome[since].mean()), float(outcome[before].mean())
    means = [float(found.score[(outcome == of) & before].mean()) for of in (0, 1)]
    due = (means[1] - means[0]) * (now - was)
    shift = float(found.score[since].mean() - found.score[before].mean())
    error = float(found.score.std()) * np.sqrt(1 / since.sum() + 1 / before.sum())
    along = (shift**2 - (shift - due) ** 2) / (2 * max(error, 1e-9) ** 2)
    if min(by_class, key=lambda each: each[1])[1] < 1 or not np.isfinite(along):
        return 0.0, ""
    fits = confidence(chance(sum(free for _, free in by_class), 10, 0.05), sum(gain for gain, _ in by_class), 1.5)
    sure = _odds(keeps + differs - NATS_MIN) * _odds(along - NATS_MIN / 2) * max(fits, 0.05)
    text = f"the share of positives went from {was:.1%} to {now:.1%}, and rows of each class keep their scores"
    return sure, f"{text}; recalibrated, the loss is {recalibration_gain(seen):.1%} lower"


def _odds(nats: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(nats, -50, 50))))


def _g(now: np.ndarray, before: np.ndarray, size: int) -> tuple[float, int]:
    """G statistic of two samples over cells, and its degrees of freedom."""
    a = np.bincount(now, minlength=size).astype(np.float64)
    b = np.bincount(before, minlength=size).astype(np.float64)
    both = a + b
    used = both > 0
    if not a.sum() or not b.sum():
        return 0.0, 0

    def part(counts: Numbers) -> float:
        share = counts[used] / counts.sum()
        of = both[used] / both.sum()
        return float(2 * (counts[used] * np.log(np.maximum(share, 1e-300) / of))[counts[used] > 0].sum())

    return part(a) + part(b), int(used.sum()) - 1


def recalibration_gain(seen: Relation) -> float:
    """Relative gain of squared error when scores are recalibrated within the stretch."""
    found, since, before = seen.found, seen.since, seen.before
    now, was = calibration(found, since)[since], calibration(found, before)[since]
    y = found.outcome[since]
    old = float(((y - was) ** 2).mean())
    return 1 - float(((y - now) ** 2).mean()) / max(old, 1e-12)


def turned_round(seen: Relation) -> float:
    """Loss with every label of the stretch turned round, relative to what was to be expected; 0 unless that mends
    it."""
    found, since, before = seen.found, seen.since, seen.before
    if found.number or seen.slope > 0:
        return 0.0
    p, y = calibration(found, before)[since], 1 - found.outcome[since]
    mended, due = float(((y - p) ** 2).mean()), float((p * (1 - p)).mean())
    ratio = mended / max(due, 1e-12)
    as_it_came = float(((found.outcome[since] - p) ** 2).mean())
    mends = ratio < TURNED_MAX or mended - due < 0.05 * (as_it_came - due)
    return ratio if mends else 0.0


def unlike(seen: Relation) -> float:
    """How sure it is that the change is not alike at every score: labels that are broken by themselves follow the old
    calibration along a straight line (a channel that turns a fixed share of each class into the other)."""
    found, since, before = seen.found, seen.since, seen.before
    x, y = calibration(found, before)[since], found.outcome[since]
    edges = np.unique(np.quantile(x, np.linspace(0, 1, 21)[1:-1]))
    cell = np.searchsorted(edges, x, side="right")
    slope, offset = np.polyfit(x, y, 1) if np.ptp(x) > 0 else (0.0, float(y.mean()))
    left = y - offset - slope * x
    count = np.bincount(cell).astype(np.float64)
    mean = np.bincount(cell, weights=left) / np.maximum(count, 1)
    spread = max(float(left.var()), 1e-12)
    statistic = float((count * mean**2).sum() / spread)
    explained = (statistic - len(count)) / max(len(y), 1)
    limit = chance(max(len(count) - 2, 1), 1, 1e-4)
    return confidence(statistic, limit) * confidence(max(explained, 1e-9), EXPLAINED_MIN)


def channel(seen: Relation) -> float:
    """How sure it is that one class partly comes back as the other: a part of its rows at *every* score, whereas a
    shift of the odds leaves what was certain."""
    found, since, before = seen.found, seen.since, seen.before
    if found.number:
        return 0.0
    p = np.clip(calibration(found, before)[since], 1e-4, 1 - 1e-4)
    y = found.outcome[since]
    best = -np.inf
    for lost in np.linspace(0.02, 0.98, 49):
        best = max(best, _nats(y, p * (1 - lost)), _nats(y, p + (1 - p) * lost))
    odds = np.log(p / (1 - p))
    shifted = max(_nats(y, 1 / (1 + np.exp(-(odds + d)))) for d in np.linspace(-4, 4, 81))
    return confidence(max(best - shifted, 1e-3), NATS_MIN, 1.5)


def _nats(y: Numbers, p: Numbers) -> float:
    q = np.clip(p, 1e-4, 1 - 1e-4)
    return float((y * np.log(q) + (1 - y) * np.log(1 - q)).sum())


def _unrelated(case: Case, seen: Relation, sure: float, lost: float) -> Finding:
    if seen.slope >= SLOPE_MIN and lost > 0.5:
        code, text = "LabelsLost", "a part of one class comes back as the other, at every score alike"
    else:
        code = "LabelsUnrelated"
        text = f"labels follow the scores by {seen.slope:.2f} (1 before), everywhere alike"
    first, end = _row(seen, seen.change.first), _ends(case, seen)
    return Finding(Kind.LABEL_FAULT, code, (), first, end, sure, text, seen.slope, SLOPE_MIN)
