"""Plain tables with a mapping of their columns, and tables of labels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.adapters.foreign.outputs import answer_of, class_text
from trimtab.adapters.foreign.records import Answered, Place
from trimtab.core.domain.errors import DataError, NotFoundError, UserError
from trimtab.core.domain.times import parse_time

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Mapping:
    """Which column of a table is what."""

    id: str
    time: str
    scores: tuple[str, ...] = ()
    """One for each class, or one: the score of the second of two."""
    prediction: str | None = None
    label: str | None = None
    label_time: str | None = None
    event_time: str | None = None
    ignore: tuple[str, ...] = ()

    @property
    def taken(self) -> frozenset[str]:
        """Columns that are no inputs."""
        named = (self.id, self.time, *self.scores, self.prediction, self.label, self.label_time, self.event_time)
        return frozenset(name for name in (*named, *self.ignore) if name is not None)


@dataclass(frozen=True, slots=True)
class Rows:
    """Answered rows of a table."""

    mapping: Mapping
    classes: tuple[str, ...]
    regression: bool

    def of(self, path: Path) -> Iterator[Answered]:
        """Raises DataError with file and row for a column that is not there or a value that does not fit."""
        for start, batch in _batches(path):
            self._check(path, batch.schema.names)
            for at, record in enumerate(batch.to_pylist(), start):
                try:
                    yield self._row(record)
                except DataError as error:
                    raise DataError(f"{Place(str(path), at)}: {error}") from None

    def _check(self, path: Path, names: list[str]) -> None:
        from trimtab.frames.convert import missing_text

        for name in sorted(self.mapping.taken - set(self.mapping.ignore)):
            if name not in names:
                raise DataError(f"{path}: {missing_text(name, names)}")

    def _row(self, record: dict[str, Any]) -> Answered:
        m = self.mapping
        identity = record[m.id]
        if identity is None or identity == "":
            raise DataError(f"column '{m.id}' holds no id")
        at = moment(record[m.time], m.time)
        event_time = at if m.event_time is None else moment(record[m.event_time], m.event_time)
        if m.scores:
            values = [record[name] for name in m.scores]
            scores, prediction = answer_of(values if len(values) > 1 else values[0], self.classes, self.regression)
            if m.prediction is not None and record[m.prediction] is not None:
                prediction = record[m.prediction] if self.regression else class_text(record[m.prediction])
        else:
            assert m.prediction is not None  # noqa: S101  the command asks for one of both
            scores, prediction = answer_of(record[m.prediction], self.classes, self.regression)
        inputs = {name: _plain(value) for name, value in record.items() if name not in m.taken}
        label = record[m.label] if m.label is not None else None
        label_time = record[m.label_time] if m.label_time is not None else None
        known = None if label_time is None else moment(label_time, str(m.label_time))
        return Answered(class_text(identity), at, event_time, inputs, scores, prediction, _absent(label), known)


def label_rows(
    path: Path, identity: str, label: str, time: str | None, regression: bool, now: float
) -> list[tuple[str, Any, float]]:
    """(id, label, when it became known) of each row that has a label.

    Raises:
        DataError: a column that is not there, or a value that does not fit; file and row are named.
    """
    from trimtab.frames.convert import missing_text

    out = []
    for start, batch in _batches(path):
        for name in (identity, label, time):
            if name is not None and name not in batch.schema.names:
                raise DataError(f"{path}: {missing_text(name, batch.schema.names)}")
        for at, record in enumerate(batch.to_pylist(), start):
            value = _absent(record[label])
            if value is None:
                continue
            try:
                known = now if time is None or record[time] is None else moment(record[time], time)
                out.append((class_text(record[identity]), _label(value, regression), known))
            except DataError as error:
                raise DataError(f"{Place(str(path), at)}: {error}") from None
    return out


def _label(value: Any, regression: bool) -> Any:
    if not regression:
        return class_text(value)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise DataError(f"the label {str(value)[:40]!r} is no number") from None


def moment(value: Any, column: str) -> float:
    """Seconds since the epoch of a time in any usual form; without a zone it is UTC.

    Numbers are seconds, or milliseconds, micro- or nanoseconds by their size.

    Raises:
        DataError: no time.
    """
    if isinstance(value, datetime):
        return (value if value.tzinfo is not None else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        size = abs(float(value))
        unit = next((unit for limit, unit in ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6)) if size < limit), 1e9)
        return float(value) / unit
    if isinstance(value, str):
        try:
            return parse_time(value)
        except UserError as error:
            raise DataError(f"column '{column}': {error}") from None
    raise DataError(f"column '{column}' holds no time: {str(value)[:40]!r}")


def _absent(value: Any) -> Any:
    return None if value is None or value == "" or (isinstance(value, float) and value != value) else value


def _plain(value: Any) -> Any:
    """A value of a cell as an input of the log: numbers, truth values, text; times as seconds."""
    if isinstance(value, datetime | date):
        return moment(value, "")
    return value if value is None or isinstance(value, int | float | str | bool) else str(value)


def _batches(path: Path) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Number of the first row (1-based) and rows."""
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    if not path.exists():
        raise NotFoundError(f"there is no file {path}")
    first = 1
    try:
        if path.suffix == ".parquet":
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=BATCH_ROWS):
                    yield first, batch
                    first += batch.num_rows
        elif path.name.endswith((".csv", ".csv.gz")):
            options = pc.ConvertOptions(strings_can_be_null=True)
            for batch in pc.read_csv(path, convert_options=options).to_batches(BATCH_ROWS):
                yield first, batch
                first += batch.num_rows
        else:
            raise DataError(f"{path}: a table is a .parquet, .csv or .csv.gz file")
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
