"""Broken labels: a block whose labels are all of one class, where that never comes about by chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.core.diagnosis.result import Block, Fault
from trimtab.core.diagnosis.signals import Flags
from trimtab.core.domain.verdict import Severity
from trimtab.core.profiles import Baseline

CHANCE = 1e-6
"""Probability under which 'all of one class' is no accident, even where the class is twice as common as on any
baseline block.
"""


def label_fault(baseline: Baseline, blocks: Sequence[Block], labelled_min: int) -> tuple[tuple[Fault, ...], Flags]:
    """Faults ``ConstantLabels``, and the blocks (N,) that show them."""
    constant = np.zeros(len(blocks), dtype=np.bool_)
    known = np.zeros(len(blocks), dtype=np.bool_)
    shares = _least_other(baseline)
    if shares is None:
        return (), constant
    for at, block in enumerate(blocks):
        card = block.scorecard
        if card is None or card.rows < labelled_min or card.classes != len(shares):
            continue
        known[at] = True
        top = int(np.argmax(card.label_counts))
        constant[at] = int(card.label_counts[top]) == card.rows and (1 - shares[top]) ** card.rows < CHANCE
    return _spells(blocks, constant, known), constant


def _least_other(baseline: Baseline) -> list[float] | None:
    """For each class: half the smallest share that all other classes had together in a block of the baseline."""
    card, table = baseline.evaluation, baseline.loss_blocks
    if not card.classes or not card.rows:
        return None
    overall = card.label_counts / card.rows
    kept = table.rows >= 50
    least = []
    for of in range(card.classes):
        others = 1 - overall[of]
        if kept.any():
            others = min(others, float((1 - table.positives[kept, of] / table.rows[kept]).min()))
        least.append(others / 2)
    return least


def _spells(blocks: Sequence[Block], constant: Flags, known: Flags) -> tuple[Fault, ...]:
    out: list[Fault] = []
    opened: int | None = None
    for at in range(len(blocks) + 1):
        over = at == len(blocks)
        if not over and constant[at] and opened is None:
            opened = at
        elif opened is not None and (over or (known[at] and not constant[at])):
            rows = sum(card.rows for block in blocks[opened:at] if (card := block.scorecard) is not None)
            out.append(
                Fault(
                    "ConstantLabels",
                    (),
                    blocks[opened].start_s,
                    None if over else blocks[at].start_s,
                    Severity.SEVERE,
                    f"all {rows:,} labels are of one class",
                    1.0,
                    1.0,
                )
            )
            opened = None
    return tuple(out)
