"""A new segment: rows of a kind that the reference did not have come beside the others, with a real share."""

from __future__ import annotations

import itertools

import numpy as np

from trimtab.core.diagnosis.rows.case import Case, Cells, category, numbers
from trimtab.core.diagnosis.rows.finding import Finding, confidence
from trimtab.core.diagnosis.rows.units import distance, known, variation
from trimtab.core.diagnosis.rows.values import record
from trimtab.core.diagnosis.rows.when import Change, scan
from trimtab.core.domain.diagnosis import Kind
from trimtab.core.profiles.columns import Categorical

SHARE_MIN = 0.02
RUNS = 8
FEW = 15
"""Cells of a number that is no more than a code."""
ROWS_MIN = 300
MOVED_MAX = 0.15
"""Kolmogorov-Smirnov distance by which the known values may move when a segment comes beside them."""
LASTS_MIN = 0.05
"""Share of the rows that a segment stays for, at least."""
BESIDE_MAX = 0.85
"""A segment comes beside the others: a larger share is no segment."""


def segments(case: Case) -> list[Finding]:
    """Unseen levels or values out of range, in columns where these do not come by nature; the plainest first."""
    out = []
    for name, cells in case.cells.items():
        flags = cells.outside(cells.current)
        if float(flags.mean()) < SHARE_MIN / 4:
            continue
        change = scan(np.zeros(len(cells.reference), dtype=np.int64), flags.astype(np.int64), 2)
        share = float(flags[change.first : change.end].mean())
        churn = novelty(case, cells, name, change.end - change.first)
        limit = SHARE_MIN + 3 * churn
        if not change.real or share <= limit:
            continue
        if share > BESIDE_MAX:
            continue  # everything is: see out_of_range
        if change.end - change.first < LASTS_MIN * case.rows or not _beside(case, name, change):
            continue
        what = _what(case, name, change.first, change.end)
        text = f"{name}: {share:.0%} of the rows are of a kind that the reference does not have ({what})"
        sure = confidence(share, limit)
        features = (name,)
        out.append(
            Finding(
                Kind.NEW_SEGMENT, "NewSegment", features, change.first, change.end, sure, text, share, limit, (what,)
            )
        )
    return sorted(out, key=lambda each: -each.value)


def _beside(case: Case, name: str, change: Change) -> bool:
    """The values that were known before go on as before: a segment comes beside them. A column that drifts beyond its
    range takes the known ones along, and has been on its way."""
    column = case.reference[name]
    if isinstance(column, Categorical) or case.cells[name].size < FEW:
        return True
    column, current = numbers(column), numbers(case.current[name])
    low, high = float(np.nanmin(column)), float(np.nanmax(column))
    stretch = current[change.first : change.end]
    size = max(change.end - change.first, ROWS_MIN)
    just = np.concatenate([column[-size:], current[: change.first]])[-size:]
    before, now = (known(each[(each >= low) & (each <= high)]) for each in (just, stretch))
    if len(before) < 30 or len(now) < 30:
        return True
    return distance(before, now) < max(2 * variation(before, len(now)), MOVED_MAX)


def out_of_range(case: Case, changes: dict[str, Change]) -> list[Finding]:
    """Numbers that lie, nearly all of them, outside of the reference's range: no segment comes without the others."""
    out = []
    for name, change in changes.items():
        cells = case.cells[name]
        if not change.real or isinstance(case.reference[name], Categorical):
            continue
        share = float(cells.outside(cells.current[change.first : change.end]).mean())
        churn = novelty(case, cells, name, change.end - change.first)
        if share > BESIDE_MAX and churn < 0.3:
            text = f"{name}: {share:.0%} of the values were never seen in the reference"
            sure = confidence(share, 0.5, 1.5)
            first, end = change.first, change.end
            out.append(Finding(Kind.DATA_FAULT, "OutOfRange", (name,), first, end, sure, text, share, BESIDE_MAX))
    return out


def novelty(case: Case, cells: Cells, name: str, rows: int) -> float:
    """The largest share of rows that were new to all earlier rows, among runs of the reference: what churns by nature.

    Identifiers, agents, time indices always bring new values.
    """
    column = case.reference[name]
    total = len(cells.reference)
    bounds = np.linspace(total // 2, total, RUNS // 2 + 1).astype(np.int64)
    largest = 0.0
    if isinstance(column, Categorical):
        first = np.full(len(column.levels) + 1, total, dtype=np.int64)
        np.minimum.at(first, column.codes, np.arange(total))
        born = np.where(column.codes >= 0, first[column.codes], 0)
        for start, end in itertools.pairwise(bounds):
            largest = max(largest, float((born[start:end] >= start).mean()))
        return largest
    for start, end in itertools.pairwise(bounds):
        old, new = column[:start], column[start:end]
        if np.isfinite(old).any() and len(new):
            low, high = np.nanmin(old), np.nanmax(old)
            beyond = (new < low) | (new > high)
            if cells.by_level:
                beyond = np.isfinite(new) & ~np.isin(new, np.unique(old))
            largest = max(largest, record(beyond, max(min(rows, len(beyond)), 1)))
    return largest


def _what(case: Case, name: str, first: int, end: int) -> str:
    """The slice in words: ``plan=gold`` or ``age>65``."""
    column, reference = case.current[name], case.reference[name]
    if isinstance(column, Categorical):
        reference = category(reference)
        used = np.bincount(reference.codes[reference.codes >= 0], minlength=len(reference.levels))
        had = {level for level, count in zip(reference.levels, used, strict=True) if count}
        codes = column.codes[first:end]
        counts = np.bincount(codes[codes >= 0], minlength=len(column.levels))
        new = [at for at in np.argsort(-counts) if column.levels[at] not in had and counts[at]]
        return " or ".join(f"{name}={column.levels[at]}" for at in new[:3])
    reference = numbers(reference)
    low, high = float(np.nanmin(reference)), float(np.nanmax(reference))
    values = column[first:end]
    above, below = float((values > high).mean()), float((values < low).mean())
    if max(above, below) <= 0:
        return f"{name} with other values"
    return f"{name}>{high:g}" if above >= below else f"{name}<{low:g}"
