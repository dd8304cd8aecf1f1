"""Rows of the prediction log and the label log, and the arrow batches they become (columns: docs/formats.md)."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trimtab.logs import PREDICTION_COLUMNS
from trimtab.serving.package import InputSpec, Signature, class_text
from trimtab.serving.record.columns import (
    TIME,
    booleans,
    float_columns,
    floats,
    nulls,
    numbers,
    picked,
    same_text,
    strings,
    times,
)

if TYPE_CHECKING:
    from trimtab.serving.scoring.deployment import Slot

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

    def pack(self, values: Sequence[float | None]) -> bytes:
        """A row of numbers at 8 bytes each, a missing one as NaN; only where all inputs are numbers."""
        try:
            return self._pack(*values)
        except struct.error:  # a missing value among them
            return self._pack(*[math.nan if value is None else value for value in values])


Matrix = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float64]


@dataclass(slots=True)
class BlockRecord:
    """Rows that one version answered together: single rows of one turn, a batch, or what it scored in shadow."""

    slot: Slot
    generation: int
    shadow: bool
    error: str | None
    ids: Sequence[str] | npt.NDArray[np.bytes_]
    """As an array: all of its width."""
    times: Sequence[float] | Floats
    """Arrivals, seconds since the epoch."""
    event_times: Sequence[float] | Floats
    """May be ``times`` itself."""
    entities: Sequence[str | None] | None
    """None: no row has one."""
    latencies_ms: Sequence[float] | Floats
    inputs: Mapping[str, npt.NDArray[np.generic]] | Matrix | list[Sequence[Any]] | None
    """Columns, a matrix (n, inputs), or rows in the order of the signature; None on shadow rows."""
    prediction: Sequence[Any] | npt.NDArray[np.generic] | None
    """None where there was an error. Of int8: positions in the signature's classes."""
    scores: Matrix | Sequence[Sequence[float]] | None
    """(n, classes)"""


def block_batches(blocks: Sequence[BlockRecord]) -> list[tuple[Slot, pa.RecordBatch]]:
    """Blocks as arrow batches, one for each (version, generation, shadow, error, form of the inputs).

    Under load a block is the few rows of a turn; nearly always all of them are of one kind, and become one batch.
    """
    groups: dict[tuple[int, int, bool, str | None, type, bool, type, Any], list[BlockRecord]] = {}
    for block in blocks:
        key = (
            id(block.slot),
            block.generation,
            block.shadow,
            block.error,
            dict if isinstance(block.inputs, Mapping) else type(block.inputs),
            block.scores is None,
            type(block.ids),
            getattr(block.prediction, "dtype", None),
        )
        groups.setdefault(key, []).append(block)
    return [(group[0].slot, _batch(group)) for group in groups.values()]


def _batch(blocks: Sequence[BlockRecord]) -> pa.RecordBatch:
    """An arrow batch of the layout's schema."""
    first = blocks[0]
    slot, layout = first.slot, first.slot.layout
    ids = _chained([block.ids for block in blocks])
    n = len(ids)
    arrived = times(_chained([block.times for block in blocks]))
    same_times = all(block.event_times is block.times for block in blocks)
    if first.prediction is None:
        answer = nulls(pa.string() if layout.is_classification else pa.float64(), n)
    else:
        answer = _answer(layout, _chained([() if each.prediction is None else each.prediction for each in blocks]))
    if first.scores is None:
        scores = [nulls(pa.float64(), n)] * layout.scores
    else:
        scores = float_columns(_scores(blocks, n, layout.scores))
    arrays = [
        strings(ids),
        arrived,
        arrived if same_times else times(_chained([block.event_times for block in blocks])),
        numbers(np.full(n, slot.version, dtype=np.int32), pa.int32()),
        same_text(slot.arm, n),
        booleans(np.full(n, first.shadow)),
        _entities(blocks, n),
        numbers(np.full(n, first.generation, dtype=np.int32), pa.int32()),
        numbers(np.array(_chained([block.latencies_ms for block in blocks]), dtype=np.float32), pa.float32()),
        same_text(first.error, n),
        *_inputs(blocks, layout, n),
        answer,
        *scores,
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=layout.schema)


def _chained(parts: Sequence[Any]) -> Any:
    """Lists end to end as a list, arrays as an array."""
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    return list(chain.from_iterable(part.tolist() if isinstance(part, np.ndarray) else part for part in parts))


def _entities(blocks: Sequence[BlockRecord], n: int) -> pa.Array:
    if all(block.entities is None for block in blocks):
        return nulls(pa.string(), n)
    return strings(_chained([block.entities or [None] * len(block.ids) for block in blocks]))


def _scores(blocks: Sequence[BlockRecord], n: int, classes: int) -> Matrix:
    """(classes, n), each row in one piece."""
    parts = [block.scores for block in blocks if block.scores is not None]
    if all(isinstance(part, np.ndarray) for part in parts):
        return _upright(parts)  # type: ignore[arg-type]
    flat = np.fromiter(chain.from_iterable(chain.from_iterable(parts)), np.float64, n * classes)
    return np.ascontiguousarray(flat.reshape(n, classes).T)


def _upright(parts: Sequence[Matrix]) -> Matrix:
    """Matrices of rows, one below the other, turned so that each column lies in one piece."""
    turned = [part.T for part in parts]
    return np.ascontiguousarray(turned[0] if len(turned) == 1 else np.concatenate(turned, axis=1))


def _inputs(blocks: Sequence[BlockRecord], layout: Layout, n: int) -> list[pa.Array]:
    parts: list[Any] = [block.inputs for block in blocks]
    if parts[0] is None:
        return [nulls(ARROW_TYPES[spec.type], n) for spec in layout.inputs]
    if isinstance(parts[0], np.ndarray):
        return float_columns(_upright(parts))
    if isinstance(parts[0], Mapping):
        return [
            _input(
                parts[0][spec.name] if len(parts) == 1 else np.concatenate([part[spec.name] for part in parts]), spec
            )
            for spec in layout.inputs
        ]
    columns = zip(*chain.from_iterable(parts), strict=True)
    return [_input(column, spec) for column, spec in zip(columns, layout.inputs, strict=True)]


def _answer(layout: Layout, prediction: Sequence[Any] | npt.NDArray[np.generic]) -> pa.Array:
    if not layout.is_classification:
        return floats(np.asarray(prediction, dtype=np.float64))
    if isinstance(prediction, np.ndarray):
        if prediction.dtype == np.int8:
            return picked(tuple(layout.texts.values()), prediction.astype(np.int8, copy=False))
        prediction = prediction.tolist()
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
