"""Every recipe with what it is and the right answers to it."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.core.domain.diagnosis import Remedy
from trimtab.replay.incidents import data_faults, worlds
from trimtab.replay.incidents.stage import Break

QUIET = frozenset({Remedy.NONE, Remedy.WATCH})


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to break a table."""

    name: str
    title: str
    breaks: Break
    right: frozenset[Remedy]
    """Answers that are right."""
    names_columns: bool = False
    """The answer must name the broken columns, and no other."""
    mendable: bool = False
    """People can put it right (a pipeline, the labels); the world they cannot."""

    def right_at(self, level: int) -> frozenset[Remedy]:
        """At low severity a data fault may do no harm: then it may be watched."""
        return self.right | QUIET if level == 0 and self.right == _DATA else self.right

    @property
    def quiet(self) -> bool:
        """Nothing must be done about it."""
        return self.right <= QUIET


_DATA, _LABELS = frozenset({Remedy.FIX_DATA}), frozenset({Remedy.FIX_LABELS})
_RETRAIN = frozenset({Remedy.RETRAIN})

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("unit", "unit change", data_faults.unit, _DATA, names_columns=True, mendable=True),
        Recipe("nulls", "null flood", data_faults.nulls, _DATA, names_columns=True, mendable=True),
        Recipe("stuck", "stuck column", data_faults.stuck, _DATA, names_columns=True, mendable=True),
        Recipe("rename", "category rename", data_faults.rename, _DATA, names_columns=True, mendable=True),
        Recipe("swap", "swapped columns", data_faults.swap, _DATA, names_columns=True, mendable=True),
        Recipe("duplicates", "duplicates", data_faults.duplicates, _DATA, mendable=True),
        Recipe("gap", "gap", data_faults.gap, _DATA, mendable=True),
        Recipe("stale", "old batch again", data_faults.stale, _DATA, mendable=True),
        Recipe("repeated", "duplicates, a gap or an old batch", data_faults.repeated, _DATA, mendable=True),
        Recipe("labels", "broken labels", worlds.labels, _LABELS, mendable=True),
        Recipe("sudden", "sudden concept flip", worlds.sudden, _RETRAIN),
        Recipe("gradual", "gradual concept drift", worlds.gradual, _RETRAIN),
        Recipe("segment", "new segment", worlds.segment, _RETRAIN),
        Recipe("prior", "prior shift", worlds.prior, frozenset({Remedy.RECALIBRATE, Remedy.RETRAIN})),
        Recipe("harmless", "harmless shift", worlds.harmless, QUIET),
        Recipe("nothing", "nothing", worlds.nothing, QUIET),
    )
}
"""By name."""
