"""A table as the core sees it: named columns of equal length, numbers or categories.

``trimtab.frames`` is the only converter from pandas, polars and Arrow; nothing in the core knows those.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from trimtab.core.domain.errors import DataError

Numbers: TypeAlias = NDArray[np.float64]
"""A number column: NaN is missing; booleans are 0 and 1, times are seconds since the epoch."""


@dataclass(frozen=True, slots=True, eq=False)
class Categorical:
    """A category column: row i has the level ``levels[codes[i]]``; code -1 is missing. Levels may be listed and not
    occur."""

    codes: NDArray[np.int32]
    levels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Categorical:
        """The chosen rows, with the same levels."""
        return Categorical(self.codes[rows], self.levels)


Column: TypeAlias = Numbers | Categorical
Columns: TypeAlias = Mapping[str, Column]


def categorical(values: list[str | None] | NDArray[np.object_]) -> Categorical:
    """Levels in order of first appearance; None is missing.

    >>> categorical(["a", None, "b", "a"]).codes.tolist()
    [0, -1, 1, 0]
    """
    index: dict[str, int] = {}
    codes = [-1 if value is None else index.setdefault(value, len(index)) for value in values]
    return Categorical(np.array(codes, dtype=np.int32), tuple(index))


def rows_of(columns: Columns) -> int:
    """Number of rows.

    Raises:
        DataError: columns of different lengths, or of a type that is neither a number nor a category.
    """
    length: int | None = None
    first = ""
    for name, column in columns.items():
        check_column(name, column)
        if length is None:
            length, first = len(column), name
        elif len(column) != length:
            raise DataError(f"column '{name}' has {len(column)} rows, but '{first}' has {length}")
    return length or 0


def check_column(name: str, column: object) -> None:
    """Raises DataError where the column is not one-dimensional float64 or a sound Categorical."""
    if isinstance(column, Categorical):
        codes = column.codes
        if codes.ndim != 1 or codes.dtype.kind != "i":
            raise DataError(
                f"column '{name}': codes must be a one-dimensional integer array, found {codes.dtype}{codes.shape}"
            )
        if codes.size and (int(codes.max()) >= len(column.levels) or int(codes.min()) < -1):
            raise DataError(f"column '{name}': a code lies outside of -1 … {len(column.levels) - 1}")
    elif not isinstance(column, np.ndarray) or column.ndim != 1 or column.dtype != np.float64:
        found = f"{column.dtype}{column.shape}" if isinstance(column, np.ndarray) else type(column).__name__
        raise DataError(
            f"column '{name}' must be a one-dimensional float64 array or a Categorical, found {found}; "
            "use trimtab.frames.columns_of to convert a table"
        )


def take_rows(columns: Columns, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> dict[str, Column]:
    """The chosen rows of every column."""
    return {
        name: column.take(rows) if isinstance(column, Categorical) else column[rows] for name, column in columns.items()
    }
