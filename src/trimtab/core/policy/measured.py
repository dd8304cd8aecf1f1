"""Facts of the advice from what was measured: retained versions on blocks of production whose labels are there.

A block is a stretch of event time of the same length as every other, numbered from the epoch. Blocks without labelled
rows take no part: nothing was lost on them that anybody knows of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trimtab.core.policy.facts import FIRST, FULL, WINDOW, Facts, Kind, Trained
from trimtab.core.policy.roles import ROLES, members


@dataclass(frozen=True, slots=True)
class Retained:
    """A registered version, as far as the advice needs to know it."""

    version: int
    strategy: str
    """How it was trained; everything but a sliding window counts as full."""
    started_at: float
    """When its run was asked for, seconds since the epoch by the project's clock."""
    trained_until: float
    """Event time of its newest training row."""


@dataclass(frozen=True, slots=True)
class BlockLosses:
    """What was measured on one block."""

    block: int
    """Event time of its rows // length of a block."""
    rows: int
    """Labelled rows, at least 1."""
    before: int
    """Labelled rows of history older than the block."""
    losses: dict[int, float]
    """Version to its mean loss; without those that were trained on rows of the block or of later ones."""
    roles: tuple[float, ...]
    """The same of each of ``ROLES``, as it would have answered."""


@dataclass(frozen=True, slots=True)
class Measured:
    """All blocks that are labelled, oldest first, and the rows that a window holds."""

    blocks: tuple[BlockLosses, ...]
    window_rows: float = 0.0
    """0: as many as the oldest version was trained on."""
    training_share: float = 1.0
    """Of the rows that are there, how many a run trains on; the others are held out for its gates."""


def in_order(versions: Sequence[Retained]) -> tuple[Retained, ...]:
    """Oldest first: the first stands for what there was before there was anything to compare."""
    return tuple(sorted(versions, key=lambda each: (each.started_at, each.version)))


def first_block(version: Retained, block_s: float) -> int:
    """The first block of which the version saw no row."""
    return int(version.trained_until // block_s) + 1


def kinds_of(versions: Sequence[Retained]) -> tuple[Kind, ...]:
    """Of versions in order: the oldest is the first, whatever it was trained on."""
    later: tuple[Kind, ...] = tuple(WINDOW if each.strategy == WINDOW else FULL for each in versions[1:])
    return (FIRST, *later)


def filled(versions: Sequence[Retained], block: int, block_s: float) -> tuple[tuple[int, ...], ...]:
    """For each of ``ROLES``, the places in ``versions`` (in order) of those that fill it on a block."""
    kinds = kinds_of(versions)
    models = [Trained(kind, 0, first_block(each, block_s), 0.0) for kind, each in zip(kinds, versions, strict=True)]
    return tuple(members(role, models, block) for role in ROLES)


def facts_of(
    versions: Sequence[Retained], measured: Measured, *, now: float, block_s: float, newest_run: float | None
) -> Facts | None:
    """The facts as of the block that ``now`` lies in; None where no labelled block can be judged.

    Args:
        versions: those that were measured, in any order.
        measured: their losses.
        now: event time, seconds since the epoch.
        block_s: length of a block.
        newest_run: when the newest run was started, whatever came of it.
    """
    ordered = in_order(versions)
    if not ordered:
        return None
    first, current = first_block(ordered[0], block_s), int(now // block_s)
    blocks = [each for each in measured.blocks if first <= each.block < current]
    if not blocks:
        return None
    axis = np.array([each.block for each in blocks])
    labelled = len(blocks)
    behind = current - 1 - int(axis[-1])
    """Whole blocks that ended and are not labelled yet: labels were as late before."""
    size = labelled + behind
    rows = np.array([float(each.before) for each in blocks] + [float(blocks[-1].before + blocks[-1].rows)])

    def place(block: int) -> int:
        """Position of a block: among the labelled ones, or after them."""
        found = int(np.searchsorted(axis, block))
        return found if found < labelled else labelled + max(0, block - int(axis[-1]) - 1)

    models = tuple(
        Trained(
            kind,
            0 if kind == FIRST else min(size, place(int(each.started_at // block_s))),
            min(labelled, place(first_block(each, block_s))),
            max(1.0, float(rows[min(labelled, place(first_block(each, block_s)))])),
        )
        for kind, each in zip(kinds_of(ordered), ordered, strict=True)
    )
    known = np.maximum(0, np.arange(size + 1) - behind)
    losses = np.array([[each.losses.get(version.version, np.nan) for each in blocks] for version in ordered])
    for row, model in zip(losses, models, strict=True):
        row[: model.until] = np.nan
    return Facts(
        models=models,
        known=known,
        available=np.maximum(models[0].rows, rows[known] * measured.training_share),
        losses=losses,
        role_losses=np.array([each.roles for each in blocks]).T,
        window_rows=measured.window_rows or models[0].rows,
        tried=0 if newest_run is None else min(size, place(int(newest_run // block_s))),
    )
