"""Rows of the prediction log and the label log, and the arrow batches they become (columns: docs/formats.md)."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trimtab.logs import PREDICTION_COLUMNS
from trimtab.serving.columns import TIME, booleans, float_columns, floats, nulls, numbers, same_text, strings, times
from trimtab.serving.package import InputSpec, Signature, class_text

if TYPE_CHECKING:
    from trimtab.serving.deployment import Slot

ARROW_TYPES = {
    "float64": pa.float64(),
    "int64": pa.int64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "datetime": TIME,
}

LABEL_REPEATED = ["label"]
PREDICTION_REPEATED = ["version", "arm", "shadow", "generation", "error", "y.prediction"]


class Layout:
    """The log's columns for a signature."""

    __slots__ = ("_pack", "all_floats", "floats", "inputs", "is_classification", "key", "schema", "scores", "texts")

    def __init__(self, signature: Signature) -> None:
        self.inputs: tuple[InputSpec, ...] = signature.inputs
        self.is_classification = signature.classes is not None
        self.all_floats = all(spec.type == "float64" for spec in signature.inputs)
        self.floats = len(self.inputs) if self.all_floats else -1
        """How many numbers make a row; -1 where it takes other things too."""
        self._pack = struct.Struct(f"{len(signature.inputs)}d").pack
        self.texts = {value: class_text(value) for value in signature.classes or ()}
        """Class to its text in the log."""
        self.scores = len(self.texts)
        fields = [
            *((column.name, column.type) for column in PREDICTION_COLUMNS),
            *((f"x.{spec.name}", ARROW_TYPES[spec.type]) for spec in signature.inputs),
            ("y.prediction", pa.string() if self.is_classification else pa.float64()),
            *((f"y.score.{text}", pa.float64()) for text in self.texts.values()),
        ]
        self.schema = pa.schema(fields)
        self.key = tuple((name, str(kind)) for name, kind in fields)
        """Equal for signatures whose rows may stand in one file."""

    def kept(self, values: Sequence[Any]) -> Any:
        """A row's inputs as they wait for the writer: packed to 8 bytes a number where all are numbers.

        Thirty Python floats take four times the memory, which has to be got and given back for each request.
        """
        if not self.all_floats:
            return values
        try:
            return self._pack(*values)
        except struct.error:  # a missing value among them
            return self._pack(*[math.nan if value is None else value for value in values])


RowRecord = tuple[
    "Slot",  # 0 that scored
    int,  # 1 generation
    bool,  # 2 shadow
    str | None,  # 3 error
    str,  # 4 prediction id
    float,  # 5 arrival, seconds since the epoch
    float,  # 6 event time
    str | None,  # 7 entity
    float,  # 8 latency in ms
    Any,  # 9 inputs as ``Layout.kept`` gives them; None on shadow rows
    Any,  # 10 prediction; None where there was an error
    tuple[float, ...] | None,  # 11 scores
]
"""A single answered row. A plain tuple, because one is made per request."""


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """Rows of one request, or of shadow scoring, that one version scored."""

    slot: Slot
    generation: int
    shadow: bool
    error: str | None
    ids: Sequence[str]
    times: Sequence[float] | float
    event_times: Sequence[float]
    entities: Sequence[str | None]
    latency_ms: float
    columns: dict[str, npt.NDArray[np.generic]] | None
    prediction: npt.NDArray[np.generic] | None
    scores: npt.NDArray[np.float64] | None


def block_batch(block: BlockRecord) -> pa.RecordBatch:
    """A block as an arrow batch of its layout's schema."""
    layout, n = block.slot.layout, len(block.ids)
    inputs = [
        nulls(ARROW_TYPES[spec.type], n) if block.columns is None else _input(block.columns[spec.name], spec)
        for spec in layout.inputs
    ]
    arrived = np.full(n, block.times) if isinstance(block.times, float) else block.times
    prediction = None if block.prediction is None else block.prediction.tolist()
    return _assemble(
        block.slot,
        (block.generation, block.shadow, block.error),
        (block.ids, arrived, block.event_times, block.entities, np.full(n, block.latency_ms)),
        inputs,
        prediction,
        None if block.scores is None else np.ascontiguousarray(block.scores.T),
    )


def row_batches(rows: Sequence[RowRecord]) -> list[tuple[Slot, pa.RecordBatch]]:
    """Single rows as arrow batches, one for each (version, generation, shadow, error, with inputs or without).

    Nearly always all rows are answers of one version: then they are turned in one piece.
    """
    columns = list(zip(*rows, strict=True))
    n = len(rows)
    same = all(columns[at].count(columns[at][0]) == n for at in (0, 1, 2, 3))
    if same and (columns[9][0] is None or None not in columns[9]):
        return [(columns[0][0], _rows_batch(columns))]
    groups: dict[tuple[int, int, bool, str | None, bool], list[RowRecord]] = {}
    for row in rows:
        groups.setdefault((id(row[0]), row[1], row[2], row[3], row[9] is None), []).append(row)
    return [(group[0][0], _rows_batch(list(zip(*group, strict=True)))) for group in groups.values()]


