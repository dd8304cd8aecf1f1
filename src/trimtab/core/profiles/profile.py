"""A fixed-size summary of any number of rows, counted in the bins of one baseline. Profiles of parts add up to the
profile of the whole."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trimtab.core.domain.errors import DataError, IntegrityError
from trimtab.core.profiles import codec
from trimtab.core.profiles.columns import Categorical, Column, Columns, Numbers
from trimtab.core.profiles.grid import ROWS_MIN, Workspace, count_bins
from trimtab.core.profiles.layout import Feature, FeatureKind, Layout, as_text, level_hash, parsed, place_levels

MISFIT: Final = 0
"""Values of the wrong kind (text in a number), counted as missing."""
INFINITE: Final = 1
ZERO: Final = 2
UNSEEN: Final = 3
"""Rows with a level that the reference did not have."""
SUM: Final = 4
"""Sum of (x - centre) over finite x."""
SQUARES: Final = 5
"""Sum of (x - centre)² over finite x."""
STATS: Final = 6

NAMES_KEPT = 8
"""Unseen levels that are kept by name for each category: those with the smallest hashes, so that the choice does not
depend on the order."""


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """Counts over the bins of a layout, with moments and extremes. Size does not depend on the number of rows.

    ``a + b`` is exact for counts, extremes and names, and exact to rounding for the float sums; associative and
    commutative.
    """

    digest: str
    """Of the layout; ``rows`` of different layouts never add up."""
    rows: int
    counts: NDArray[np.int64]
    """(layout.size,)"""
    stats: NDArray[np.float64]
    """(F, STATS): see the constants of this module."""
    low: NDArray[np.float64]
    """(F,) smallest finite value, inf where there is none."""
    high: NDArray[np.float64]
    """(F,) largest finite value, -inf where there is none."""
    names: tuple[tuple[tuple[str, int], ...], ...]
    """For each feature the unseen levels kept, with their counts."""

    def __add__(self, other: Profile) -> Profile:
        if self.digest != other.digest:
            raise DataError(f"profiles of different baselines do not add up ({self.digest[:8]} and {other.digest[:8]})")
        names = tuple(_merge_names(a, b) if a and b else (a or b) for a, b in zip(self.names, other.names, strict=True))
        return Profile(
            self.digest,
            self.rows + other.rows,
            self.counts + other.counts,
            self.stats + other.stats,
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
            names,
        )

    def to_bytes(self) -> bytes:
        """Versioned binary form, under 64 KB for 30 features."""
        head = {"digest": self.digest, "rows": self.rows, "names": [list(map(list, each)) for each in self.names]}
        arrays = {"counts": self.counts, "stats": self.stats, "low": self.low, "high": self.high}
        return codec.pack("profile", 1, head, arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> Profile:
        """Raises IntegrityError where the bytes are damaged or of another format."""
        head, arrays = codec.unpack("profile", 1, data)
        names = tuple(tuple((str(name), int(count)) for name, count in each) for each in head["names"])
        if arrays["stats"].shape != (len(names), STATS):
            raise IntegrityError(f"profile lists {len(names)} features, but its sums are {arrays['stats'].shape}")
        return cls(
            head["digest"], head["rows"], arrays["counts"], arrays["stats"], arrays["low"], arrays["high"], names
        )


def empty_profile(layout: Layout) -> Profile:
    """The neutral element of +."""
    size = len(layout.features)
    return Profile(
        layout.digest,
        0,
        np.zeros(layout.size, dtype=np.int64),
        np.zeros((size, STATS)),
        np.full(size, np.inf),
        np.full(size, -np.inf),
        ((),) * size,
    )


def profile_columns(layout: Layout, columns: Columns, rows: int) -> Profile:
    """Count rows. A feature of the layout that is not among the columns counts nothing (its bins sum to 0, not to
    ``rows``)."""
    total = empty_profile(layout)
    names: list[tuple[tuple[str, int], ...]] = []
    work = Workspace(rows)
    for at, feature in enumerate(layout.features):
        column = columns.get(feature.name)
        if column is None:
            names.append(())
            continue
        counts, stats = total.counts[layout.part(at)], total.stats[at]
        if feature.kind is FeatureKind.CATEGORY:
            names.append(_count_levels(feature, column, counts, stats))
        else:
            values = column
            if isinstance(values, Categorical):
                values, stats[MISFIT] = parsed(values)
            total.low[at], total.high[at] = _count_numbers(feature, values, work, counts, stats)
            names.append(())
    return replace(total, rows=rows, names=tuple(names))


def _count_levels(
    feature: Feature, column: Column, counts: NDArray[np.int64], stats: Numbers
) -> tuple[tuple[str, int], ...]:
    """Fill the feature's counts and sums; the unseen levels."""
    if not isinstance(column, Categorical):
        stats[MISFIT] = np.count_nonzero(~np.isnan(column))
        column = as_text(column)
    table, unseen = place_levels(feature, column.levels)
    rows = np.bincount(column.codes + np.int32(1), minlength=len(column.levels) + 1)
    rows = np.append(rows[1:], rows[0])
    np.add.at(counts, table, rows)
    stats[UNSEEN] = rows[unseen].sum()
    return _merge_names(tuple((column.levels[at], int(rows[at])) for at in np.flatnonzero(unseen) if rows[at]), ())


def _count_numbers(
    feature: Feature, values: Numbers, work: Workspace, counts: NDArray[np.int64], stats: Numbers
) -> tuple[float, float]:
    """Fill the feature's counts and sums; the smallest and the largest finite value."""
    kept, squares = _centred(values, feature.centre, work)
    if not np.isfinite(squares):  # something is missing or infinite (or overflows)
        kept = values[~np.isnan(values)]
        counts[feature.missing] = len(values) - len(kept)
    if feature.grid is None or len(kept) < ROWS_MIN:
        counts[: feature.missing] = np.bincount(
            np.searchsorted(feature.edges, kept, side="right"), minlength=feature.missing
        )
        zeros = len(kept) - int(np.count_nonzero(kept))
    else:
        counts[: feature.missing], zeros = count_bins(feature.grid, kept, work)
    if not np.isfinite(squares):
        finite = kept[np.isfinite(kept)]
        stats[INFINITE] = len(kept) - len(finite)
        kept, squares = _centred(finite, feature.centre, work)
    stats[ZERO], stats[SQUARES] = zeros, squares
    stats[SUM] = work.centred[: len(kept)].sum()
    return float(kept.min(initial=np.inf)), float(kept.max(initial=-np.inf))


def _centred(values: Numbers, centre: float, work: Workspace) -> tuple[Numbers, float]:
    """The values themselves, and the sum of squares of what is left in ``work.centred``: values less the centre."""
    centred = work.centred[: len(values)]
    with np.errstate(over="ignore", invalid="ignore"):
        np.subtract(values, centre, out=centred)
        return values, float(np.einsum("i,i->", centred, centred))


def _merge_names(a: tuple[tuple[str, int], ...], b: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
    """Bottom-k by hash: a name among the k smallest of the union is among them in each part that has it, so its count
    is exact."""
    total: dict[str, int] = {}
    for name, count in (*a, *b):
        total[name] = total.get(name, 0) + count
    kept = sorted(total, key=level_hash)[:NAMES_KEPT]
    return tuple((name, total[name]) for name in kept)
