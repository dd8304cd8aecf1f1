"""Labels that are broken by themselves: constant, a class lost, in another unit, missing in between."""

from __future__ import annotations

import itertools

import numpy as np

from trimtab.core.diagnosis.rows.case import Case
from trimtab.core.diagnosis.rows.finding import Finding, confidence
from trimtab.core.diagnosis.rows.units import best_change, distance, known, variation
from trimtab.core.diagnosis.rows.values import longest_run
from trimtab.core.diagnosis.rows.when import SEGMENTS, scan
from trimtab.core.domain.diagnosis import Kind

STRANGE_MIN = 0.02
EXPECTED_MIN = 20.0
"""Labels of a class that must have been due before its absence counts."""


def broken_labels(case: Case) -> list[Finding]:
    """Everything that the labels alone show."""
    found = _strange(case) or [*_constant(case), *_lost(case), *_holes(case)]
    return found if found or case.classes else _unit(case)


def _strange(case: Case) -> list[Finding]:
    """Labels that are none of the classes: re-coded, or another column."""
    if not case.strange.any():
        return []
    change = scan(np.zeros(1000, dtype=np.int64), case.strange.astype(np.int64), 2)
    share = float(case.strange[change.first : change.end].mean())
    if not change.real or share < STRANGE_MIN:
        return []
    text = f"{share:.0%} of the labels are none of the reference's classes"
    first, end = change.first, change.end
    return [Finding(Kind.LABEL_FAULT, "UnknownLabels", (), first, end, 0.97, text, share, STRANGE_MIN)]


def _constant(case: Case) -> list[Finding]:
    rows = np.flatnonzero(np.isfinite(case.labels))
    labels = case.labels[rows]
    before = case.reference_labels[np.isfinite(case.reference_labels)]
    values = np.unique(np.concatenate([before, labels]))
    first, length = longest_run(np.searchsorted(values, labels).astype(np.int64))
    usual = longest_run(np.searchsorted(values, before).astype(np.int64))[1]
    if length < max(30, 0.02 * len(labels)):
        return []
    share = float((before == labels[first]).mean()) if len(before) else 0.0
    chance = -np.log(min(share + 1 / max(len(before), 1), 1 - 1e-9))
    limit = max(3.0 * usual, (25 + np.log(max(len(labels), 1))) / chance)
    if length <= limit:
        return []
    end = case.rows if first + length >= len(rows) else int(rows[first + length])
    text = f"the same label in {length:,} rows on end, at most {usual:,} before"
    sure = confidence(length, limit, 1.5)
    return [Finding(Kind.LABEL_FAULT, "ConstantLabels", (), int(rows[first]), end, sure, text, float(length), limit)]


def _lost(case: Case) -> list[Finding]:
    """A class of more than two never comes any more, though the model still expects it."""
    if len(case.classes) < 3:
        return []
    rows = np.flatnonzero(np.isfinite(case.labels))
    out = []
    for at, name in enumerate(case.classes):
        seen = np.flatnonzero(case.labels[rows] == at)
        first = int(seen[-1]) + 1 if seen.size else 0
        due = float(case.scores[rows[first:], at].sum())
        if first < len(rows) and due >= EXPECTED_MIN:
            text = f"the class {name} has not come for {len(rows) - first:,} labels, where {due:.0f} were expected"
            sure = confidence(due, EXPECTED_MIN)
            out.append(
                Finding(Kind.LABEL_FAULT, "ClassLost", (), int(rows[first]), case.rows, sure, text, due, EXPECTED_MIN)
            )
    return out


def _holes(case: Case) -> list[Finding]:
    """A stretch without labels, though later rows have theirs."""
    known_now = np.isfinite(case.labels)
    edges = np.unique(np.linspace(0, case.rows, SEGMENTS + 1).astype(np.int64))
    share = np.array([known_now[a:b].mean() for a, b in itertools.pairwise(edges)])
    usual = float(np.quantile(share, 0.75)) if share.size else 0.0
    low = np.flatnonzero(share < 0.2 * usual)
    later = [at for at in low if (share[at + 1 :] > 0.8 * usual).any()]
    if usual < 0.2 or len(later) < 2:
        return []
    first, end = int(edges[later[0]]), int(edges[later[-1] + 1])
    missing = 1 - float(known_now[first:end].mean())
    text = f"{missing:.0%} of the labels are missing, though newer rows have theirs"
    return [Finding(Kind.LABEL_FAULT, "MissingLabels", (), first, end, 0.9, text, missing, 0.8)]


def _unit(case: Case) -> list[Finding]:
    """A number of the target in another unit, while the inputs and predictions stay where they were."""
    rows = np.flatnonzero(np.isfinite(case.labels))
    labels = case.labels[rows]
    before = known(case.reference_labels)
    if len(before) < 100 or len(labels) < 100:
        return []
    cuts = np.unique(np.quantile(before, np.linspace(0, 1, 13)[1:-1]))
    low, high = float(before[0]), float(before[-1])

    def cells(values: np.ndarray) -> np.ndarray:
        codes = np.searchsorted(cuts, values, side="right")
        size = len(cuts) + 1
        return np.where(values > high, size + 1, np.where(values < low, size, codes)).astype(np.int64)

    reference = case.reference_labels[np.isfinite(case.reference_labels)]
    change = scan(cells(reference), cells(labels), len(cuts) + 3)
    if not change.real:
        return []
    now = known(labels[change.first : change.end])
    scores = known(case.scores[rows[change.first : change.end]])
    just = known(np.concatenate([reference, labels[: change.first]])[-(change.end - change.first) :])
    looks = [(each, best_change(each, now), distance(each, now)) for each in (before, just) if len(each) >= 30]
    found, was, natural = min(
        ((found, was, max(0.06, variation(each, len(now)))) for each, found, was in looks if found is not None),
        key=lambda look: look[0].distance / look[2],
    )
    moved_too = distance(known(case.reference_scores), scores)
    if was < 0.3 or moved_too > was / 2:
        return []
    if found.distance > natural or 0.5 < found.scale < 2:
        return []
    text = f"the labels moved by a change of unit ({found.words}) and the predictions did not"
    sure = confidence(was, 0.15)
    return [
        Finding(
            Kind.LABEL_FAULT, "LabelUnitChange", (), int(rows[change.first]), case.rows, sure, text, found.scale, 1.0
        )
    ]
