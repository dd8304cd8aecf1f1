"""Columns that do not come, come under another name, or hold another type."""

from __future__ import annotations

import difflib

import numpy as np

from trimtab.core.diagnosis.rows.case import Case
from trimtab.core.diagnosis.rows.finding import Finding
from trimtab.core.diagnosis.rows.when import scan
from trimtab.core.domain.diagnosis import Kind

SHARE_MIN = 0.02


def schema(case: Case) -> list[Finding]:
    """What the form of the table shows."""
    out = []
    for name in case.absent:
        near = difflib.get_close_matches(name.lower(), [each.lower() for each in case.extra], n=1, cutoff=0.5)
        fresh = next((each for each in case.extra if near and each.lower() == near[0]), None)
        told = f"; '{fresh}' came instead" if fresh else ""
        text = f"{name}: the column does not come any more{told}"
        out.append(Finding(Kind.DATA_FAULT, "AbsentColumn", (name,), 0, case.rows, 1.0, text, 1.0, 0.0))
    for name, flags in case.misfits.items():
        change = scan(np.zeros(1000, dtype=np.int64), flags.astype(np.int64), 2)
        share = float(flags[change.first : change.end].mean()) if change.end > change.first else 0.0
        if change.real and share > SHARE_MIN:
            text = f"{name}: {share:.0%} of the values are of another type"
            out.append(
                Finding(Kind.DATA_FAULT, "WrongType", (name,), change.first, change.end, 0.99, text, share, SHARE_MIN)
            )
    return out
