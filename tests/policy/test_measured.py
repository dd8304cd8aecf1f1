"""What a job measured becomes facts: places of blocks, rows, kinds, and how late labels are."""

from __future__ import annotations

import numpy as np

from trimtab.core.policy import ROLES, BlockLosses, Measured, Retained, facts_of

OLD, NEW = Retained(1, "full", 20.0, 19.0), Retained(2, "sliding-window", 60.0, 45.0)
LENGTH_S = 10.0


def block(place: int, new: bool) -> BlockLosses:
    losses = {1: 1.0, 2: 0.5} if new else {1: 1.0}
    return BlockLosses(place, 50, 50 * place, losses, (1.0,) * len(ROLES))


def test_facts_stand_where_the_blocks_stand() -> None:
    """Weeks 2 to 6 are measured, week 4 had no labelled row, and week 7 ended without labels so far."""
    measured = Measured(tuple(block(place, place >= 5) for place in (2, 3, 5, 6)))
    facts = facts_of((NEW, OLD), measured, now=85.0, block_s=LENGTH_S, newest_run=60.0)
    assert facts is not None
    assert [model.kind for model in facts.models] == ["first", "sliding-window"]
    assert [model.until for model in facts.models] == [0, 2]
    assert facts.models[1].started == facts.tried == 3
    assert facts.known.tolist() == [0, 0, 1, 2, 3, 4]
    assert facts.available[-1] == 350
    assert np.isnan(facts.losses[1, :2]).all()
    assert facts.losses[1, 2:].tolist() == [0.5, 0.5]


def test_no_facts_without_a_labelled_block() -> None:
    """Only blocks are labelled that the oldest version was trained on."""
    assert facts_of((OLD,), Measured((block(1, False),)), now=40.0, block_s=LENGTH_S, newest_run=None) is None
