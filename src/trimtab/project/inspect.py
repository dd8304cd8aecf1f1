"""Looks at data before there is a project: one pass over the files, a sample of the rows, figures for each column."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.core.domain.errors import DataError
from trimtab.project.tables import batches

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLE_ROWS = 100_000
"""Rows kept of the whole: enough that a share of one percent has a thousand of them, small enough for seconds."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column in figures, over all rows."""

    name: str
    type: pa.DataType
    nulls: int
    rows: int
    low: Any = None
    """Smallest value; None for booleans and where there is none."""
    high: Any = None
    distinct: int = 0
    """Different values in the sample."""
    ascending: bool = False
    """Never goes down over all rows (equal neighbours allowed)."""

    @property
    def missing(self) -> float:
        """Share of missing values."""
        return self.nulls / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of the data."""

    files: tuple[Path, ...]
    rows: int
    columns: dict[str, Column]
    sample: pa.Table
    """Every k-th row, at most ``SAMPLE_ROWS``, in the order of the files."""


class _Running:
    """A column's figures while batches pass by."""

    def __init__(self, field: pa.Field) -> None:
        import pyarrow as pa

        t = pa.types
        self.field = field
        kind = field.type
        self.ordered = t.is_timestamp(kind) or t.is_date(kind) or t.is_integer(kind) or t.is_floating(kind)
        self.nulls = 0
        self.low: Any = None
        self.high: Any = None
        self.last: Any = None
        self.ascending = self.ordered

    def add(self, values: pa.Array) -> None:
        import pyarrow.compute as pc

        self.nulls += values.null_count
        if not self.ordered or values.null_count == len(values):
            return
        ends = pc.min_max(values).as_py()
        self.low = ends["min"] if self.low is None else min(self.low, ends["min"])
        self.high = ends["max"] if self.high is None else max(self.high, ends["max"])
        if self.ascending:
            present = values.drop_null()
            down = pc.any(pc.less(present[1:], present[:-1])).as_py()
            self.ascending = not down and (self.last is None or present[0].as_py() >= self.last)
            self.last = present[-1].as_py()


class _Sample:
    """Every k-th row; k doubles whenever twice as many rows are kept as wanted."""

    def __init__(self, rows: int) -> None:
        self._wanted = rows
        self._step = 1
        self._seen = 0
        self._kept: list[pa.RecordBatch] = []
        self._rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        import pyarrow as pa

        first = -self._seen % self._step
        self._seen += batch.num_rows
        self._keep(batch, first)
        while self._rows > 2 * self._wanted:
            whole = pa.Table.from_batches(self._kept).combine_chunks()
            self._step *= 2
            self._kept, self._rows = [], 0
            for part in whole.to_batches():
                self._keep(part, 0, 2)

    def _keep(self, batch: pa.RecordBatch, first: int, step: int | None = None) -> None:
        import numpy as np

        chosen = np.arange(first, batch.num_rows, step or self._step)
        if len(chosen):
            self._kept.append(batch.take(chosen))
            self._rows += len(chosen)

    def table(self, schema: pa.Schema) -> pa.Table:
        import pyarrow as pa

        table = pa.Table.from_batches(self._kept, schema=schema).combine_chunks()
        if table.num_rows <= self._wanted:
            return table
        return table.take(list(range(0, table.num_rows, 2)))


def look(files: Sequence[Path], sample_rows: int = SAMPLE_ROWS) -> Look:
    """One pass over the files, batch by batch: memory does not grow with their size.

    Raises:
        DataError: a file cannot be read, has other columns than the first one, or there are no rows.
    """
    import pyarrow as pa

    schema: pa.Schema | None = None
    running: dict[str, _Running] = {}
    sample = _Sample(sample_rows)
    rows = 0
    for file in files:
        for batch in batches(file):
            if schema is None:
                schema = batch.schema.remove_metadata()
                _unique(schema.names, file)
                running = {field.name: _Running(field) for field in schema}
            batch = _fitting(batch, schema, file, files[0])
            rows += batch.num_rows
            for name, column in running.items():
                column.add(batch.column(name))
            sample.add(batch)
    if schema is None or rows == 0:
        raise DataError(f"{', '.join(file.name for file in files)} has no rows")
    table = sample.table(pa.schema(schema))
    return Look(tuple(files), rows, {name: _figures(column, rows, table) for name, column in running.items()}, table)


def _figures(column: _Running, rows: int, sample: pa.Table) -> Column:
    field = column.field
    distinct = len(sample[field.name].drop_null().unique()) if _hashable(field.type) else 0
    return Column(field.name, field.type, column.nulls, rows, column.low, column.high, distinct, column.ascending)


def _hashable(kind: pa.DataType) -> bool:
    from trimtab.project.check import is_feature_type

    return is_feature_type(kind)


def _unique(names: Iterable[str], file: Path) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(f"{file.name} has two columns named '{name}'")
        seen.add(name)


def _fitting(batch: pa.RecordBatch, schema: pa.Schema, file: Path, first: Path) -> pa.RecordBatch:
    """The batch with the first file's columns and types.

    Raises:
        DataError: naming the columns that differ.
    """
    import pyarrow as pa

    if batch.schema.equals(schema):
        return batch
    missing = [name for name in schema.names if name not in batch.schema.names]
    more = [name for name in batch.schema.names if name not in schema.names]
    if missing or more:
        parts = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has also {', '.join(more)}"] * bool(more)
        raise DataError(
            f"{file.name} {' and '.join(parts)}, compared with {first.name}; all files need the same columns"
        )
    columns = []
    for field in schema:
        try:
            columns.append(batch.column(field.name).cast(field.type))
        except pa.ArrowException as error:
            found = batch.schema.field(field.name).type
            text = f"column '{field.name}' is {found} in {file.name} but {field.type} in {first.name}"
            raise DataError(text) from error
    return pa.RecordBatch.from_arrays(columns, schema=schema)
