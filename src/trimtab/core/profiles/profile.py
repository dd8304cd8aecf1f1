"""A fixed-size summary of any number of rows, counted in the bins of one baseline. Profiles of parts add up to the
profile of the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trimtab.core.domain.errors import DataError, IntegrityError
from trimtab.core.profiles import codec
from trimtab.core.profiles.columns import Columns, Numbers
from trimtab.core.profiles.layout import Binned, Feature, FeatureKind, Layout, bin_column, level_hash

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
    counts = np.zeros(layout.size, dtype=np.int64)
    stats = np.zeros((len(layout.features), STATS))
    low = np.full(len(layout.features), np.inf)
    high = np.full(len(layout.features), -np.inf)
    names: list[tuple[tuple[str, int], ...]] = []
    for at, feature in enumerate(layout.features):
        column = columns.get(feature.name)
        if column is None:
            names.append(())
            continue
        binned = bin_column(feature, column)
        counts[layout.part(at)] = np.bincount(binned.codes, minlength=feature.bins)
        stats[at], low[at], high[at] = _sums(feature, binned)
        names.append(_merge_names(binned.names, ()))
    return Profile(layout.digest, rows, counts, stats, low, high, tuple(names))


def _sums(feature: Feature, binned: Binned) -> tuple[Numbers, float, float]:
    out = np.zeros(STATS)
    out[MISFIT] = binned.misfit
    if binned.unseen is not None:
        out[UNSEEN] = np.count_nonzero(binned.unseen)
    values = binned.values
    if feature.kind is FeatureKind.CATEGORY or values is None:
        return out, np.inf, -np.inf
    centred = values - feature.centre
    with np.errstate(over="ignore", invalid="ignore"):
        squares = float(np.einsum("i,i->", centred, centred))
    if not np.isfinite(squares):  # something is missing or infinite (or overflows)
        out[INFINITE] = np.count_nonzero(np.isinf(values))
        values = values[np.isfinite(values)]
        if not values.size:
            return out, np.inf, -np.inf
        centred = values - feature.centre
        with np.errstate(over="ignore", invalid="ignore"):
            squares = float(np.einsum("i,i->", centred, centred))
    elif not values.size:
        return out, np.inf, -np.inf
    out[ZERO] = values.size - np.count_nonzero(values)
    out[SUM] = centred.sum()
    out[SQUARES] = squares
    return out, float(values.min()), float(values.max())


def _merge_names(a: tuple[tuple[str, int], ...], b: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
    """Bottom-k by hash: a name among the k smallest of the union is among them in each part that has it, so its count
    is exact."""
    total: dict[str, int] = {}
    for name, count in (*a, *b):
        total[name] = total.get(name, 0) + count
    kept = sorted(total, key=level_hash)[:NAMES_KEPT]
    return tuple((name, total[name]) for name in kept)
