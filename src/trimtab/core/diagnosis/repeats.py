"""Rows that come more than once: a feed that is read twice, a client that sends everything again.

A repeated row has the inputs, entity and event time of another one of its block. Where times are coarse some rows do so
by nature; so the first sound blocks since the champion went live say what is usual, and only a share well above it, in
two blocks in a row, is a fault.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.core.diagnosis.result import Block, Fault
from trimtab.core.diagnosis.signals import Flags, runs
from trimtab.core.domain.verdict import Severity

USUAL_BLOCKS = 7
"""So many blocks say what is usual; before that nothing is said."""
MARGIN = 0.05
"""A share must exceed the usual one by at least this much."""


def repeated_rows(blocks: Sequence[Block], rows_min: int) -> tuple[tuple[Fault, ...], Flags]:
    """Faults ``DuplicatedRows``, oldest first, and the blocks (N,) under one."""
    rows = np.array([block.profile.rows for block in blocks])
    enough = rows >= rows_min
    share = np.array([block.repeated for block in blocks]) / np.maximum(rows, 1)
    under = np.zeros(len(blocks), dtype=np.bool_)
    first = np.flatnonzero(enough)[:USUAL_BLOCKS]
    if len(first) < USUAL_BLOCKS or first[-1] + 1 >= len(blocks):
        return (), under
    usual = float(share[first].max())
    noise = 4 * np.sqrt(usual * (1 - usual) / np.maximum(rows, 1))
    later = enough & (np.arange(len(blocks)) > first[-1])
    strong = runs(later & (share > usual + MARGIN + noise), 2)
    sound = later & (share <= usual + MARGIN / 2 + noise)
    faults: list[Fault] = []
    at = 0
    while at < len(blocks):
        if not strong[at]:
            at += 1
            continue
        end = next((each for each in range(at, len(blocks)) if sound[each]), None)
        until = len(blocks) if end is None else end
        under[at:until] = True
        value, limit = float(share[at:until].max()), usual + MARGIN
        text = f"{value:.1%} of the rows of a block repeat another one > {limit:.1%}"
        until_s = None if end is None else blocks[end].start_s
        faults.append(Fault("DuplicatedRows", (), blocks[at].start_s, until_s, Severity.MODERATE, text, value, limit))
        at = until
    return tuple(faults), under
