"""Rows that both versions scored, labelled or not, as sums by look: how often they predict otherwise, and by how much
their scores differ. Memory: the rows whose other half has not been read yet (few: both are logged at once), and a
fixed size for each look.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trimtab.controller.evidence import SCORE, floats, seconds
from trimtab.core.profiles.pairs import Compared, differences

if TYPE_CHECKING:
    import pyarrow as pa

WAITING_MAX = 50_000
"""Rows without their other half that are kept; the oldest go first."""

_Half = tuple[int, float, tuple[float, ...]]
"""(version, clock, scores by class; the value alone for regression)."""


@dataclass(slots=True)
class Agreement:
    """The join of both versions' scores by prediction id."""

    champion: int
    challenger: int
    first_generation: int
    look_s: float
    cells: dict[int, Compared] = field(default_factory=dict)
    """By the place of the look: ``clock // look_s``."""
    _waiting: dict[str, _Half] = field(default_factory=dict)

    def add(self, predictions: pa.Table, *, event_clock: bool, scale: float) -> None:
        """New rows of the log.

        Args:
            predictions: as in docs/formats.md.
            event_clock: whether the project's clock is the event time.
            scale: for regression, the difference that counts as 1 (``evidence.loss_scale``).
        """
        table = self._ours(predictions)
        if not table.num_rows:
            return
        names = [name for name in table.column_names if name.startswith(SCORE)]
        columns = [floats(table.column(name)) for name in names or ["y.prediction"]]
        scores = np.column_stack(columns)
        clock = seconds(table.column("event_time" if event_clock else "time"))
        usable: list[bool] = np.asarray(np.isfinite(scores).all(axis=1), dtype=bool).tolist()
        pairs = self._join(
            zip(
                table.column("prediction_id").to_pylist(),
                table.column("version").to_pylist(),
                clock.tolist(),
                map(tuple, scores.tolist()),
                usable,
                strict=True,
            )
        )
        if pairs:
            at, ours, theirs = zip(*pairs, strict=True)
            self._sum(np.array(at), np.array(ours), np.array(theirs), scale if not names else None)

    def _ours(self, predictions: pa.Table) -> pa.Table:
        """Rows of the two versions since the comparison began that are no errors; none where they hold no score."""
        import pyarrow as pa
        import pyarrow.compute as pc

        scored = any(name.startswith(SCORE) for name in predictions.column_names)
        numeric = "y.prediction" in predictions.column_names and pa.types.is_floating(
            predictions.schema.field("y.prediction").type
        )
        if not (scored or numeric):
            return predictions.slice(0, 0)
        version = np.asarray(predictions.column("version"), dtype=np.int64)
        generation = np.asarray(predictions.column("generation"), dtype=np.int64)
        fine = np.asarray(pc.is_null(predictions.column("error")), dtype=bool)
        chosen = fine & np.isin(version, (self.champion, self.challenger)) & (generation >= self.first_generation)
        return predictions.filter(pa.array(chosen))

    def _join(self, rows: zip[tuple[str, int, float, tuple[float, ...], bool]]) -> list[tuple[float, object, object]]:
        """(clock, champion's scores, challenger's scores) of rows whose second half came."""
        pairs: list[tuple[float, object, object]] = []
        for row_id, version, clock, scores, usable in rows:
            if not usable:
                continue
            other = self._waiting.pop(row_id, None)
            if other is None or other[0] == version or len(other[2]) != len(scores):
                self._waiting[row_id] = (version, clock, scores)
                continue
            at = max(clock, other[1])
            pairs.append((at, scores, other[2]) if version == self.champion else (at, other[2], scores))
        while len(self._waiting) > WAITING_MAX:
            del self._waiting[next(iter(self._waiting))]
        return pairs

    def _sum(
        self,
        at: NDArray[np.float64],
        ours: NDArray[np.float64],
        theirs: NDArray[np.float64],
        scale: float | None,
    ) -> None:
        each = differences(ours, theirs, scale)
        place = (at // self.look_s).astype(np.int64)
        for key in np.unique(place).tolist():
            self.cells.setdefault(key, Compared()).add(each.sum(place == key))

    def add_sums(self, at_s: float, compared: Compared) -> None:
        """Rows that the servers compared themselves."""
        self.cells.setdefault(int(at_s // self.look_s), Compared()).add(compared)
