"""All detectors on one case, and what they come to."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from trimtab.core.diagnosis.rows.batches import holes, repeated
from trimtab.core.diagnosis.rows.case import Case
from trimtab.core.diagnosis.rows.coherence import Bond, bond
from trimtab.core.diagnosis.rows.finding import Finding
from trimtab.core.diagnosis.rows.incoherent import incoherent
from trimtab.core.diagnosis.rows.labels import broken_labels
from trimtab.core.diagnosis.rows.levels import renamed
from trimtab.core.diagnosis.rows.rank import Tier, rank
from trimtab.core.diagnosis.rows.relations import Relation, relation_of, relations
from trimtab.core.diagnosis.rows.schema import schema
from trimtab.core.diagnosis.rows.segments import novelty, out_of_range, segments
from trimtab.core.diagnosis.rows.serving import serving
from trimtab.core.diagnosis.rows.shift import shifts
from trimtab.core.diagnosis.rows.slices import by_slice
from trimtab.core.diagnosis.rows.swaps import swapped
from trimtab.core.diagnosis.rows.units import units
from trimtab.core.diagnosis.rows.values import missing, stuck
from trimtab.core.diagnosis.rows.when import Change, scan
from trimtab.core.domain.diagnosis import Diagnosis, Kind

OUTSIDE_MIN = 0.3
"""Share of values never seen from which they make a change by themselves."""


def diagnose(case: Case) -> Diagnosis:
    """The cause that explains best what is seen, since when, and what to do."""
    changes = {name: change_of(case, name) for name in case.cells}

    @cache
    def tie(name: str) -> Bond:
        return bond(case, name)

    seen = relation_of(case)
    data = data_faults(case, changes, tie)
    new = [] if data else segments(case)
    outcome = relations(case, seen)
    tiers = [
        Tier(Kind.DATA_FAULT, data),
        Tier(Kind.DATA_FAULT, [*repeated(case), *holes(case)]),
        Tier(Kind.LABEL_FAULT, broken_labels(case)),
        Tier(Kind.SERVING_FAULT, serving(case, seen)),
        Tier(Kind.NEW_SEGMENT, new),
        *(Tier(each.kind, [each]) for each in sorted(outcome, key=lambda each: -each.confidence)),
        Tier(Kind.HARMLESS_SHIFT, shifts(case, changes)),
    ]
    return by_slice(case, seen, rank(case, tiers, harm(seen)))


def change_of(case: Case, name: str) -> Change:
    """When a column changed; where it always does, when values came that the reference never had."""
    cells = case.cells[name]
    change = scan(cells.reference, cells.current, cells.size)
    if change.real:
        return change
    outside = cells.outside(cells.current)
    if outside.mean() < OUTSIDE_MIN / 4:
        return change
    never = np.zeros(len(cells.reference), dtype=np.int64)
    beyond = scan(never, outside.astype(np.int64), 2)
    share = float(outside[beyond.first : beyond.end].mean())
    churn = novelty(case, cells, name, beyond.end - beyond.first)
    return beyond if beyond.real and share > OUTSIDE_MIN + 3 * churn else change


def harm(seen: Relation | None) -> bool:
    """Whether the loss is shown to have risen beyond what the scores made expect."""
    return seen is not None and seen.change.real and seen.harm


def data_faults(case: Case, changes: dict[str, Change], tie: Callable[[str], Bond]) -> list[Finding]:
    """Broken columns, each under the first name that explains it."""
    found: list[Finding] = []

    def add(more: list[Finding]) -> None:
        taken = {name for each in found for name in each.features}
        found.extend(each for each in more if not taken & set(each.features))

    def left() -> dict[str, Change]:
        taken = {name for each in found for name in each.features}
        return {name: change for name, change in changes.items() if name not in taken}

    add(schema(case))
    add(swapped(case, left(), tie))
    add(missing(case))
    add(stuck(case, tie))
    add(renamed(case, left()))
    add(units(case, left(), tie))
    add(out_of_range(case, left()))
    if not found:
        add(incoherent(case, left(), tie))
    return found
