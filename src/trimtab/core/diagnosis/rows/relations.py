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
from trimtab.core.diagnosis.rows.prior import prior_shift, recalibration_gain
from trimtab.core.diagnosis.rows.shift import calendar
from trimtab.core.diagnosis.rows.slopes import follows, uneven
from trimtab.core.diagnosis.rows.steps import Step, steps
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
JUST_MIN = 300
ASKED_MAX = 3
"""Columns in which outcomes are asked whether they follow the scores unevenly."""
GAIN_MIN = 0.04
"""Share of the outcomes' variance in a step that is worth a new model."""
STEP_NEAR = 0.8
"""Ratio of a step from which the rows just before are what the loss is compared with."""
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
    step: Step | None = None
    """The strongest step of outcomes in a part of the inputs, beyond what such parts do by nature."""
    uneven: float = 0.0
    """How sure it is that outcomes follow the scores in one part of the inputs and not in another."""
    nowhere: bool = False
    """In no part of the columns that were asked outcomes follow the scores as before."""
    near_excess: float = 0.0
    """Loss since, relative to what the rows just before make expect."""

    @property
    def harm(self) -> bool:
        return self.change.real and self.excess > HARM_MIN and self.excess > 3 * self.error


def relation_of(case: Case) -> Relation | None:
    """None without enough labels."""
    found = outcomes(case)
    if not found.enough:
        return None
    step = next((each for each in steps(case, found) if not calendar(case.cells[each.name])), None)
    change, given_scores = relation(found), True
    if not change.real and case.classes:
        plain = marginal(found)
        if plain.real:
            change, given_scores = plain, False
    since = found.since(change)
    if change.real:
        return _measured(case, found, change, given_scores, False, since, ~since, step)
    stepped = step is not None and step.ratio > 1
    near = relation(found, adjacent=True)
    if change.gain >= chance(16, 1000, 1e-4) and near.first >= ADJACENT_MIN * len(found.rows):
        inside = found.since(near)
        before = ~inside & (np.arange(len(inside)) >= found.known)
        signed = _measured(case, found, near, True, True, inside, before, step)
        if not stepped or (signed is not None and _loses(signed) > 0.5):
            return signed
    if step is None or not stepped:
        return _measured(case, found, change, given_scores, False, since, ~since, step)
    change = Change(step.first, len(found.rows), step.statistic, step.limit)
    since = found.since(change)
    return _measured(case, found, change, True, False, since, _just_before(found, change), step)


def _just_before(found: Outcomes, change: Change) -> Flags:
    """(e + k,) as many rows as the stretch has, at least ``JUST_MIN``: a stream that wanders is compared with where it
    came from."""
    first = found.known + change.first
    at = np.arange(len(found.score))
    inside: Flags = (at < first) & (at >= first - max(change.end - change.first, JUST_MIN))
    return inside


def _measured(
    case: Case,
    found: Outcomes,
    change: Change,
    given_scores: bool,
    wobbly: bool,
    since: Flags,
    before: Flags,
    step: Step | None,
) -> Relation | None:
    if since.sum() < 30 or before.sum() < 30:
        return None
    expected = expected_loss(found, before)
    usual = max(float(expected[since].mean()), 1e-12)
    over = (found.loss - expected)[since]
    structure = structures(case, found, since, before)
    asked = [each.name for each in structure if not calendar(case.cells[each.name])][:ASKED_MAX]
    names = list(dict.fromkeys([*([step.name] if step else []), *asked]))
    return Relation(
        found,
        change,
        given_scores,
        wobbly,
        since,
        before,
        structure,
        float(over.mean()) / usual,
        float(over.std()) / np.sqrt(len(over)) / usual,
        slope_of(found, since, before),
        _wobble(found, before),
        step,
        max((uneven(case, found, since, before, name) for name in names), default=0.0),
        not any(follows(case, found, since, before, name) for name in names),
        _excess(found, since, _just_before(found, change)),
    )


def _excess(found: Outcomes, since: Flags, before: Flags) -> float:
    expected = expected_loss(found, before)
    usual = max(float(expected[since].mean()), 1e-12)
    return float((found.loss - expected)[since].mean()) / usual


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
    prior, how = prior_shift(seen, case.classes)
    moved = _finding(case, seen, Kind.PRIOR_SHIFT, "PriorShift", sure * prior, how, recalibration_gain(seen), HARM_MIN)
    if not seen.given_scores:
        return [moved] if prior > 0 else []
    turned = turned_round(seen)
    if turned > 0:
        text = "turned round, the labels are as before"
        return [_finding(case, seen, Kind.LABEL_FAULT, "LabelsTurned", sure, text, turned, TURNED_MAX)]
    best = seen.structure[0]
    structured = confidence(best.ratio, 1.0) * confidence(best.explained, EXPLAINED_MIN)
    structured = max(structured, seen.uneven * (1 - prior))
    prior *= 1 - structured
    moved = _finding(case, seen, Kind.PRIOR_SHIFT, "PriorShift", sure * prior, how, recalibration_gain(seen), HARM_MIN)
    lost = channel(seen)
    alike = (1 - structured) * (1 - unlike(seen)) * (1 - prior)
    less = confidence(SLOPE_MIN, max(seen.slope, 1e-3), 1.5) * confidence((1 - seen.slope) / seen.wobble, ERRORS_MIN)
    if less > 0.5 and seen.nowhere:
        structured, alike = 0.0, 1 - prior
    broken = _unrelated(case, seen, sure * max(less, lost) * alike, lost if less < 0.5 else 0.0)
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
    lost = _loses(seen)
    worse = confidence(max(seen.excess, 1e-9), 5 * HARM_MIN)
    return [_unrelated(case, seen, 0.95 * lost * worse, 0.0), _concept(case, seen, 0.95 * structured * worse)]


def _loses(seen: Relation) -> float:
    """How sure it is that labels of a stream that never stands still lost their relation to the scores."""
    best = seen.structure[0]
    structured = confidence(best.ratio, 2.0) * confidence(best.explained, 10 * EXPLAINED_MIN)
    structured = max(structured, seen.uneven)
    return confidence(WOBBLY_SLOPE, max(abs(seen.slope), 1e-3), 1.5) * (1 - structured)


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
    stepped = seen.step is not None and seen.step.ratio > STEP_NEAR
    excess = max(seen.excess, seen.near_excess) if stepped else seen.excess
    text = f"loss {excess:+.0%} against what the scores made expect{where}; the relation changed"
    harm = confidence(max(excess, 1e-9), HARM_MIN) if excess > 2 * seen.error else 0.2
    if seen.step is not None:  # what a new model could win back, whatever the level of the loss does by nature
        harm = max(harm, confidence(seen.step.ratio, 1.0, 1.5) * confidence(seen.step.explained, GAIN_MIN))
    return Finding(
        kind, "RelationChanged", names, _row(seen, first), _ends(case, seen), sure * harm, text, excess, HARM_MIN
    )


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
