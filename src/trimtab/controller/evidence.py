"""Predictions and labels joined by id, as they come and in any order: losses of each version on each row.

Kept in memory for rows younger than the horizon; everything in it can be read again from the log.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

SCORE = "y.score."
LABEL_MAX = 1e100
"""A regression label beyond it (a sentinel, a slip) is counted as an orphan: its square would be infinite."""
AHEAD_S = 86_400.0
"""How far a request's event time may lie after its arrival: clocks and zones differ by less than a day."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A row scored by one version whose label is known."""

    id: str
    version: int
    event_time: float
    known_at: float
    """By the project's clock: label time (event clock) or the label's arrival (wall clock)."""
    generation: int
    shadow: bool
    scores: tuple[float, ...] | None
    """One per class; None for regression."""
    value: float
    """Predicted value for regression, else NaN."""
    label: float
    """Index of the class, or the value."""

    def loss(self, scale: float) -> float:
        """In [0, 1]: half the Brier score over classes ((p - y)² for two), or the absolute error over ``scale``,
        capped at 1.
        """
        if self.scores is None:
            return min(abs(self.value - self.label) / scale, 1.0) if scale > 0 else 0.0
        return sum((score - (k == self.label)) ** 2 for k, score in enumerate(self.scores)) / 2.0


@dataclass(frozen=True, slots=True)
class Answered:
    """Answered rows of one read, as arrays of equal length."""

    clock: NDArray[np.float64]
    event_time: NDArray[np.float64]
    version: NDArray[np.int64]
    generation: NDArray[np.int64]
    latency_ms: NDArray[np.float64]
    error: NDArray[np.bool_]
    invalid: NDArray[np.bool_]

    def where(self, chosen: NDArray[np.bool_]) -> Answered:
        """These rows alone; ``chosen`` has shape (rows,)."""
        return Answered(**{each.name: getattr(self, each.name)[chosen] for each in fields(self)})


@dataclass(slots=True)
class Evidence:
    """The join. ``event_clock``: whether the project's clock is the event time."""

    event_clock: bool
    classes: tuple[str, ...] | None = None
    """Texts of the classes in the order of the score columns, learned from the log."""
    _scored: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    _labels: dict[str, tuple[Any, float]] = field(default_factory=dict)
    orphans: int = 0
    """Labels of classes that no version knows, or beyond all measure."""

    def add(self, predictions: pa.Table, labels: pa.Table) -> list[Labelled]:
        """Take new rows of the log; returns what became labelled by them."""
        fresh: list[Labelled] = []
        for row_id, scored in self._rows(predictions):
            self._scored.setdefault(row_id, []).append(scored)
            if row_id in self._labels:
                fresh.extend(self._join(row_id, [scored]))
        known = "label_time" if self.event_clock else "time"
        for row_id, label, at in zip(
            labels.column("prediction_id").to_pylist(),
            labels.column("label").to_pylist(),
            seconds(labels.column(known)),
            strict=True,
        ):
            if row_id in self._labels:
                continue
            self._labels[row_id] = (label, float(at))
            if row_id in self._scored:
                fresh.extend(self._join(row_id, self._scored[row_id]))
        return fresh

    def forget(self, before: float) -> None:
        """Drop rows whose event time lies before: their labels would come too late to matter."""
        old = [row_id for row_id, rows in self._scored.items() if rows[0][1] < before]
        for row_id in old:
            del self._scored[row_id]
            self._labels.pop(row_id, None)

    def _rows(self, table: pa.Table) -> Iterator[tuple[str, tuple[Any, ...]]]:
        names = [name for name in table.column_names if name.startswith(SCORE)]
        if names:
            self.classes = tuple(name.removeprefix(SCORE) for name in names)
            scores = np.column_stack([floats(table.column(name)) for name in names])
            values = np.full(table.num_rows, np.nan)
        else:
            scores = np.empty((table.num_rows, 0))
            values = floats(table.column("y.prediction")) if self._numeric(table) else np.full(table.num_rows, np.nan)
        columns = zip(
            table.column("prediction_id").to_pylist(),
            table.column("version").to_pylist(),
            seconds(table.column("event_time")).tolist(),
            table.column("generation").to_pylist(),
            table.column("shadow").to_pylist(),
            scores.tolist(),
            values.tolist(),
            strict=True,
        )
        for row_id, version, event_time, generation, shadow, score, value in columns:
            yield row_id, (version, event_time, generation, shadow, tuple(score) if names else None, value)

    @staticmethod
    def _numeric(table: pa.Table) -> bool:
        import pyarrow as pa

        return "y.prediction" in table.column_names and pa.types.is_floating(table.schema.field("y.prediction").type)

    def _join(self, row_id: str, rows: list[tuple[Any, ...]]) -> Iterator[Labelled]:
        text, at = self._labels[row_id]
        label = self._index(text)
        if label is None:
            self.orphans += 1
            return
        for version, event_time, generation, shadow, scores, value in rows:
            valid = all(score == score for score in scores) if scores is not None else value == value
            if valid:
                yield Labelled(row_id, version, event_time, at, generation, shadow, scores, value, label)

    def _index(self, label: Any) -> float | None:
        if self.classes is None:
            return float(label) if isinstance(label, int | float) and abs(label) <= LABEL_MAX else None
        return float(self.classes.index(label)) if label in self.classes else None


def answered(predictions: pa.Table, event_clock: bool, *, shadow: bool = False) -> Answered:
    """The rows that callers got (or those scored in shadow), for counting requests, errors and latencies."""
    import pyarrow.compute as pc

    scored_in_shadow = predictions.column("shadow")
    table = predictions.filter(scored_in_shadow if shadow else pc.invert(scored_in_shadow))
    error = np.asarray(pc.is_valid(table.column("error")), dtype=bool)
    names = [name for name in table.column_names if name.startswith(SCORE)]
    bad = np.zeros(table.num_rows, dtype=bool)
    for name in names:
        bad |= ~np.isfinite(floats(table.column(name)))
    event_time = seconds(table.column("event_time"))
    return Answered(
        clock=event_time if event_clock else seconds(table.column("time")),
        event_time=event_time,
        version=np.asarray(table.column("version"), dtype=np.int64),
        generation=np.asarray(table.column("generation"), dtype=np.int64),
        latency_ms=floats(table.column("latency_ms")),
        error=error,
        invalid=bad & ~error,
    )


def seconds(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Seconds since the epoch of a timestamp column; NaN where missing."""
    return floats(micros_of(column)) / 1e6


def believable(predictions: pa.Table) -> pa.Table:
    """Event times that lie more than ``AHEAD_S`` after the arrival become the arrival.

    Only for a project on the wall clock: there a request that claims to come from the year 9999 is a client's mistake,
    and believing it would close every block and forget every row.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    claimed, arrived = predictions.column("event_time"), predictions.column("time")
    ahead = pc.greater(pc.subtract(micros_of(claimed), micros_of(arrived)), int(AHEAD_S * 1e6))
    if not pc.any(ahead).as_py():
        return predictions
    place = predictions.schema.get_field_index("event_time")
    kept = pc.if_else(pc.fill_null(ahead, False), micros_of(arrived), micros_of(claimed))
    return predictions.set_column(place, "event_time", kept.cast(pa.timestamp("us", tz="UTC")))


def micros_of(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Microseconds since the epoch of a timestamp column."""
    import pyarrow as pa

    return column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())


def floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """A numeric column as float64, NaN where missing; rounded where it is more than a float64 holds, as the first
    years of the calendar in microseconds."""
    import pyarrow as pa

    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
