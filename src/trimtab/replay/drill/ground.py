"""The user's history as a drill needs it: newest rows in order of time, in types that recipes can break.

By default whole blocks of time (days) change places by chance: each block's rows stay together, so that blocks differ
as much as they do in life, but nothing drifts except what the drill puts in. Without that nobody could say what the
right answer is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trimtab.core.domain.errors import DataError
from trimtab.serving.package import ClassValue
from trimtab.training import history
from trimtab.training.evaluate import encoded
from trimtab.training.fit import class_values, target_array

if TYPE_CHECKING:
    import pandas as pd
    from numpy.random import Generator  # noqa: TID251 - the type of an argument

    from trimtab.project.settings import Project

Floats = npt.NDArray[np.float64]
Order = Literal["blocks", "real"]
TIME, TARGET, ROW = "\0time", "\0target", "\0row"
"""Columns that a recipe gets beside the table's own; no column of a file has such a name."""
TRAINED = 0.4
"""Share of the rows that the first version is trained on; the others are played."""
CLEAN = 0.25
"""Share of the played rows before something happens."""
BLOCK_ROWS = 200
"""Rows of a block under which a long history is not thinned."""
ROWS_MIN = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """Labelled rows, oldest first."""

    project: Project
    root: Path
    frame: pd.DataFrame
    """(n, columns) features and slices: numbers float64, text object with None, times as they are."""
    features: tuple[str, ...]
    at: Floats
    """(n,) event time, seconds since the epoch."""
    known_at: Floats
    """(n,) when the label became known."""
    truth: Floats
    """(n,) position of the class, or the value."""
    classes: tuple[ClassValue, ...] | None
    entity: npt.NDArray[Any] | None
    trained: int
    """The first so many rows are what the first version is trained on."""
    onset: int
    """The row at which something happens."""
    rows_there: int
    """Rows of the history."""
    notes: tuple[str, ...]

    @property
    def block_s(self) -> float:
        return self.project.monitoring.block

    @property
    def onset_s(self) -> float:
        """When it happens, event time."""
        return float(self.at[self.onset])

    @property
    def end_s(self) -> float:
        return float(self.at[-1])

    def target_column(self, truth: Floats) -> pa.Array:
        """Class positions (or values) as a column of the history's target."""
        if self.classes is None:
            return pa.array(truth, pa.float64())
        return pa.array([self.classes[int(place)] for place in truth.tolist()])


def ground_of(project: Project, root: Path, rows_max: int, order: Order, rng: Generator) -> Ground:
    """Read the project's files.

    Args:
        rows_max: most rows; of a longer history the newest blocks are taken, thinned evenly.
        order: ``blocks`` lets whole blocks change places; ``real`` keeps the history's own order and drift.

    Raises:
        DataError: the files are not what the project says, or hold too few labelled rows.
    """
    loaded = history.load_history(root, project)
    if len(loaded.at) < ROWS_MIN:
        raise DataError(f"data.files hold {len(loaded.at):,} labelled rows; a drill needs at least {ROWS_MIN:,}")
    by_time = np.argsort(loaded.at, kind="stable")
    by_time = by_time[np.isfinite(loaded.known_at[by_time])]
    chosen, notes = _newest(loaded.at[by_time], project.monitoring.block, rows_max, project.monitoring.rows_min)
    rows = by_time[chosen]
    delay = np.maximum(loaded.known_at[rows] - loaded.at[rows], 0.0)
    at = loaded.at[rows]
    if order == "blocks":
        at = _shuffled(at, project.monitoring.block, rng)
        again = np.argsort(at, kind="stable")
        rows, delay, at = rows[again], delay[again], at[again]
    table = loaded.table.take(pa.array(rows)).combine_chunks()
    target = target_array(table, project.data.target)
    classes = tuple(class_values(table, project.data.target)) if project.task == "classification" else None
    kept = [name for name in table.column_names if name in loaded.features or name in _looked_at(project)]
    trained = round(TRAINED * len(at))
    entity = project.data.entity
    return Ground(
        project=project,
        root=root,
        frame=_breakable(table.select(kept)),
        features=loaded.features,
        at=at,
        known_at=at + delay,
        truth=target.astype(np.float64) if classes is None else encoded(target, classes),
        classes=classes,
        entity=None if entity is None else np.array([str(each) for each in table[entity].to_pylist()], dtype=object),
        trained=trained,
        onset=trained + round(CLEAN * (len(at) - trained)),
        rows_there=len(loaded.at),
        notes=(*notes, *_span_notes(at[trained:], project)),
    )


def _looked_at(project: Project) -> set[str]:
    return {*project.data.slices, *project.gates.fairness.columns}


def _newest(at: Floats, block_s: float, rows_max: int, rows_min: int) -> tuple[npt.NDArray[np.intp], list[str]]:
    """Places of the rows that are played, ascending; and what must be said of them."""
    if len(at) <= rows_max:
        return np.arange(len(at)), []
    blocks = max(20, rows_max // max(BLOCK_ROWS, 4 * rows_min))
    first = int(np.searchsorted(at, at[-1] - blocks * block_s, side="left"))
    first = min(first, len(at) - rows_max)
    inside = np.arange(first, len(at))
    kept = inside[np.unique(np.linspace(0, len(inside) - 1, rows_max).astype(int))]
    share = len(kept) / len(inside)
    thinned = f", every {1 / share:.1f}th of them: live traffic is that much more" if share < 0.95 else ""
    return kept, [f"the newest {len(inside):,} of {len(at):,} rows{thinned}"]


def _shuffled(at: Floats, block_s: float, rng: Generator) -> Floats:
    """Times with whole blocks exchanged, the first and the last in their place (they may be cut off)."""
    place = (at // block_s).astype(np.int64)
    there = np.unique(place)
    inner = there[1:-1]
    moved = dict(zip(inner.tolist(), rng.permutation(inner).tolist(), strict=True))
    shift = np.array([moved.get(int(each), int(each)) - int(each) for each in there], dtype=np.float64)
    return at + shift[np.searchsorted(there, place)] * block_s


def _span_notes(played: Floats, project: Project) -> list[str]:
    _, counts = np.unique(played // project.monitoring.block, return_counts=True)
    notes = []
    if len(counts) < 20:
        notes.append(
            f"what is played spans {len(counts)} blocks (monitoring.block); the loop needs some ten of them to see a "
            "change of quality"
        )
    if (median := float(np.median(counts))) < 50:
        notes.append(
            f"a block (monitoring.block) holds {median:g} rows; losses are judged from 50 labelled rows a block on, so "
            "a longer block would see what this one cannot"
        )
    return notes


def _breakable(table: pa.Table) -> pd.DataFrame:
    """Numbers and truths as float64, text as objects, times as they are."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for name in table.column_names:
        column = table[name]
        if pa.types.is_string(column.type):
            columns[name] = pd.Series(column.to_pylist(), dtype=object)
        elif pa.types.is_timestamp(column.type):
            columns[name] = column.to_pandas()
        else:
            numbers = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            columns[name] = np.array(numbers, dtype=np.float64)
    return pd.DataFrame(columns)
