"""Arrow arrays from numpy arrays and lists, by their buffers.

``pa.array`` and ``pa.scalar`` import pandas wherever it is installed (a second and 70 MB in a server that never uses
it), so they are not used here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

TIME = pa.timestamp("us", tz="UTC")


def numbers(
    values: npt.NDArray[np.generic], kind: pa.DataType, missing: npt.NDArray[np.bool_] | None = None
) -> pa.Array:
    """Fixed-width values as they lie in memory (of the width of ``kind``); ``missing`` marks nulls."""
    data = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(kind, len(values), [_validity(missing), data])


def floats(values: npt.NDArray[np.float64]) -> pa.Array:
    """Float64 with NaN as null."""
    return numbers(values, pa.float64(), np.isnan(values))


def booleans(values: npt.NDArray[np.bool_], missing: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Booleans, one bit each."""
    data = pa.py_buffer(np.packbits(values, bitorder="little"))
    return pa.Array.from_buffers(pa.bool_(), len(values), [_validity(missing), data])


def times(seconds: Any, missing: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Seconds since the epoch as timestamps of microseconds, UTC."""
    micros = np.round(np.asarray(seconds, dtype=np.float64) * 1e6).astype(np.int64)
    return numbers(micros, TIME, missing)


def strings(values: Sequence[str | None]) -> pa.Array:
    """Text; None is null. A lone surrogate, which UTF-8 cannot hold, becomes a question mark."""
    encoded = [b"" if value is None else value.encode("utf-8", "replace") for value in values]
    offsets = np.zeros(len(encoded) + 1, dtype=np.int32)
    np.cumsum(np.fromiter(map(len, encoded), np.int32, len(encoded)), out=offsets[1:])
    missing = np.fromiter((value is None for value in values), np.bool_, len(encoded))
    buffers = [_validity(missing), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)


def same_text(value: str | None, count: int) -> pa.Array:
    """The same text (or null) in every row."""
    if value is None:
        return nulls(pa.string(), count)
    encoded = value.encode("utf-8", "replace")
    offsets = np.arange(count + 1, dtype=np.int32) * np.int32(len(encoded))
    return pa.Array.from_buffers(pa.string(), count, [None, pa.py_buffer(offsets), pa.py_buffer(encoded * count)])


def nulls(kind: pa.DataType, count: int) -> pa.Array:
    """Nothing in every row."""
    validity = pa.py_buffer(bytes(-(-count // 8)))
    if kind == pa.string():
        return pa.Array.from_buffers(kind, count, [validity, pa.py_buffer(bytes(4 * (count + 1))), pa.py_buffer(b"")])
    return pa.Array.from_buffers(kind, count, [validity, pa.py_buffer(bytes(8 * count))])


def microseconds(column: pa.Array) -> npt.NDArray[np.int64]:
    """The times of ``times`` as they lie in memory."""
    values = np.frombuffer(column.buffers()[1], dtype=np.int64)
    return values[column.offset : column.offset + len(column)]


def _validity(missing: npt.NDArray[np.bool_] | None) -> pa.Buffer | None:
    if missing is None or not missing.any():
        return None
    return pa.py_buffer(np.packbits(~missing, bitorder="little"))
