"""A quick way to the bins of many numbers: a uniform grid of cells over the edges.

The cell of a value grows with the value (every step of its computation rounds monotonely), so a cell without an edge
lies in one bin, and its rows need no search. Rows in a cell with an edge, and beyond the grid, are looked at one by
one. Counts are exactly those of a binary search.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from trimtab.core.profiles.columns import Numbers

CELLS = 8192
"""Of a grid, without the two for what lies below and above it."""
ROWS_MIN = 16_384
"""Rows from which a grid pays."""
SEARCH = 6.0
"""What a search costs, in comparisons with one edge."""
TRIMS = (0, 1, 2, 4, 8, 16)
"""Edges that may be left out at either end, so that a far outlier does not stretch the cells."""


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The cells of one feature's edges."""

    edges: Numbers
    """(m,) ascending."""
    centre: float
    scale: float
    offset: np.float32
    busy: NDArray[np.bool_]
    """(CELLS + 2,) the cell holds an edge or zero, or is the one below or above the grid."""
    home: NDArray[np.intp]
    """(CELLS + 2,) bin of what lies in the cell below its edges; -1: more than two edges, search."""
    first: Numbers
    """(CELLS + 2,) the cell's first edge; NaN without one."""
    second: Numbers
    """(CELLS + 2,) the cell's second edge (a value that ties has two); NaN without one."""
    zero: int
    """Cell of 0.0."""


@dataclass(slots=True)
class Workspace:
    """Arrays that are used again for every column of a batch: fresh memory costs more than the arithmetic."""

    rows: int
    centred: Numbers = field(init=False)
    position: NDArray[np.float32] = field(init=False)
    small: NDArray[np.int32] = field(init=False)
    cells: NDArray[np.intp] = field(init=False)
    busy: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.centred = np.empty(self.rows)
        self.position = np.empty(self.rows, dtype=np.float32)
        self.small = np.empty(self.rows, dtype=np.int32)
        self.cells = np.empty(self.rows, dtype=np.intp)
        self.busy = np.empty(self.rows, dtype=np.bool_)


def grid_of(edges: Numbers, centre: float) -> Grid | None:
    """The grid over the stretch of edges that leaves the fewest rows to be looked at; None where no grid helps."""
    best, span = np.inf, (0.0, 0.0)
    for trim in TRIMS:
        if len(edges) < 2 * trim + 2:
            break
        low, high = float(edges[trim]), float(edges[-1 - trim])
        with np.errstate(over="ignore"):
            left = _left_over(edges, trim, high - low)
        if left < best:
            best, span = left, (low, high)
    if not best < np.inf:
        return None
    scale = CELLS / (span[1] - span[0])
    offset = np.float32(1.0 - (span[0] - centre) * scale)
    size = CELLS + 2
    busy, home = np.zeros(size, dtype=np.bool_), np.zeros(size, dtype=np.intp)
    grid = Grid(edges, centre, scale, offset, busy, home, np.full(size, np.nan), np.full(size, np.nan), 0)
    cells, zero = cells_of(grid, edges), int(cells_of(grid, np.zeros(1))[0])
    busy[[0, 1, -2, -1, zero]] = True
    busy[cells] = True
    home[:] = np.searchsorted(cells, np.arange(size), side="left")
    start = np.flatnonzero(np.diff(cells, prepend=-1) > 0)
    grid.first[cells[start]] = edges[start]
    again = start[np.append(cells, -1)[start + 1] == cells[start]] + 1
    grid.second[cells[again]] = edges[again]
    home[np.bincount(cells, minlength=size) > 2] = -1
    return replace(grid, zero=zero)


def _left_over(edges: Numbers, trim: int, reach: float) -> float:
    """What the rows cost that are looked at one by one, if every bin held as many rows as any other."""
    if not 0 < reach < np.inf or not CELLS / reach < np.inf:
        return float("inf")
    widths = np.diff(edges)[trim : len(edges) - 1 - trim] * (CELLS / reach)
    tied = (edges[1:] == np.nextafter(edges[:-1], np.inf))[trim : len(edges) - 1 - trim]
    each = np.where(tied, 1.0, np.where(widths > 1, 1 / np.maximum(widths, 1.0), SEARCH))
    return float(each.sum() + 2 * trim * SEARCH) / len(edges)


def cells_of(grid: Grid, values: Numbers, work: Workspace | None = None) -> NDArray[np.intp]:
    """(n,) cell of each value, 0 below the grid and CELLS + 1 above it; no value may be NaN.

    Leaves ``values - centre`` in ``work.centred``.
    """
    size = len(values)
    work = Workspace(size) if work is None else work
    centred, position = work.centred[:size], work.position[:size]
    with np.errstate(over="ignore", invalid="ignore"):
        np.subtract(values, grid.centre, out=centred)
        np.multiply(centred, grid.scale, out=position, casting="same_kind")
        np.add(position, grid.offset, out=position)
    np.clip(position, np.float32(0), np.float32(CELLS + 1), out=position)
    np.copyto(work.small[:size], position, casting="unsafe")
    np.copyto(work.cells[:size], work.small[:size])
    return work.cells[:size]


def count_bins(grid: Grid, values: Numbers, work: Workspace) -> tuple[NDArray[np.int64], int]:
    """Rows in each of the m + 1 bins, and how many are 0; no value may be NaN. Leaves ``values - centre`` in the
    workspace.
    """
    size, bins = len(values), len(grid.edges) + 1
    cells = cells_of(grid, values, work)
    in_cell = np.bincount(cells, minlength=CELLS + 2)
    busy = work.busy[:size]
    np.take(grid.busy, cells, out=busy, mode="clip")
    rest = np.flatnonzero(busy)
    apart = cells[rest]
    in_cell -= np.bincount(apart, minlength=CELLS + 2)
    counts = np.bincount(np.maximum(grid.home, 0), weights=in_cell, minlength=bins).astype(np.int64)
    found = values[rest]
    counts += np.bincount(_looked_up(grid, found, apart), minlength=bins)
    return counts, len(found) - int(np.count_nonzero(found))


def bins_of(grid: Grid, values: Numbers) -> NDArray[np.intp]:
    """(n,) bin of each value; no value may be NaN."""
    cells = cells_of(grid, values)
    codes = grid.home[cells]
    rest = np.flatnonzero(grid.busy[cells])
    codes[rest] = _looked_up(grid, values[rest], cells[rest])
    return codes


def _looked_up(grid: Grid, values: Numbers, cells: NDArray[np.intp]) -> NDArray[np.intp]:
    """(n,) bin of values in busy cells: compared with the cell's edges, searched where it has more than two."""
    home = grid.home[cells]
    codes = home + (values >= grid.first[cells]) + (values >= grid.second[cells])
    search = np.flatnonzero(home < 0)
    codes[search] = np.searchsorted(grid.edges, values[search], side="right")
    return codes
