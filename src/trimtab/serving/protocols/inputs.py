"""Rows of a request, whatever protocol brought them, and their way into the types of a version's signature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.serving.net.http import RequestError
from trimtab.serving.package import InputSpec, Signature
from trimtab.serving.runtimes.base import Value

Column = Sequence[Any] | npt.NDArray[np.generic]
"""Values of one input as they came: JSON values, or an array from a binary body."""

FLOAT32_MAX = 3.4e38
TIME_MIN, TIME_MAX = -62135596800.0, 253402300799.0  # the years 1 to 9999

_NUMBERS = {float, int, bool, type(None)}


@dataclass(slots=True)
class Inputs:
    """n rows: columns by name, or one matrix in the order of the signature, and what goes with them."""

    rows: int
    named: dict[str, Column] = field(default_factory=dict)
    matrix: Column | None = None
    """Row-major, ``rows * width`` values; only where one tensor holds all features."""
    width: int = 0
    floats: bool = False
    """The matrix is a list of ``float | None``: nothing is left to check."""
    entities: list[str | None] | None = None
    event_times: list[float | None] | None = None
    ids: list[str] | None = None
    """Prediction ids that the client chose."""


def columns_of(inputs: Inputs, signature: Signature) -> dict[str, npt.NDArray[np.generic]]:
    """All columns of the signature as arrays of its types (``runtimes.base.Columns``).

    Raises:
        RequestError: a column is missing or holds what its type does not take; the input and the row are named.
    """
    if inputs.matrix is not None and inputs.width != len(signature.inputs):
        raise RequestError(
            400,
            f"the tensor has {inputs.width} columns, the model takes {len(signature.inputs)}: "
            f"{_short(signature.names)}",
        )
    return {spec.name: _column(inputs, index, spec) for index, spec in enumerate(signature.inputs)}


def row_of(inputs: Inputs, signature: Signature, all_floats: bool) -> list[Value]:
    """The values of a request of one row in the order of the signature."""
    if inputs.floats and inputs.width == len(signature.inputs) and all_floats:
        return inputs.matrix  # type: ignore[return-value]  # a list, as ``floats`` says
    return [column.tolist()[0] for column in columns_of(inputs, signature).values()]


def unusual(columns: dict[str, npt.NDArray[np.generic]], signature: Signature) -> str | None:
    """Why a model may fail on these rows without a fault of its own: what to tell the client. None: nothing found."""
    for spec in signature.inputs:
        column = columns[spec.name]
        if spec.type == "string":
            if not spec.nullable and any(value is None for value in column):
                return f"input '{spec.name}' is null; no row that the model was trained on lacked it"
            continue
        numbers = column.astype(np.float64)
        if not spec.nullable and np.isnan(numbers).any():
            return f"input '{spec.name}' is null; no row that the model was trained on lacked it"
        if (np.abs(numbers[~np.isnan(numbers)]) > FLOAT32_MAX).any():
            return f"input '{spec.name}' holds a number too large for the model"
    return None


def epoch_seconds(value: Any, where: str) -> float:
    """Seconds since the epoch of an ISO 8601 text (no zone: UTC) or a number of seconds."""
    if isinstance(value, str):
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            raise RequestError(
                400, f"{where}: '{_cut(value)}' is no time; send ISO 8601 (2013-06-01T12:00:00Z) or epoch seconds"
            ) from None
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
        return min(max(seconds, TIME_MIN), TIME_MAX)  # the first and last hours of other zones
    if isinstance(value, datetime):
        seconds = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value) if abs(value) < 1e300 else math.inf
    else:
        raise RequestError(400, f"{where}: expected a time (ISO 8601 or epoch seconds), found {describe(value)}")
    if not TIME_MIN <= seconds <= TIME_MAX:
        hint = "; are these milliseconds? send seconds" if math.isfinite(seconds) else ""
        raise RequestError(400, f"{where}: {_cut(str(value))} is outside the years 1 to 9999{hint}")
    return seconds


def describe(value: Any) -> str:
    """What was found, in the words of JSON.

    >>> describe("x"), describe([1]), describe(None)
    ("the text 'x'", 'a list', 'null')
    """
    if value is None:
        return "null"
    if isinstance(value, str):
        return f"the text '{_cut(value)}'"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {_cut(str(value))}"
    words: dict[type, str] = {list: "a list", dict: "an object", bytes: "bytes"}
    return words.get(type(value), type(value).__name__)


def _column(inputs: Inputs, index: int, spec: InputSpec) -> npt.NDArray[np.generic]:
    named = inputs.named.get(spec.name)
    values = named if inputs.matrix is None else inputs.matrix[index :: inputs.width]
    if values is None:
        if not spec.nullable:
            given = f"; given are {_short(tuple(inputs.named))}" if inputs.named else ""
            raise RequestError(400, f"input '{spec.name}' ({spec.type}) is missing{given}")
        values = [None] * inputs.rows
    if spec.type == "string":
        return _strings(values, spec.name)
    if spec.type == "datetime":
        return _times(values, spec.name)
    return _numbers(values, spec)


def _numbers(values: Column, spec: InputSpec) -> npt.NDArray[np.float64]:
    if isinstance(values, np.ndarray) and values.dtype != object:
        if values.dtype.kind not in "biuf":
            raise RequestError(400, f"input '{spec.name}' takes {spec.type}, found {values.dtype}")
        column = values.astype(np.float64)
    else:
        if not _NUMBERS.issuperset(map(type, values)):
            row = next(i for i, value in enumerate(values) if type(value) not in _NUMBERS)
            raise RequestError(
                400, f"input '{spec.name}' takes {spec.type}, found {describe(values[row])} in row {row}"
            )
        try:
            column = np.array(values, dtype=np.float64)
        except OverflowError:
            raise RequestError(400, f"input '{spec.name}' holds a number too large for {spec.type}") from None
    if spec.type == "float64":
        return column
    known = column[~np.isnan(column)]
    fits = (known == 0) | (known == 1) if spec.type == "bool" else known == np.floor(known)
    if not fits.all():
        found = known[~fits][0]
        takes = "true, false, 1 or 0" if spec.type == "bool" else "whole numbers"
        raise RequestError(400, f"input '{spec.name}' takes {takes}, found {found:g}")
    return column


def _strings(values: Column, name: str) -> npt.NDArray[np.generic]:
    for row, value in enumerate(values):
        if value is not None and not isinstance(value, str):
            raise RequestError(400, f"input '{name}' takes text, found {describe(value)} in row {row}")
    column: npt.NDArray[np.generic] = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _times(values: Column, name: str) -> npt.NDArray[np.float64]:
    where = f"input '{name}'"
    return np.array([math.nan if _missing(v) else epoch_seconds(v, where) for v in values], dtype=np.float64)


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _short(names: Sequence[str], most: int = 40) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


def _cut(text: str, most: int = 80) -> str:
    return text if len(text) <= most else text[:most] + "…"
