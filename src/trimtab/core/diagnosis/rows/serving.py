"""Is the version itself at fault? Earlier versions are scored on the same labelled rows; only one that does better
there is worth going back to."""

from __future__ import annotations

import numpy as np

from trimtab.core.diagnosis.rows.case import Case
from trimtab.core.diagnosis.rows.finding import Finding, confidence
from trimtab.core.diagnosis.rows.relations import Relation
from trimtab.core.domain.diagnosis import Kind
from trimtab.core.profiles.scorecard import row_losses

GAIN_MIN = 0.05
"""Relative gain of an earlier version that is worth a rollback."""
ERRORS_MIN = 4.0


def serving(case: Case, seen: Relation | None) -> list[Finding]:
    """Earlier versions that do better on the rows since the change (or on all, without one), the best first."""
    if seen is None or not case.rivals:
        return []
    rows = seen.found.rows[seen.since[seen.found.known :]] if seen.change.real else seen.found.rows
    own = row_losses(case.scores[rows], case.labels[rows])
    out = []
    for name, scores in case.rivals.items():
        saved = own - row_losses(scores[rows], case.labels[rows])
        saved = saved[np.isfinite(saved)]
        if len(saved) < 100:
            continue
        gain = float(saved.mean()) / max(float(own.mean()), 1e-12)
        errors = float(saved.mean() / max(saved.std() / np.sqrt(len(saved)), 1e-12))
        if gain > GAIN_MIN and errors > ERRORS_MIN:
            text = f"version {name} would lose {gain:.0%} less on the same {len(saved):,} rows"
            sure = confidence(errors, ERRORS_MIN) * confidence(gain, GAIN_MIN)
            first = int(rows[0])
            out.append(Finding(Kind.SERVING_FAULT, "EarlierBetter", (), first, case.rows, sure, text, gain, GAIN_MIN))
    return sorted(out, key=lambda each: -each.value)
