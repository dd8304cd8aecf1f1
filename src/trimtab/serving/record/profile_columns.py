"""Columns of a log batch as the core takes them, by their buffers: as ``trimtab.frames`` would, without pandas."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trimtab.core.profiles.columns import Categorical, Column
from trimtab.serving.record.columns import missing_of, texts_of
from trimtab.serving.record.records import Layout

INPUT = "x."
SCORE = "y.score."


def input_columns(batches: Sequence[pa.RecordBatch], layout: Layout) -> dict[str, Column]:
    """The inputs of batches of one layout, end to end."""
    out: dict[str, Column] = {}
    for spec in layout.inputs:
        arrays = [batch.column(INPUT + spec.name) for batch in batches]
        out[spec.name] = _texts(arrays) if spec.type == "string" else _joined([_numbers(array) for array in arrays])
    return out


def answers(batches: Sequence[pa.RecordBatch], layout: Layout) -> npt.NDArray[np.float64]:
    """(n, classes) scores, or (n,) values."""
    if not layout.is_classification:
        return _joined([_numbers(batch.column("y.prediction")) for batch in batches])
    columns = [_joined([_numbers(batch.column(SCORE + text)) for batch in batches]) for text in layout.texts.values()]
    return np.column_stack(columns)


def event_times(batches: Sequence[pa.RecordBatch], ahead_s: float | None = None) -> npt.NDArray[np.float64]:
    """(n,) seconds since the epoch; one that lies more than ``ahead_s`` after its arrival becomes the arrival."""
    claimed = _joined([_numbers(batch.column("event_time")) for batch in batches])
    if ahead_s is None:
        return claimed
    arrived = _joined([_numbers(batch.column("time")) for batch in batches])
    return np.where(claimed > arrived + ahead_s, arrived, claimed)


def _joined(parts: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _numbers(array: pa.Array) -> npt.NDArray[np.float64]:
    """Float64 with NaN for null; times in seconds."""
    n, offset, data = len(array), array.offset, array.buffers()[1]
    if pa.types.is_boolean(array.type):
        bits = np.unpackbits(np.frombuffer(data, np.uint8), count=offset + n, bitorder="little")
        values = bits[offset:].astype(np.float64)
    elif pa.types.is_float64(array.type):
        values = np.frombuffer(data, np.float64, n, 8 * offset)
    else:
        values = np.frombuffer(data, np.int64, n, 8 * offset).astype(np.float64)
        if pa.types.is_timestamp(array.type):
            values /= 1e6
    if array.null_count:
        values = np.where(missing_of(array), np.nan, values)
    return values


def _texts(arrays: Sequence[pa.Array]) -> Categorical:
    index: dict[str, int] = {}
    parts = []
    for array in arrays:
        encoded = array.dictionary_encode()
        indices = encoded.indices
        codes = np.frombuffer(indices.buffers()[1], np.int32, len(array), 4 * indices.offset)
        table = np.array(
            [index.setdefault(text or "", len(index)) for text in texts_of(encoded.dictionary)], dtype=np.int32
        )
        known = table[np.minimum(codes, max(len(table) - 1, 0))] if len(table) else np.zeros(len(array), np.int32)
        parts.append(np.where(missing_of(indices), -1, known).astype(np.int32))
    return Categorical(np.concatenate(parts), tuple(index))
