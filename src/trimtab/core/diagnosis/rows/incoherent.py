"""Columns that moved and no longer belong to the others of their row, for whatever reason."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from trimtab.core.diagnosis.rows.case import Case, Flags
from trimtab.core.diagnosis.rows.coherence import Bond
from trimtab.core.diagnosis.rows.finding import Finding, confidence
from trimtab.core.diagnosis.rows.when import Change
from trimtab.core.domain.diagnosis import Kind
from trimtab.core.profiles.columns import take_rows

KEPT_MAX = 0.35
"""Share of the tie that a broken column may have left."""
ERRORS_MIN = 6.0
USUAL_MIN = 0.5
"""Share of the tie that must have been there just before."""
NEAR = 600
"""Rows that are 'just before' and 'just after'."""
ASKED_MAX = 4
"""Columns that are asked for; each costs a fit."""


def incoherent(case: Case, changes: dict[str, Change], tie: Callable[[str], Bond]) -> list[Finding]:
    """Columns that lost their tie since their change, the most moved first. Rows of a kind that the reference does not
    have are left out: a new segment has ties of its own."""
    moved = [name for name, change in changes.items() if change.real]
    known = ~_foreign(case)
    out = []
    for name in sorted(moved, key=lambda each: -changes[each].ratio)[:ASKED_MAX]:
        change = changes[name]
        rows = _some(np.flatnonzero(known[change.first : change.end]) + change.first)
        bond = tie(name)
        if not bond.tells or len(rows) < 30:
            continue
        kept, errors = bond.lost(take_rows(case.current, rows))
        usual = _just_before(case, bond, known, change.first)
        if usual < USUAL_MIN or kept > KEPT_MAX * min(usual, 1.0) or errors < ERRORS_MIN:
            continue
        if bond.kept(take_rows(case.current, rows[:NEAR])) > KEPT_MAX * min(usual, 1.0):
            continue  # it loosened bit by bit
        text = f"{name}: its tie to the other columns fell to {kept:.0%} of what it was"
        sure = confidence(errors, ERRORS_MIN) * confidence(KEPT_MAX, max(kept, 1e-3), 1.5)
        first, end = change.first, change.end
        out.append(Finding(Kind.DATA_FAULT, "BrokenRelation", (name,), first, end, sure, text, kept, KEPT_MAX))
    return out


def _just_before(case: Case, bond: Bond, known: Flags, first: int) -> float:
    """The tie in the rows just before, those of the reference where current has too few: a tie that loosens by itself
    was loose already."""
    clean = np.flatnonzero(known[:first])[-NEAR:]
    if len(clean) >= NEAR // 4:
        return bond.kept(take_rows(case.current, clean))
    return bond.kept(take_rows(case.reference, slice(-NEAR, None)))


def _foreign(case: Case) -> Flags:
    """(m,) rows with an unseen value in any column."""
    out = np.zeros(case.rows, dtype=np.bool_)
    for cells in case.cells.values():
        out |= cells.outside(cells.current)
    return out


def _some(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    return rows[:: max(len(rows) // 2000, 1)]
