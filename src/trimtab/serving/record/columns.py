"""Arrow arrays from numpy arrays and lists, by their buffers.

``pa.array`` and ``pa.scalar`` import pandas wherever it is installed (a second and 70 MB in a server that never uses
it), so they are not used here.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
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


def float_columns(values: npt.NDArray[np.float64]) -> list[pa.Array]:
    """Each row of a contiguous (columns, n) matrix as a float64 array with NaN as null, without copying."""
    if np.isnan(values).any():
        return [floats(column) for column in values]
    data, width = pa.py_buffer(values), values.itemsize * values.shape[1]
    kind, n = pa.float64(), values.shape[1]
    return [pa.Array.from_buffers(kind, n, [None, data.slice(at * width, width)], 0) for at in range(values.shape[0])]


def booleans(values: npt.NDArray[np.bool_], missing: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Booleans, one bit each."""
    data = pa.py_buffer(np.packbits(values, bitorder="little"))
    return pa.Array.from_buffers(pa.bool_(), len(values), [_validity(missing), data])


def times(seconds: Any, missing: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Seconds since the epoch as timestamps of microseconds, UTC."""
    micros = np.round(np.asarray(seconds, dtype=np.float64) * 1e6).astype(np.int64)
    return numbers(micros, TIME, missing)


def strings(values: Sequence[str | None] | npt.NDArray[np.bytes_]) -> pa.Array:
    """Text; None is null. A lone surrogate, which UTF-8 cannot hold, becomes a question mark.

    An array of bytes holds ASCII, each as wide as the array's type.
    """
    n = len(values)
    if isinstance(values, np.ndarray) and values.dtype.kind == "S":
        offsets = np.arange(n + 1, dtype=np.int32) * np.int32(values.itemsize)
        return pa.Array.from_buffers(pa.string(), n, [None, pa.py_buffer(offsets), pa.py_buffer(values.tobytes())])
    absent = values.count(None) if isinstance(values, list | tuple) else sum(value is None for value in values)
    if absent == n:
        return nulls(pa.string(), n)
    texts = ["" if value is None else value for value in values] if absent else values
    data = "".join(texts).encode("utf-8", "replace")  # type: ignore[arg-type]
    lengths = np.fromiter(map(len, texts), np.int32, n)
    if len(data) != int(lengths.sum()):  # some character takes more than a byte
        encoded = [text.encode("utf-8", "replace") for text in texts]  # type: ignore[union-attr]
        lengths = np.fromiter(map(len, encoded), np.int32, n)
    offsets = np.zeros(n + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    missing = np.fromiter((value is None for value in values), np.bool_, n) if absent else None
    return pa.Array.from_buffers(pa.string(), n, [_validity(missing), pa.py_buffer(offsets), pa.py_buffer(data)])


def picked(texts: Sequence[str], positions: npt.NDArray[np.int8]) -> pa.Array:
    """The text at each position."""
    encoded = [text.encode("utf-8", "replace") for text in texts]
    lengths = np.array([len(text) for text in encoded], dtype=np.int32)
    padded = np.frombuffer(b"".join(text.ljust(int(lengths.max())) for text in encoded), np.uint8)
    used = np.arange(lengths.max()) < lengths[:, None]
    data = padded.reshape(len(texts), -1)[positions][used[positions]].tobytes()
    offsets = np.zeros(len(positions) + 1, dtype=np.int32)
    np.cumsum(lengths[positions], out=offsets[1:])
    return pa.Array.from_buffers(pa.string(), len(positions), [None, pa.py_buffer(offsets), pa.py_buffer(data)])


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


def missing_of(array: pa.Array) -> npt.NDArray[np.bool_]:
    """(n,) where an array is null."""
    validity = array.buffers()[0]
    if validity is None:
        return np.zeros(len(array), dtype=np.bool_)
    bits = np.unpackbits(np.frombuffer(validity, np.uint8), count=array.offset + len(array), bitorder="little")
    missing: npt.NDArray[np.bool_] = bits[array.offset :] == 0
    return missing


def texts_of(array: pa.Array) -> list[str | None]:
    """The texts of a string array, None for null."""
    _, offsets, data = array.buffers()
    bounds = np.frombuffer(offsets, np.int32, len(array) + 1, 4 * array.offset).tolist()
    content = b"" if data is None else data.to_pybytes()
    texts: list[str | None] = [content[start:end].decode() for start, end in pairwise(bounds)]
    if array.null_count:
        for at in np.flatnonzero(missing_of(array)).tolist():
            texts[at] = None
    return texts


def _validity(missing: npt.NDArray[np.bool_] | None) -> pa.Buffer | None:
    if missing is None or not missing.any():
        return None
    return pa.py_buffer(np.packbits(~missing, bitorder="little"))
