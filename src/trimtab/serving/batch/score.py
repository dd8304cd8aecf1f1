"""Batch scoring: a file of rows in, a file of answers out, by the runtime that serves.

Batches are decoded by one thread and scored by several (compiled models let go of the interpreter), written in order;
memory holds a few batches, whatever the file's size.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from trimtab.core.domain.errors import DataError, ExternalError
from trimtab.serving.batch.columns import Array, check_schema, columns_of_batch
from trimtab.serving.batch.log import ScoreLog
from trimtab.serving.batch.read import Part, Source, format_of, open_source
from trimtab.serving.batch.write import Output
from trimtab.serving.net.http import RequestError
from trimtab.serving.package import Signature, class_text
from trimtab.serving.protocols.inputs import unusual
from trimtab.serving.record.columns import booleans, floats, numbers, strings
from trimtab.serving.runtimes import Model
from trimtab.serving.runtimes.base import Outputs

BATCH_ROWS = 16_384
ALL = "*"

Progress = Callable[[int, int | None], None]
"""Rows done, rows in all (None: not known)."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """What is to be done."""

    source: Path
    output: Path
    keep: tuple[str, ...] | None = None
    """Columns of the source to keep; ``("*",)`` keeps all; None: the entity and the time, where the file has them."""
    overwrite: bool = False
    version: int | None = None
    """Of the model, where it has a number; it is written into the output's metadata."""
    threads: int | None = None
    """None: as many as there are cores for this process, one for models that are not compiled."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What was done."""

    rows: int
    columns: tuple[str, ...]
    """Of the output."""
    logged: int
    """Rows in the prediction log: fewer where it is sampled."""


def score_file(work: Scoring, model: Model, log: ScoreLog | None = None, progress: Progress | None = None) -> Tally:
    """Score a file. The output is there at the end, whole, or not at all.

    Raises:
        DataError: the file does not fit the model's signature, cannot be read, or the model cannot score a row;
            file, column and place are named.
        UserError: the output exists, or cannot stand where it should.
        ExternalError: the output cannot be written, or the model failed.
    """
    signature = model.signature
    texts = _csv_texts(work)
    source = open_source(work.source, signature, texts)
    check_schema(source.schema, signature, str(work.source))
    kept = _kept(work, source.schema, signature)
    columns = _columns(source.schema, signature, kept)
    scorer = _Scorer(work, model, source, kept, log)
    with Output(work.output, overwrite=work.overwrite, logs=None if log is None else log.logs) as output:
        rows, schema = 0, scorer.empty_schema()
        for batch in scorer.batches(columns, output.staging):
            output.write(batch)
            rows, schema = rows + len(batch), batch.schema
            if progress is not None:
                progress(rows, source.rows)
        if log is not None:
            log.close()
        output.finish(schema)
    return Tally(rows, tuple(schema.names), 0 if log is None else log.rows)


