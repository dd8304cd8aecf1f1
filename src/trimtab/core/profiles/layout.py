"""What a baseline freezes of each feature: the bins that every later profile counts into.

A number has the order statistics k/128 of the reference as edges (129 of them, ties removed; a tied value gets a bin
of its own),
open tails and a bin for missing. A category has its frequent levels, 16 hashed buckets for all other levels, and
missing.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from trimtab.core.domain.errors import DataError
from trimtab.core.profiles.columns import Categorical, Column, Numbers
from trimtab.core.profiles.grid import ROWS_MIN, Grid, bins_of, grid_of

PARTS = 128
"""Quantile bins of a number."""
LEVELS_MAX = 64
"""Levels of a category that are counted by name."""
TAIL = 16
"""Hashed buckets for all other levels."""
KNOWN_MAX = 20_000
"""Levels of the reference that are remembered (by hash) to tell an unseen one."""


class FeatureKind(StrEnum):
    """Persisted: never rename."""

    NUMBER = "number"
    CATEGORY = "category"


class Role(StrEnum):
    """An input of the model, or what it answered. Persisted: never rename."""

    INPUT = "input"
    PREDICTION = "prediction"


@dataclass(frozen=True, slots=True, eq=False)
class Feature:
    """The bins of one feature.

    Number: ``edges`` has m values; bin 0 is below the reference's minimum, bins 1 … m-1 are [edges[i-1], edges[i]),
        bin m is above
    the maximum (``edges[-1]`` is the next float after it), bin m+1 is missing.
    Category: bins 0 … L-1 are ``levels``, then ``TAIL`` hashed buckets, then missing.
    """

    name: str
    kind: FeatureKind
    role: Role = Role.INPUT
    edges: Numbers = field(default_factory=lambda: np.zeros(0))
    levels: tuple[str, ...] = ()
    known: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    """Sorted hashes of every level of the reference, at most ``KNOWN_MAX``."""
    centre: float = 0.0
    """Median of the reference."""
    spread: float = 1.0
    """Standard deviation of the reference; 1 where it is 0 or unknown."""
    discrete: bool = False
    """A number with at most 100 distinct values in the reference: each has its own bin."""
    grid: Grid | None = field(init=False, repr=False)
    """A quick way to the bins; None for a category, and where there is none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "grid", grid_of(self.edges, self.centre) if len(self.edges) else None)

    @property
    def bins(self) -> int:
        """Number of bins, missing included; missing is the last."""
        return len(self.edges) + 2 if self.kind is FeatureKind.NUMBER else len(self.levels) + TAIL + 1

    @property
    def missing(self) -> int:
        """Index of the missing bin."""
        return self.bins - 1


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The features in order, and where each one's bins stand in a profile's flat array of counts."""

    features: tuple[Feature, ...]
    starts: NDArray[np.int64]
    """(F + 1,) feature f has the bins ``starts[f]:starts[f + 1]``."""
    digest: str
    """Profiles add up only where it is equal."""

    @property
    def size(self) -> int:
        return int(self.starts[-1])

    def index(self, name: str) -> int:
        """Raises DataError naming the features there are."""
        for at, feature in enumerate(self.features):
            if feature.name == name:
                return at
        raise DataError(f"no feature '{name}'; there are {', '.join(feature.name for feature in self.features)}")

    def part(self, at: int) -> slice:
        return slice(int(self.starts[at]), int(self.starts[at + 1]))


def layout_of(features: Sequence[Feature]) -> Layout:
    """The layout of these features; its digest covers everything that decides which value falls into which bin."""
    starts = np.concatenate([[0], np.cumsum([feature.bins for feature in features])]).astype(np.int64)
    digest = hashlib.blake2b(digest_size=16)
    for feature in features:
        digest.update(json.dumps([feature.name, feature.kind, feature.role, feature.levels, feature.centre]).encode())
        digest.update(feature.edges.astype("<f8").tobytes())
        digest.update(feature.known.astype("<u8").tobytes())
    return Layout(tuple(features), starts, digest.hexdigest())


def level_hash(level: str) -> int:
    """64-bit hash of a level, the same in every process."""
    return int.from_bytes(hashlib.blake2b(level.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def fit_feature(name: str, column: Column, role: Role = Role.INPUT) -> Feature:
    """Freeze the bins of one feature from the reference column."""
    if isinstance(column, Categorical):
        return _fit_category(name, column, role)
    finite = np.sort(column[np.isfinite(column)])
    if not finite.size:
        return Feature(name, FeatureKind.NUMBER, role, edges=np.array([0.0, np.nextafter(0.0, 1.0)]), discrete=True)
    rises = finite[1:] > finite[:-1]
    discrete = bool(np.count_nonzero(rises) < 100)
    if discrete:
        distinct = finite[np.concatenate([[True], rises])]
        edges = np.append(distinct, np.nextafter(distinct[-1], np.inf))
    else:
        picks = finite[np.rint(np.linspace(0, finite.size - 1, PARTS + 1)).astype(np.int64)]
        tied = picks[1:][np.diff(picks) == 0]
        edges = np.unique(np.concatenate([picks, np.nextafter(tied, np.inf), [np.nextafter(finite[-1], np.inf)]]))
    spread = float(finite.std())
    return Feature(
        name,
        FeatureKind.NUMBER,
        role,
        edges=edges,
        centre=float(finite[finite.size // 2]),
        spread=spread if spread > 0 and np.isfinite(spread) else 1.0,
        discrete=discrete,
    )


def _fit_category(name: str, column: Categorical, role: Role) -> Feature:
    counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.levels))
    order = sorted(
        (level for level in range(len(counts)) if counts[level]), key=lambda at: (-counts[at], column.levels[at])
    )
    known = np.array(sorted(level_hash(column.levels[at]) for at in order[:KNOWN_MAX]), dtype=np.uint64)
    levels = tuple(column.levels[at] for at in order[:LEVELS_MAX])
    return Feature(name, FeatureKind.CATEGORY, role, levels=levels, known=known)


@dataclass(frozen=True, slots=True, eq=False)
class Binned:
    """One column in the bins of its feature."""

    codes: NDArray[np.intp]
    """(n,) bin of each row."""
    values: Numbers | None
    """(n,) the numbers, NaN missing; None for a category."""
    unseen: NDArray[np.bool_] | None
    """(n,) rows whose level the reference did not have; None for a number, and where there are none."""
    names: tuple[tuple[str, int], ...]
    """Unseen levels with their counts."""
    misfit: int
    """Values that are not of the feature's kind: text where a number is due."""


