"""Batch-scored rows in the prediction log: the server's columns and files, staged until the run is done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as t

from trimtab.serving.batch.columns import Array, seconds_of
from trimtab.serving.package import InputSpec
from trimtab.serving.record.columns import booleans, floats, nulls, numbers, same_text, strings, times
from trimtab.serving.record.files import HOUR_S, PREDICTIONS, LogFiles
from trimtab.serving.record.recorder import Recorder
from trimtab.serving.runtimes.base import Outputs
from trimtab.serving.scoring.deployment import Slot
from trimtab.serving.scoring.ids import IdSource

FILE_ROWS = 131_072


class ScoreLog:
    """Records of one run, by the endpoint's settings: profiles, sampling, privacy. ``add`` is safe in several threads.

    Args:
        slot: the version, as what it is recorded.
        generation: of the routes.
        tag: random, of this run: part of its prediction ids.
    """

    def __init__(
        self, logs: Path, slot: Slot, generation: int, recorder: Recorder, tag: str, clock: Callable[[], float]
    ) -> None:
        self.logs = logs
        self.rows = 0
        """Recorded so far."""
        self._slot, self._generation, self._recorder = slot, generation, recorder
        self._signature, self._layout = slot.signature, slot.layout
        self._tag, self._clock = tag, clock
        self._ids = IdSource(tag)
        self._lock = threading.Lock()
        self._files: LogFiles | None = None
        self._waiting: dict[int, list[pa.RecordBatch]] = {}
        self._held = 0

    def open(self, staging: Path) -> None:
        """Write below this folder, in the layout of the log directory."""
        self._files = LogFiles(staging, f"score-{int(self._clock() * 1000):012x}-{self._tag[:4]}")

    def add(self, batch: pa.RecordBatch, columns: dict[str, Array], outputs: Outputs, seconds: float) -> pa.Array:
        """Record rows that were scored together in so many seconds; their prediction ids.

        Raises:
            OSError: the log cannot be written.
            DataError: an event time is none.
        """
        with self._lock:
            now = self._clock()
            ids = strings(self._ids.take(len(batch), now))
        record = self._record(batch, columns, outputs, ids, (now, seconds * 1000.0 / max(len(batch), 1)))
        with self._lock:
            kept = self._recorder.take(self._slot, record)
            if kept is not None:
                self._waiting.setdefault(int(now // HOUR_S), []).append(kept)
                self.rows += len(kept)
                self._held += len(kept)
            if self._held >= FILE_ROWS:
                self._flush()
        return ids

    def close(self) -> None:
        """Write what waits."""
        with self._lock:
            self._flush()
            if self._files is None:
                return
            for folder, sums in self._recorder.due_sums(0.0, final=True):
                self._files.write(folder, self._recorder.hour, sums)
                self._recorder.wrote(folder)

    def _flush(self) -> None:
        if self._files is None:
            return
        for hour, batches in self._waiting.items():
            self._files.write(PREDICTIONS, hour, pa.Table.from_batches(batches))
        self._waiting, self._held = {}, 0

    def _record(
        self,
        batch: pa.RecordBatch,
        columns: dict[str, Array],
        outputs: Outputs,
        ids: pa.Array,
        when: tuple[float, float],
    ) -> pa.RecordBatch:
        """In the schema of the version's layout; ``when``: arrival, and milliseconds a row."""
        n, (now, latency_ms) = len(batch), when
        layout, signature, slot = self._layout, self._signature, self._slot
        found: dict[str, pa.Array] = {
            "prediction_id": ids,
            "time": times(np.full(n, now)),
            "event_time": times(_event_times(batch, signature.time, now)),
            "version": numbers(np.full(n, slot.version, dtype=np.int32), pa.int32()),
            "arm": same_text(slot.arm, n),
            "shadow": booleans(np.zeros(n, dtype=np.bool_)),
            "entity": _entities(batch, signature.entity),
            "generation": numbers(np.full(n, self._generation, dtype=np.int32), pa.int32()),
            "latency_ms": numbers(np.full(n, latency_ms, dtype=np.float32), pa.float32()),
            "error": nulls(pa.string(), n),
            **{f"x.{spec.name}": _input(batch, columns[spec.name], spec) for spec in signature.inputs},
            "y.prediction": self._prediction(outputs.prediction),
        }
        scores = None if outputs.scores is None else np.ascontiguousarray(outputs.scores.T)
        for index, text in enumerate(layout.texts.values()):
            found[f"y.score.{text}"] = nulls(pa.float64(), n) if scores is None else floats(scores[index])
        return pa.RecordBatch.from_arrays([found[name] for name in layout.schema.names], schema=layout.schema)

    def _prediction(self, values: Array) -> pa.Array:
        if self._signature.classes is None:
            return floats(values.astype(np.float64))
        texts = self._layout.texts
        return strings([texts[value] for value in values.tolist()])


def _input(batch: pa.RecordBatch, column: Array, spec: InputSpec) -> pa.Array:
    if spec.type == "string":
        index = batch.schema.get_field_index(spec.name)
        return nulls(pa.string(), len(batch)) if index < 0 else _text(batch.column(index))
    known = column.astype(np.float64, copy=False)
    if spec.type == "float64":
        return floats(known)
    missing = np.isnan(known)
    filled = np.where(missing, 0.0, known)
    if spec.type == "datetime":
        return times(filled, missing)
    if spec.type == "bool":
        return booleans(filled != 0, missing)
    return numbers(np.clip(filled, -(2.0**63), 2.0**63 - 1024).astype(np.int64), pa.int64(), missing)


def _text(array: pa.Array) -> pa.Array:
    return pc.cast(array.dictionary_decode() if t.is_dictionary(array.type) else array, pa.string())


def _event_times(batch: pa.RecordBatch, name: str | None, now: float) -> npt.NDArray[np.float64]:
    index = -1 if name is None else batch.schema.get_field_index(name)
    if index < 0 or name is None:
        return np.full(len(batch), now)
    array: Any = batch.column(index)
    seconds = seconds_of(array.dictionary_decode() if t.is_dictionary(array.type) else array, name)
    return np.where(np.isnan(seconds), now, seconds)


def _entities(batch: pa.RecordBatch, name: str | None) -> pa.Array:
    index = -1 if name is None else batch.schema.get_field_index(name)
    return nulls(pa.string(), len(batch)) if index < 0 else _text(batch.column(index))
