"""Rows as they come in while a scenario is played: what was asked, what was true, and which label was told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trimtab.replay.drill.ground import ROW, TARGET, TIME, Floats, Ground
from trimtab.replay.incidents import Recipe, Stage

if TYPE_CHECKING:
    import pandas as pd
    from numpy.random import Generator  # noqa: TID251 - the type of an argument


@dataclass(slots=True, eq=False)
class Tape:
    """Rows in order of time."""

    name: str
    """Prefix of the prediction ids."""
    frame: pd.DataFrame
    at: Floats
    known_at: Floats
    """(n,) when the label is told."""
    truth: Floats
    """(n,) what came true."""
    told: Floats
    """(n,) what the label says."""
    entity: npt.NDArray[Any] | None
    _table: pa.Table | None = field(default=None, repr=False)

    @property
    def table(self) -> pa.Table:
        """The rows as Arrow, numbers as double and text as string whatever was put in."""
        if self._table is None:
            self._table = arrow(self.frame)
        return self._table

    def between(self, first_s: float, until_s: float) -> tuple[int, int]:
        """The rows with ``first_s <= at < until_s``."""
        low, high = np.searchsorted(self.at, [first_s, until_s], side="left")
        return int(low), int(high)

    def ids(self, low: int, high: int) -> list[str]:
        return [f"{self.name}{row:07d}" for row in range(low, high)]


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One scenario, ready to be played."""

    reference: Tape
    """What the first version is trained on."""
    broken: Tape
    clean: Tape
    """The same time without the incident."""
    recipe: str
    columns: tuple[str, ...]
    warm_up_only: bool = False
    """``clean`` says what is usual only before the onset: the rows since are other ones."""


def arrow(frame: pd.DataFrame) -> pa.Table:
    """A breakable frame as Arrow."""
    columns = {}
    for name in frame.columns:
        column = frame[name]
        if column.dtype == object:
            missing = column.isna().to_numpy()
            values = [None if gone else str(value) for gone, value in zip(missing, column, strict=True)]
            columns[str(name)] = pa.array(values, pa.string())
        else:
            columns[str(name)] = pa.Array.from_pandas(column)
    return pa.table(columns)


def scene(ground: Ground, recipe: Recipe, level: int, top: list[str], rng: Generator) -> Scene:
    """Break a copy.

    Raises:
        NotHereError: the table has no column for it.
    """
    frame = ground.frame.assign(**{TIME: ground.at, TARGET: ground.truth, ROW: np.arange(len(ground.at))})
    first, onset = ground.trained, ground.onset
    stage = Stage(
        rng,
        level,
        frame.iloc[:first].copy(),
        frame.iloc[first:onset].copy(),
        frame.iloc[onset:].copy(),
        2 * len(frame),
        top,
        len(ground.classes or ()),
        TIME,
        TARGET,
    )
    recipe.breaks(stage)
    before, after = stage.before, stage.after
    left_out = len(before) < onset - first
    return Scene(
        reference=_tape(ground, "t", stage.reference, labels_broken=False),
        broken=_joined(_tape(ground, "p", before, False), _tape(ground, "p", after, recipe.name == "labels")),
        clean=_tape(ground, "c", before if left_out else frame.iloc[first:], labels_broken=False),
        recipe=stage.recipe,
        columns=tuple(stage.columns) if recipe.names_columns else (),
        warm_up_only=left_out,
    )


def _tape(ground: Ground, name: str, frame: pd.DataFrame, labels_broken: bool) -> Tape:
    rows = frame[ROW].to_numpy()
    at = frame[TIME].to_numpy(dtype=np.float64)
    told = frame[TARGET].to_numpy(dtype=np.float64)
    return Tape(
        name,
        frame[list(ground.frame.columns)].astype(ground.frame.dtypes.to_dict()).reset_index(drop=True),
        at,
        at + ground.known_at[rows] - ground.at[rows],
        ground.truth[rows] if labels_broken else told,
        told,
        None if ground.entity is None else ground.entity[rows],
    )


def _joined(first: Tape, second: Tape) -> Tape:
    import pandas as pd

    def both(name: str) -> npt.NDArray[Any]:
        return np.concatenate([getattr(first, name), getattr(second, name)])

    return Tape(
        first.name,
        pd.concat([first.frame, second.frame], ignore_index=True),
        both("at"),
        both("known_at"),
        both("truth"),
        both("told"),
        None if first.entity is None else both("entity"),
    )