def _rows_batch(columns: Sequence[tuple[Any, ...]]) -> pa.RecordBatch:
    slot, generation, shadow, error, ids, arrived, event_times, entities, latencies, values, predictions, scores = (
        columns
    )
    layout, n = slot[0].layout, len(ids)
    failed = error[0] is not None
    return _assemble(
        slot[0],
        (generation[0], shadow[0], error[0]),
        (ids, arrived, event_times, entities, latencies),
        _row_inputs(values, layout, n),
        None if failed else predictions,
        None if failed or scores[0] is None else _matrix(scores, layout.scores),
    )


def _row_inputs(values: Sequence[Any], layout: Layout, n: int) -> list[pa.Array]:
    if values[0] is None:
        return [nulls(ARROW_TYPES[spec.type], n) for spec in layout.inputs]
    if not layout.all_floats:
        return [_input(column, spec) for column, spec in zip(zip(*values, strict=True), layout.inputs, strict=True)]
    matrix = np.frombuffer(b"".join(values), dtype=np.float64).reshape(n, len(layout.inputs))
    return float_columns(np.ascontiguousarray(matrix.T))


def _matrix(rows: Sequence[Sequence[Any]], width: int) -> npt.NDArray[np.float64]:
    """Column by column, (width, n)."""
    flat = np.fromiter(chain.from_iterable(rows), np.float64, len(rows) * width)
    return np.ascontiguousarray(flat.reshape(len(rows), width).T)


def _assemble(
    slot: Slot,
    same: tuple[int, bool, str | None],
    each: tuple[Sequence[str], Any, Any, Sequence[str | None], Any],
    inputs: list[pa.Array],
    prediction: Sequence[Any] | None,
    scores: npt.NDArray[np.float64] | None,
) -> pa.RecordBatch:
    layout = slot.layout
    generation, shadow, error = same
    ids, arrived, event_times, entities, latencies = each
    n = len(ids)
    answer = _answer(layout, prediction, n)
    score_columns = [nulls(pa.float64(), n)] * layout.scores if scores is None else float_columns(scores)
    time = times(arrived)
    arrays = [
        strings(ids),
        time,
        time if _same(arrived, event_times) else times(event_times),
        numbers(np.full(n, slot.version, dtype=np.int32), pa.int32()),
        same_text(slot.arm, n),
        booleans(np.full(n, shadow)),
        strings(entities),
        numbers(np.full(n, generation, dtype=np.int32), pa.int32()),
        numbers(np.asarray(latencies, dtype=np.float32), pa.float32()),
        same_text(error, n),
        *inputs,
        answer,
        *score_columns,
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=layout.schema)


def _same(arrived: Any, event_times: Any) -> bool:
    """Whether the rows' event times are their arrivals, as where requests carry none."""
    return isinstance(arrived, tuple) and arrived == event_times


def _answer(layout: Layout, prediction: Sequence[Any] | None, n: int) -> pa.Array:
    if prediction is None:
        return nulls(pa.string() if layout.is_classification else pa.float64(), n)
    if not layout.is_classification:
        return floats(np.array(prediction, dtype=np.float64))
    try:
        texts = list(map(layout.texts.__getitem__, prediction))
    except KeyError:  # no class that the signature knows: what the model said is recorded all the same
        texts = [layout.texts.get(value, str(value)) for value in prediction]
    return strings(texts)


def _input(values: Any, spec: InputSpec) -> pa.Array:
    if spec.type == "string":
        return strings(values)
    known = np.asarray(values, dtype=np.float64)
    if spec.type == "float64":
        return floats(known)
    missing = np.isnan(known)
    filled = np.where(missing, 0.0, known)
    if spec.type == "datetime":
        return times(filled, missing)
    if spec.type == "bool":
        return booleans(filled != 0, missing)
    whole = np.clip(filled, -(2.0**63), 2.0**63 - 1024).astype(np.int64)
    return numbers(whole, pa.int64(), missing)


@dataclass(frozen=True, slots=True)
class LabelRecord:
    """One label as it arrived."""

    prediction_id: str
    label: str | float
    """The class's text, or the value."""
    label_time: float
    time: float


def label_batch(labels: Sequence[LabelRecord]) -> pa.RecordBatch:
    """Labels as an arrow batch; all are texts or all are numbers."""
    if isinstance(labels[0].label, str):
        values = strings([str(label.label) for label in labels])
    else:
        values = floats(np.array([label.label for label in labels], dtype=np.float64))
    return pa.RecordBatch.from_arrays(
        [
            strings([label.prediction_id for label in labels]),
            values,
            times([label.label_time for label in labels]),
            times([label.time for label in labels]),
        ],
        names=["prediction_id", "label", "label_time", "time"],
    )