class _Scorer:
    """Batches of the source become batches of the output, in order."""

    def __init__(self, work: Scoring, model: Model, source: Source, kept: Sequence[str], log: ScoreLog | None) -> None:
        self._work, self._model, self._source, self._kept, self._log = work, model, source, kept, log
        signature = model.signature
        native = signature.runtime.name == "native"
        self._about = {"trimtab.model": signature.model, "trimtab.digest": model.digest}
        if work.version is not None:
            self._about["trimtab.version"] = str(work.version)
        self._threads = work.threads or (1 if native else _cores())

    def batches(self, columns: Sequence[str], staging: Path | None) -> Iterator[pa.RecordBatch]:
        if self._log is not None and staging is not None:
            self._log.open(staging)
        with ThreadPoolExecutor(self._threads, thread_name_prefix="score") as pool:
            under_way: deque[Future[pa.RecordBatch]] = deque()
            try:
                for part in self._source.parts(columns, BATCH_ROWS):
                    under_way.append(pool.submit(self._score, part))
                    if len(under_way) > self._threads + 1:
                        yield under_way.popleft().result()
                while under_way:
                    yield under_way.popleft().result()
            finally:
                for future in under_way:
                    future.cancel()

    def _score(self, part: Part) -> pa.RecordBatch:
        signature = self._model.signature
        try:
            columns = columns_of_batch(part.batch, signature)
        except (DataError, RequestError) as error:
            raise DataError(f"{self._where(part)}: {error}") from error
        began = time.perf_counter()
        try:
            outputs = self._model.predict(columns)
        except (DataError, ExternalError) as error:
            reason = unusual(columns, signature)
            if reason is not None:
                raise DataError(f"{self._where(part)}: the model cannot score these rows: {reason}") from error
            raise ExternalError(f"{self._where(part)}: the model failed: {error}") from error
        seconds = time.perf_counter() - began
        self._check(outputs, part)
        answers = answer_columns(outputs, signature)
        kept = {name: _plain(part.batch.column(part.batch.schema.get_field_index(name))) for name in self._kept}
        if self._log is not None:
            kept["prediction_id"] = self._log.add(part.batch, columns, outputs, seconds)
        return _batch({**kept, **answers}, self._about)

    def empty_schema(self) -> pa.Schema:
        """Of an output without a row."""
        signature = self._model.signature
        kept = {name: _plain(pa.nulls(0, self._source.schema.field(name).type)) for name in self._kept}
        if self._log is not None:
            kept["prediction_id"] = strings([])
        return _batch({**kept, **answer_columns(_no_answers(signature), signature)}, self._about).schema

    def _where(self, part: Part) -> str:
        last = part.first + len(part.batch) - 1
        return f"{self._work.source}: {self._source.place(part.first)} to {self._source.place(last)}"

    def _check(self, outputs: Outputs, part: Part) -> None:
        for values in (outputs.prediction, outputs.scores):
            if values is None or values.dtype.kind != "f":
                continue
            bad = np.isnan(values) if values.ndim == 1 else np.isnan(values).any(axis=1)
            if bad.any():
                place = self._source.place(part.first + int(np.argmax(bad)))
                raise DataError(f"{self._work.source}: {place}: the model's answer is not a number")


def _batch(columns: dict[str, pa.Array], about: dict[str, str]) -> pa.RecordBatch:
    """Columns side by side; what scored them goes into the schema's metadata."""
    schema = pa.schema([(name, array.type) for name, array in columns.items()], metadata=about)
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=schema)


def _plain(array: pa.Array) -> pa.Array:
    """Without a dictionary: the dictionaries of different batches would differ."""
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def answer_columns(outputs: Outputs, signature: Signature) -> dict[str, pa.Array]:
    """``y.prediction`` in the class's own type and ``y.score.<class>``, as in the prediction log."""
    found = {"y.prediction": _prediction(outputs.prediction)}
    if outputs.scores is not None and signature.classes is not None:
        for value, column in zip(signature.classes, np.ascontiguousarray(outputs.scores.T), strict=True):
            found[f"y.score.{class_text(value)}"] = floats(column)
    return found


def _prediction(values: Array) -> pa.Array:
    if values.dtype == np.bool_:
        return booleans(values.astype(np.bool_))
    if values.dtype.kind in "iu":
        return numbers(values.astype(np.int64), pa.int64())
    if values.dtype.kind == "f":
        return floats(values.astype(np.float64))
    return strings([value if value is None else class_text(value) for value in values.tolist()])


def _no_answers(signature: Signature) -> Outputs:
    from trimtab.serving.runtimes.base import class_array

    if signature.classes is None:
        return Outputs(np.empty(0), None)
    return Outputs(class_array(signature.classes)[:0], np.empty((0, len(signature.classes))))


def _kept(work: Scoring, schema: pa.Schema, signature: Signature) -> list[str]:
    names: list[str] = schema.names
    if work.keep is None:
        return [name for name in (signature.entity, signature.time) if name is not None and name in names]
    if ALL in work.keep:
        return names
    missing = [name for name in work.keep if name not in names]
    if missing:
        raise DataError(f"{work.source}: there is no column '{missing[0]}' to keep; there are {', '.join(names[:20])}")
    return list(dict.fromkeys(work.keep))


def _columns(schema: pa.Schema, signature: Signature, kept: Sequence[str]) -> list[str]:
    """To read: inputs, what is kept, and what the log wants."""
    wanted = [*kept, *signature.names, *(name for name in (signature.entity, signature.time) if name is not None)]
    return [name for name in dict.fromkeys(wanted) if name in schema.names]


def _csv_texts(work: Scoring) -> tuple[str, ...]:
    """From CSV to CSV, columns that are only kept stay as they are written."""
    both = format_of(work.source) == format_of(work.output) == "csv"
    return tuple(name for name in work.keep or () if name != ALL) if both else ()
