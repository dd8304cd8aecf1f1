"""From the columns of a request to the float64 matrix of a compiled model: ``encoder.json``.

The fitted preprocessing is written down as tables and arithmetic, so that neither scikit-learn nor pandas is needed to
serve it and every number is the one that scikit-learn computes (same operations, same order, float64).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from trimtab.core.domain.errors import DataError, IntegrityError
from trimtab.serving.package import Signature
from trimtab.serving.runtimes.base import Columns, Value

ENCODER = "encoder.json"

Matrix = npt.NDArray[np.float64]


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One operation on each column of a block; ``fill`` replaces missing values, null leaves them."""

    op: Literal["fill", "add", "subtract", "multiply", "divide"]
    values: tuple[float | None, ...]


class Numbers(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="numbers", tag_field="kind"):
    """Inputs taken as numbers, one matrix column each."""

    inputs: tuple[str, ...]
    steps: tuple[Step, ...] = ()


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="table", tag_field="kind"):
    """One input looked up: each known value gives a row of ``width`` numbers (null is NaN)."""

    input: str
    width: int
    keys: tuple[str | float, ...]
    rows: tuple[tuple[float | None, ...], ...]
    unknown: tuple[float | None, ...] | None
    """The row of any other value; null where the trained model refuses it."""
    missing: tuple[float | None, ...] | None
    """The row of a missing value; null where the trained model refuses it."""


class EncoderSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of ``encoder.json``."""

    blocks: tuple[Numbers | Table, ...]
    """Side by side they make the matrix."""
    steps: tuple[Step, ...] = ()
    """Applied to the whole matrix after the blocks."""
    cast: Literal["float64", "float32"] = "float64"
    """``float32``: rounded to it (scikit-learn's forests round their inputs so), then held as float64."""
    nan: bool = True
    """Whether the model takes NaN in the finished matrix."""
    format: Literal[1] = 1


class Encoder:
    """Executes an ``EncoderSpec`` for a signature. Immutable, so safe to share between threads."""

    def __init__(self, spec: EncoderSpec, signature: Signature) -> None:
        position = {name: index for index, name in enumerate(signature.names)}
        named = [name for block in spec.blocks for name in _inputs(block)]
        unknown = sorted(set(named) - position.keys())
        if unknown:
            raise IntegrityError(f"{ENCODER} uses inputs that signature.json does not have: {', '.join(unknown)}")
        self.width = sum(_width(block) for block in spec.blocks)
        self._spec = spec
        self._lookups = [_Lookup(block) if isinstance(block, Table) else None for block in spec.blocks]
        self._steps = list(_compile_steps(spec))
        numbers = all(isinstance(block, Numbers) for block in spec.blocks)
        self._in_order = numbers and tuple(named) == signature.names
        """A row's values are the matrix's row."""
        self.plain = self._in_order and not self._steps
        """A row's values, rounded to ``single`` where that is so, are what the model takes."""
        self.single = spec.cast == "float32"
        self._gather = self._row_plan(position)
        self._ones = np.ones(self.width)

    def matrix(self, columns: Columns) -> Matrix:
        """(n, width), C order.

        Raises:
            DataError: an input is not there, lengths differ, or a value is missing or unknown that the model refuses.
        """
        n = _length(columns, [name for block in self._spec.blocks for name in _inputs(block)])
        out = np.empty((n, self.width), dtype=np.float64)
        start = 0
        for block, lookup in zip(self._spec.blocks, self._lookups, strict=True):
            if lookup is not None and isinstance(block, Table):
                out[:, start : start + block.width] = lookup.batch(columns[block.input])
            elif isinstance(block, Numbers):
                for offset, name in enumerate(block.inputs):
                    out[:, start + offset] = columns[name]
            start += _width(block)
        return self._finish(out)

    def row(self, values: Sequence[Value]) -> Matrix:
        """(1, width) of one row in the signature's order. Raises as ``matrix`` does."""
        return self._finish(np.array((self._gather(values),), dtype=np.float64))

    def rows(self, rows: Sequence[Sequence[Value]]) -> Matrix:
        """(n, width) of rows in the signature's order. Raises as ``matrix`` does."""
        return self._finish(np.array(list(map(self._gather, rows)), dtype=np.float64))

    def numbers(self, inputs: Matrix) -> Matrix:
        """(n, width) of a matrix (n, inputs) in the signature's order, which is not written to."""
        if self._in_order:
            return self._finish(inputs.copy() if self._steps else inputs)
        return self._finish(np.array([self._gather(row) for row in inputs.tolist()], dtype=np.float64))

    def _finish(self, out: Matrix) -> Matrix:
        for step in self._steps:
            step(out)
        if self._spec.cast == "float32":
            out = out.astype(np.float32).astype(np.float64)
        if not self._spec.nan:
            total = out.sum()
            if total != total and np.isnan(out).any():
                raise DataError(f"input {self._name(out)} is missing; the model was trained without missing values")
        return out

    def _name(self, out: Matrix) -> str:
        column = int(np.flatnonzero(np.isnan(out).any(axis=0))[0])
        names = [name for block in self._spec.blocks for name in _column_names(block)]
        return f"'{names[column]}'"

    def _row_plan(self, position: dict[str, int]) -> Callable[[Sequence[Value]], Sequence[Any]]:
        """A function from the row's values to the numbers before the steps; as little work as the blocks allow."""
        if self._in_order:
            return lambda values: values
        if all(isinstance(block, Numbers) for block in self._spec.blocks):
            indices = [position[name] for block in self._spec.blocks for name in _inputs(block)]
            return lambda values: [values[index] for index in indices]
        plan: list[tuple[int, _Lookup | None]] = []
        for block, lookup in zip(self._spec.blocks, self._lookups, strict=True):
            plan.extend((position[name], lookup) for name in _inputs(block))

        def gather(values: Sequence[Value]) -> list[Any]:
            out: list[Any] = []
            for index, lookup in plan:
                if lookup is None:
                    out.append(values[index])
                else:
                    out.extend(lookup.one(values[index]))
            return out

        return gather


class _Lookup:
    """A ``Table`` as a dictionary, and as an array indexed by position (last but one: unknown, last: missing)."""

    def __init__(self, table: Table) -> None:
        refused: tuple[float | None, ...] = (None,) * table.width
        rows = [*table.rows, table.unknown or refused, table.missing or refused]
        self._table = table
        self._array = np.array(rows, dtype=np.float64).reshape(len(rows), table.width)
        self._index = {key: index for index, key in enumerate(table.keys)}
        self._unknown, self._missing = len(table.keys), len(table.keys) + 1
        self._rows: dict[Value, tuple[float, ...]] = {
            key: tuple(self._array[index].tolist()) for key, index in self._index.items()
        }
        if table.missing is not None:
            self._rows[None] = tuple(self._array[self._missing].tolist())

    def one(self, value: Value) -> tuple[float, ...]:
        row = self._rows.get(value)
        return row if row is not None else self._rare(value)

    def batch(self, column: npt.NDArray[np.generic]) -> Matrix:
        positions: npt.NDArray[np.intp] = np.fromiter(
            map(self._index.get, column.tolist(), repeat(self._unknown)), dtype=np.intp, count=len(column)
        )
        if column.dtype == object:
            missing = np.fromiter((value is None or value != value for value in column), dtype=bool, count=len(column))
        else:
            missing = np.isnan(column)
        positions[missing] = self._missing
        for refused, at in ((self._table.unknown, self._unknown), (self._table.missing, self._missing)):
            if refused is None and (positions == at).any():
                self._rare(column[int(np.argmax(positions == at))])
        found: Matrix = self._array[positions]
        return found

    def _rare(self, value: Value | np.generic) -> tuple[float, ...]:
        """The row of a missing or unknown value, or the error that the model does not take it."""
        missing = value is None or value != value
        if (self._table.missing if missing else self._table.unknown) is None:
            if missing:
                raise DataError(f"input '{self._table.input}' is missing; the model was trained without missing values")
            raise DataError(f"input '{self._table.input}' has the value {value!r}, which the model does not know")
        return tuple(self._array[self._missing if missing else self._unknown].tolist())


def read_encoder(directory: Path, signature: Signature) -> Encoder:
    """The package's encoder.

    Raises:
        IntegrityError: ``encoder.json`` is not of the format or does not fit the signature.
    """
    path = directory / ENCODER
    try:
        spec = msgspec.json.decode(path.read_bytes(), type=EncoderSpec)
    except (OSError, msgspec.DecodeError) as error:
        raise IntegrityError(f"{path}: {error}") from error
    return Encoder(spec, signature)


def write_encoder(directory: Path, spec: EncoderSpec) -> None:
    """Write ``encoder.json``."""
    (directory / ENCODER).write_bytes(msgspec.json.encode(spec) + b"\n")


def _inputs(block: Numbers | Table) -> tuple[str, ...]:
    return block.inputs if isinstance(block, Numbers) else (block.input,)


def _width(block: Numbers | Table) -> int:
    return len(block.inputs) if isinstance(block, Numbers) else block.width


def _column_names(block: Numbers | Table) -> tuple[str, ...]:
    return block.inputs if isinstance(block, Numbers) else (block.input,) * block.width


def _length(columns: Columns, names: Sequence[str]) -> int:
    lengths = {}
    for name in names:
        if name not in columns:
            raise DataError(f"input '{name}' is not there; found {', '.join(sorted(columns)) or 'no columns'}")
        lengths[name] = len(columns[name])
    if len(set(lengths.values())) > 1:
        raise DataError(f"inputs differ in length: {', '.join(f'{name} {n}' for name, n in lengths.items())}")
    return next(iter(lengths.values()), 0)


def _compile_steps(spec: EncoderSpec) -> Iterator[Callable[[Matrix], None]]:
    start = 0
    for block in spec.blocks:
        stop = start + _width(block)
        for step in block.steps if isinstance(block, Numbers) else ():
            yield _compile_step(step, slice(start, stop))
        start = stop
    for step in spec.steps:
        yield _compile_step(step, slice(0, start))


def _compile_step(step: Step, where: slice) -> Callable[[Matrix], None]:
    values = np.array(step.values, dtype=np.float64)
    if len(values) != where.stop - where.start:
        raise IntegrityError(
            f"{ENCODER}: step {step.op} has {len(values)} values for {where.stop - where.start} columns"
        )
    if step.op == "fill":

        def fill(out: Matrix) -> None:
            part = out[:, where]
            np.copyto(part, values, where=np.isnan(part))

        return fill
    function = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide}[step.op]

    def apply(out: Matrix) -> None:
        part = out[:, where]
        function(part, values, out=part)

    return apply
