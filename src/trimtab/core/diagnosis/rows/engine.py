"""All detectors on one case, and what they come to."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

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
from trimtab.core.diagnosis.rows.segments import segments
from trimtab.core.diagnosis.rows.serving import serving
from trimtab.core.diagnosis.rows.shift import shifts
from trimtab.core.diagnosis.rows.swaps import swapped
from trimtab.core.diagnosis.rows.units import units
from trimtab.core.diagnosis.rows.values import missing, stuck
from trimtab.core.diagnosis.rows.when import Change, scan
from trimtab.core.domain.diagnosis import Diagnosis, Kind


def diagnose(case: Case) -> Diagnosis:
    """The cause that explains best what is seen, since when, and what to do."""
    changes = {name: scan(cells.reference, cells.current, cells.size) for name, cells in case.cells.items()}

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
    return rank(case, tiers, harm(seen))


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
    add(stuck(case))
    add(renamed(case, left()))
    add(units(case, left(), tie))
    if not found:
        add(incoherent(case, left(), tie))
    return found
