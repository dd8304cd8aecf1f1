"""From Arrow columns of a file to what a model takes, refused where a server would refuse them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as t

from trimtab.core.domain.errors import DataError
from trimtab.serving.package import InputSpec, Signature
from trimtab.serving.protocols.inputs import TIME_MAX, TIME_MIN, epoch_seconds

Array = npt.NDArray[np.generic]
UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


def check_schema(schema: pa.Schema, signature: Signature, where: str) -> None:
    """The file has what the model needs; all that is wrong is said at once.

    Raises:
        DataError: an input is missing that the model does not go without, or has a type that it does not take.
    """
    problems = []
    for spec in signature.inputs:
        count = schema.names.count(spec.name)
        if count > 1:
            problems.append(f"column '{spec.name}' stands {count} times")
        elif count == 1:
            kind = schema.field(spec.name).type
            if not takes(spec, kind):
                problems.append(f"input '{spec.name}' takes {spec.type}, found {kind}")
        elif not spec.nullable:
            near = difflib.get_close_matches(spec.name, schema.names, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; the file has {_short(schema.names)}"
            problems.append(f"input '{spec.name}' ({spec.type}) is missing{hint}")
    if problems:
        raise DataError("\n".join(f"{where}: {problem}" for problem in problems))


def takes(spec: InputSpec, kind: pa.DataType) -> bool:
    """Whether a column of this Arrow type can be this input."""
    if t.is_dictionary(kind):
        kind = kind.value_type
    if t.is_null(kind):
        return True
    text = t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind)
    if spec.type == "string":
        return bool(text)
    number = t.is_integer(kind) or t.is_floating(kind) or t.is_boolean(kind) or t.is_decimal(kind)
    if spec.type == "datetime":
        return bool(number or text or t.is_timestamp(kind) or t.is_date(kind))
    return bool(number)


def columns_of_batch(batch: pa.RecordBatch, signature: Signature) -> dict[str, Array]:
    """All columns of the signature (``runtimes.base.Columns``); one that is not there is missing in every row.

    Raises:
        DataError: a value that its input does not take; the input is named.
    """
    return {spec.name: _column(batch, spec) for spec in signature.inputs}


def _column(batch: pa.RecordBatch, spec: InputSpec) -> Array:
    index = batch.schema.get_field_index(spec.name)
    if index < 0:
        return np.full(len(batch), None if spec.type == "string" else np.nan, dtype=_dtype(spec))
    array = batch.column(index)
    if spec.type == "string":
        return texts_of(array)
    if t.is_dictionary(array.type):
        array = array.dictionary_decode()
    if spec.type == "datetime":
        return seconds_of(array, spec.name)
    numbers = _numbers(array)
    return numbers if spec.type == "float64" else _whole(numbers, array.type, spec)


def _dtype(spec: InputSpec) -> Any:
    return object if spec.type == "string" else np.float64


def texts_of(array: pa.Array) -> Array:
    """Text as an object array with None; each distinct text of a dictionary is one object."""
    if t.is_null(array.type):
        return np.full(len(array), None, dtype=object)
    if not t.is_dictionary(array.type):
        array = array.dictionary_encode()
    levels = np.empty(len(array.dictionary) + 1, dtype=object)
    levels[:-1] = array.dictionary.to_pylist()
    missing = len(levels) - 1
    codes = pc.fill_null(array.indices.cast(pa.int32()), missing).to_numpy(zero_copy_only=False)
    found: Array = levels[codes]
    return found


def seconds_of(array: pa.Array, name: str) -> npt.NDArray[np.float64]:
    """Seconds since the epoch, NaN for missing, of timestamps (without a zone: UTC), dates, ISO texts or seconds.

    Raises:
        DataError: a text that is no time, or a time outside the years 1 to 9999.
    """
    kind = array.type
    if t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind):
        where = f"input '{name}'"
        return np.array([np.nan if v is None else epoch_seconds(v, where) for v in array.to_pylist()], dtype=np.float64)
    if t.is_date(kind):
        array, kind = array.cast(pa.timestamp("ms")), pa.timestamp("ms")
    if t.is_timestamp(kind):
        return _numbers(array.cast(pa.int64())) / UNITS[kind.unit]
    seconds = _numbers(array)
    known = seconds[~np.isnan(seconds)]
    if ((known < TIME_MIN) | (known > TIME_MAX)).any():
        raise DataError(f"input '{name}': a time is outside the years 1 to 9999; are these milliseconds? give seconds")
    return seconds


def _numbers(array: pa.Array) -> npt.NDArray[np.float64]:
    if t.is_null(array.type):
        return np.full(len(array), np.nan)
    if not t.is_float64(array.type):
        array = pc.cast(array, pa.float64(), safe=False)
    numbers: npt.NDArray[np.float64] = array.to_numpy(zero_copy_only=False)
    return numbers


def _whole(numbers: npt.NDArray[np.float64], kind: pa.DataType, spec: InputSpec) -> npt.NDArray[np.float64]:
    """Unchanged, where they are whole numbers or truth values as the input takes them."""
    if t.is_boolean(kind) or (t.is_integer(kind) and spec.type == "int64"):
        return numbers
    known = numbers[~np.isnan(numbers)]
    fits = (known == 0) | (known == 1) if spec.type == "bool" else known == np.floor(known)
    if not fits.all():
        wanted = "true, false, 1 or 0" if spec.type == "bool" else "whole numbers"
        raise DataError(f"input '{spec.name}' takes {wanted}, found {known[~fits][0]:g}")
    return numbers


def _short(names: Sequence[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