def bin_column(feature: Feature, column: Column) -> Binned:
    """Where each row falls. A column of the other kind is converted where that is possible; the rest is missing and
    counted as misfit."""
    if feature.kind is FeatureKind.NUMBER:
        values, misfit = parsed(column) if isinstance(column, Categorical) else (column, 0)
        return Binned(bin_numbers(feature, values), values, None, (), misfit)
    misfit = 0
    if not isinstance(column, Categorical):
        misfit = int(np.count_nonzero(~np.isnan(column)))
        column = as_text(column)
    table, unseen = place_levels(feature, column.levels)
    names: tuple[tuple[str, int], ...] = ()
    if unseen.any():
        counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.levels))
        names = tuple((column.levels[at], int(counts[at])) for at in np.flatnonzero(unseen[:-1]) if counts[at])
    return Binned(table[column.codes], None, unseen[column.codes] if unseen.any() else None, names, misfit)


def place_levels(feature: Feature, levels: Sequence[str]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """(L + 1,) bin of each level and (L + 1,) whether the reference did not have it; the last is for missing."""
    table = np.empty(len(levels) + 1, dtype=np.intp)
    unseen = np.zeros(len(levels) + 1, dtype=np.bool_)
    named = {level: at for at, level in enumerate(feature.levels)}
    for at, level in enumerate(levels):
        found = named.get(level)
        if found is None:
            table[at] = len(named) + zlib.crc32(level.encode("utf-8", "surrogatepass")) % TAIL
            unseen[at] = not _holds(feature.known, level_hash(level))
        else:
            table[at] = found
    table[-1] = feature.missing
    return table, unseen


def bin_numbers(feature: Feature, values: Numbers) -> NDArray[np.intp]:
    """(n,) bin of each number; NaN goes to missing."""
    missing = np.isnan(values)
    if feature.grid is None or len(values) < ROWS_MIN:
        codes = np.searchsorted(feature.edges, values, side="right")
    else:
        codes = bins_of(feature.grid, np.where(missing, feature.centre, values) if missing.any() else values)
    codes[missing] = feature.missing
    return codes


def _holds(known: NDArray[np.uint64], value: int) -> bool:
    at = int(np.searchsorted(known, np.uint64(value)))
    return at < known.size and int(known[at]) == value


def parsed(column: Categorical) -> tuple[Numbers, int]:
    """Text as numbers (NaN where it is none), and how many rows are none."""
    table = np.full(len(column.levels) + 1, np.nan)
    bad = np.zeros(len(column.levels) + 1, dtype=np.bool_)
    for at, level in enumerate(column.levels):
        try:
            table[at] = float(level)
        except ValueError:
            bad[at] = True
    return table[column.codes], int(np.count_nonzero(bad[column.codes]))


def as_text(column: Numbers) -> Categorical:
    """Numbers as levels."""
    values, codes = np.unique(column, return_inverse=True)
    kept = ~np.isnan(values)
    levels = tuple(f"{value:g}" for value in values[kept])
    return Categorical(np.where(np.isnan(column), -1, codes).astype(np.int32), levels)
