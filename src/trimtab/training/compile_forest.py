"""Tree ensembles in the layout of Trimtab's own loop (``trimtab.serving.runtimes.trees``)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trimtab.serving.runtimes.trees import NUMBER, SET, ForestArrays
from trimtab.training.compile_trees import MEMBER, NotConvertibleError, Trees

_LEQ, _LT, _GTE, _GT = range(4)


def forest_of(trees: Trees) -> ForestArrays:
    """Every comparison as 'not above a threshold', level by level, so that what all rows pass through lies together.

    Raises:
        NotConvertibleError: a threshold that is not a number, or nothing is below.
    """
    inner = trees.left >= 0
    turned = inner & ((trees.mode == _GTE) | (trees.mode == _GT))
    strict = inner & ((trees.mode == _LT) | (trees.mode == _GTE))
    sets = inner & (trees.mode == MEMBER)
    if (np.isnan(trees.threshold) & inner & ~sets).any() or (np.isneginf(trees.threshold) & strict).any():
        raise NotConvertibleError("a threshold is not a number, or nothing is below it")
    yes = np.where(turned, trees.right, trees.left)
    no = np.where(turned, trees.left, trees.right)
    order, first = _by_level(trees.roots, yes, no)
    words, starts = _sets(trees, sets)
    thresholds = np.where(strict, np.nextafter(trees.threshold, -np.inf), trees.threshold)
    thresholds = np.where(sets, starts, np.where(inner, thresholds, np.inf))
    own = np.arange(len(order))
    vectors = bool((trees.targets < 0).any())
    return ForestArrays(
        thresholds=thresholds[order],
        yes=np.where(inner[order], first, own).astype(np.int32),
        features=np.where(inner, trees.feature, 0)[order].astype(np.int32),
        missing_yes=np.where(inner, trees.default_left ^ turned, True)[order].astype(np.uint8),
        kinds=np.where(sets, SET, NUMBER)[order].astype(np.uint8),
        words=words,
        leaves=trees.leaves[order] if vectors else trees.leaves[order, :1],
        roots=np.arange(len(trees.roots), dtype=np.int32),
        targets=np.zeros(len(trees.roots), dtype=np.int32) if vectors else trees.targets.astype(np.int32),
        width=trees.features,
        outputs=trees.outputs,
    )


def _by_level(
    roots: npt.NDArray[np.int64], yes: npt.NDArray[np.int64], no: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The old position of each new one, and by new position where the first child stands now."""
    order, firsts, level, placed = [roots], [], roots, len(roots)
    while len(level):
        inner = yes[level] >= 0
        children = np.column_stack((yes[level[inner]], no[level[inner]])).ravel()
        first = np.full(len(level), -1, dtype=np.int64)
        first[inner] = placed + 2 * np.arange(int(inner.sum()))
        firsts.append(first)
        order.append(children)
        placed += len(children)
        level = children
    return np.concatenate(order), np.concatenate(firsts)


def _sets(trees: Trees, sets: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float64]]:
    """All sets as words of bits, and where each node's begins."""
    words: list[npt.NDArray[np.uint64]] = []
    starts, at = np.zeros(len(sets)), 0
    for index in np.flatnonzero(sets):
        listed = trees.members[index]
        codes = listed[listed >= 0].astype(np.int64)  # a set of -1 alone is empty
        bits = np.zeros(1 + (int(codes.max(initial=-1)) + 64) // 64, dtype=np.uint64)
        bits[0] = len(bits) - 1
        np.bitwise_or.at(bits, 1 + (codes >> 6), np.uint64(1) << (codes & 63).astype(np.uint64))
        words.append(bits)
        starts[index], at = at, at + len(bits)
    return (np.concatenate(words) if words else np.zeros(0, dtype=np.uint64)), starts
