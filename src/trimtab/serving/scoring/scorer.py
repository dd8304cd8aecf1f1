"""From rows to answers: choose the version, score, and keep what has to be recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.core.domain.errors import DataError, ExternalError
from trimtab.serving.net.http import Later, RequestError
from trimtab.serving.process.metrics import Metrics
from trimtab.serving.protocols.inputs import Inputs, columns_of, row_of, unusual
from trimtab.serving.record.records import BlockRecord
from trimtab.serving.record.writer import LogWriter
from trimtab.serving.runtimes.base import Answers, Model
from trimtab.serving.scoring.deployment import Deployment, Slot
from trimtab.serving.scoring.ids import IdSource
from trimtab.serving.scoring.shadow import ShadowJob, ShadowQueue

NAN = "the model's answer is not a number or not finite"
INFINITE = (float("inf"), float("-inf"))

Columns = dict[str, npt.NDArray[np.generic]]


class ModelFailedError(RequestError):
    """The model raised on these rows: ours to answer for (500), unless the rows themselves are out of bounds (400)."""


class RowJob(Later):
    """A single row on its way to its answer: the version was chosen, the values have its types."""

    __slots__ = (
        "arrived",
        "deployment",
        "entity",
        "event_time",
        "inputs",
        "prediction_id",
        "request_id",
        "slot",
        "started",
        "values",
    )

    def __init__(
        self,
        deployment: Deployment,
        slot: Slot,
        inputs: Inputs | None,
        values: Sequence[Any],
        request_id: str | None,
        started: float,
        arrived: float,
        prediction_id: str,
        entity: str | None,
        event_time: float,
    ) -> None:
        self.deployment = deployment
        self.slot = slot
        self.inputs = inputs
        """None where all there is to the request are numbers, which stand in ``values``."""
        self.values = values
        self.request_id = request_id
        self.started = started
        self.arrived = arrived
        self.prediction_id = prediction_id
        self.entity = entity
        self.event_time = event_time

    def all_inputs(self) -> Inputs:
        """The request's inputs, for versions other than the one that answers."""
        if self.inputs is not None:
            return self.inputs
        return Inputs(1, matrix=self.values, width=len(self.values), floats=True)


@dataclass(slots=True)
class Part:
    """The rows of a request that one version scored."""

    slot: Slot
    index: npt.NDArray[np.intp] | None
    """Positions in the request; None: all rows."""
    columns: Columns
    prediction: npt.NDArray[np.generic] | None = None
    scores: npt.NDArray[np.float64] | None = None
    error: str | None = None


@dataclass(slots=True)
class Scored:
    """A scored batch: what is answered and what is recorded."""

    deployment: Deployment
    inputs: Inputs
    ids: list[str]
    arrived: float
    started: float
    versions: list[int]
    predictions: list[Any] = field(default_factory=list)
    scores: npt.NDArray[np.float64] | None = None
    parts: list[Part] = field(default_factory=list)

    @property
    def event_times(self) -> list[float]:
        given = self.inputs.event_times
        if given is None:
            return [self.arrived] * len(self.ids)
        return [self.arrived if at is None else at for at in given]

    @property
    def entities(self) -> list[str | None]:
        return self.inputs.entities or [None] * len(self.ids)


class Scorer:
    """Scores and records. ``score`` and ``commit`` belong to the event loop, ``batch`` may run in a thread."""

    def __init__(
        self, log: LogWriter, metrics: Metrics, shadow: ShadowQueue, ids: IdSource, clock: Callable[[], float]
    ) -> None:
        self._log = log
        self._metrics = metrics
        self._shadow = shadow
        self._ids = ids
        self._clock = clock

    def floats_job(
        self, deployment: Deployment, fixed: Slot | None, values: list[float | None], request_id: str | None, at: float
    ) -> RowJob | None:
        """A job for a row of numbers with nothing beside them, which came at ``at`` (``perf_counter``).

        None where the version takes something else: ``prepare`` says what.
        """
        now = self._clock()
        prediction_id = self._ids.next(now)
        slot = fixed or deployment.only or deployment.slots[deployment.router.choose(prediction_id)]
        if slot.layout.floats != len(values):
            return None
        return RowJob(deployment, slot, None, values, request_id, at, now, prediction_id, None, now)

    def prepare(
        self, deployment: Deployment, fixed: Slot | None, inputs: Inputs, request_id: str | None, started: float
    ) -> RowJob:
        """Choose the version of a single row and bring its values into the version's types.

        Raises:
            RequestError: the row does not fit the version's inputs.
        """
        now = self._clock()
        prediction_id = self._ids.next(now) if inputs.ids is None else inputs.ids[0]
        entity = None if inputs.entities is None else inputs.entities[0]
        event_time = now if inputs.event_times is None or inputs.event_times[0] is None else inputs.event_times[0]
        slot = fixed or deployment.only or deployment.slots[deployment.router.choose(entity or prediction_id)]
        values = row_of(inputs, slot.signature, slot.layout.all_floats)
        return RowJob(deployment, slot, inputs, values, request_id, started, now, prediction_id, entity, event_time)

    def score(self, jobs: Sequence[RowJob]) -> Answers:
        """Score single rows of one version in one call and record them: predictions and scores in plain values.

        Raises:
            RequestError: the model failed on the row, which is recorded; or on any of several, and nothing is.
        """
        slot = jobs[0].slot
        inputs = _inputs_of(jobs)
        try:
            answers = _answers(slot.model, jobs, inputs)
        except (ExternalError, DataError) as failure:
            raise self._failed(jobs, inputs, str(failure)) from failure
        if _is_nan(answers):
            raise self._failed(jobs, inputs, NAN)
        now = time.perf_counter()
        seconds = [now - job.started for job in jobs]
        self._log.add(_rows_block(jobs, inputs, seconds, answers))
        slot.counters.answered_rows(seconds)
        for job in jobs:
            if job.deployment.shadow:
                self._shadow.add(_shadow_job(job))
        return answers

    def _failed(self, jobs: Sequence[RowJob], inputs: Any, reason: str) -> RequestError:
        job = jobs[0]
        if len(jobs) == 1:
            self._log.add(_rows_block(jobs, inputs, [time.perf_counter() - job.started], None, reason))
            job.slot.counters.failed()
        return _blame(job.slot, columns_of(job.all_inputs(), job.slot.signature), reason)

    def batch(
        self, deployment: Deployment, fixed: Slot | None, inputs: Inputs, started: float, ids: IdSource
    ) -> Scored:
        """Score any number of rows; nothing is recorded yet (``commit``). The first part that failed ends it.

        Raises:
            RequestError: the rows do not fit a version's inputs.
        """
        now = self._clock()
        taken = ids.take(inputs.rows, now) if inputs.ids is None else inputs.ids
        scored = Scored(deployment, inputs, taken, now, started, [])
        slots = _slots(deployment, fixed, inputs, taken)
        scored.versions = [slot.version for slot in slots]
        distinct = list({slot.version: slot for slot in slots}.values())
        for slot in distinct:
            columns = columns_of(inputs, slot.signature)
            index = None
            if len(distinct) > 1:
                index = np.array([i for i, chosen in enumerate(slots) if chosen is slot], dtype=np.intp)
                columns = {name: column[index] for name, column in columns.items()}
            scored.parts.append(Part(slot, index, columns))
        for part in scored.parts:
            try:
                part.prediction, part.scores = part.slot.model.predict(part.columns)
            except (ExternalError, DataError) as error:
                part.error = str(error)
            else:
                part.error = NAN if _any_nan(part.prediction if part.scores is None else part.scores) else None
        if not any(part.error for part in scored.parts):
            _join(scored)
        return scored

    def commit(self, scored: Scored) -> None:
        """Record a scored batch and queue it for the shadow.

        Raises:
            RequestError: a version failed on its rows (recorded all the same).
        """
        failed = next((part for part in scored.parts if part.error), None)
        seconds = time.perf_counter() - scored.started
        for part in scored.parts:
            # Where one part failed nothing was answered: the other parts' rows are errors too.
            error = part.error
            if error is None and failed is not None:
                error = f"version {failed.slot.version} failed on rows of the same request"
            self._log.add(_block(scored, part, error, seconds))
            if error:
                part.slot.counters.failed(len(part.columns) and _length(part.columns))
            else:
                part.slot.counters.answered(seconds, len(scored.ids) if part.index is None else len(part.index))
        if failed is not None:
            raise _blame(failed.slot, failed.columns, failed.error or "")
        if scored.deployment.shadow:
            job = ShadowJob(
                scored.deployment,
                scored.inputs,
                scored.ids,
                scored.arrived,
                scored.event_times,
                scored.entities,
                scored.versions,
            )
            self._shadow.add(job)


def _inputs_of(jobs: Sequence[RowJob]) -> Any:
    """The rows as ``BlockRecord.inputs``: at 8 bytes a number where all are numbers, not the 32 of a Python float."""
    layout = jobs[0].slot.layout
    if layout.all_floats:
        return np.frombuffer(b"".join([layout.pack(job.values) for job in jobs])).reshape(len(jobs), -1)
    return [job.values for job in jobs]


def _answers(model: Model, jobs: Sequence[RowJob], inputs: Any) -> Answers:
    if len(jobs) == 1:
        row = model.predict_row(jobs[0].values)
        return [row.prediction], None if row.scores is None else [row.scores]
    return model.predict_matrix(inputs) if isinstance(inputs, np.ndarray) else model.predict_rows(inputs)


def _is_nan(answers: Answers) -> bool:
    """Whether a row's answer is not a number: no answer, whatever its caller makes of it."""
    predictions, scores = answers
    if scores is not None:
        return any([row[0] != row[0] for row in scores])  # noqa: C419  a list is quicker than a generator
    return any([value != value or value in INFINITE for value in predictions])  # noqa: C419  as above


def _rows_block(
    jobs: Sequence[RowJob], inputs: Any, seconds: list[float], answers: Answers | None, error: str | None = None
) -> BlockRecord:
    """The record of single rows of one version."""
    first = jobs[0]
    arrived = [job.arrived for job in jobs]
    return BlockRecord(
        slot=first.slot,
        generation=first.deployment.generation,
        shadow=False,
        error=error,
        ids=[job.prediction_id for job in jobs],
        times=arrived,
        event_times=arrived if all(job.inputs is None for job in jobs) else [job.event_time for job in jobs],
        entities=[job.entity for job in jobs],
        latencies_ms=[value * 1000.0 for value in seconds],
        inputs=inputs,
        prediction=None if answers is None else answers[0],
        scores=None if answers is None else answers[1],
    )


def _shadow_job(job: RowJob) -> ShadowJob:
    return ShadowJob(
        job.deployment,
        job.all_inputs(),
        [job.prediction_id],
        job.arrived,
        [job.event_time],
        [job.entity],
        [job.slot.version],
    )


def _any_nan(values: npt.NDArray[Any]) -> bool:
    return values.dtype.kind == "f" and not bool(np.isfinite(values).all())


def _ms(started: float) -> float:
    return (time.perf_counter() - started) * 1000.0


def _length(columns: Columns) -> int:
    return len(next(iter(columns.values())))


def _slots(deployment: Deployment, fixed: Slot | None, inputs: Inputs, ids: Sequence[str]) -> list[Slot]:
    one = fixed or deployment.only
    if one is not None:
        return [one] * inputs.rows
    entities = inputs.entities or [None] * inputs.rows
    choose, slots = deployment.router.choose, deployment.slots
    return [slots[choose(entity or taken)] for entity, taken in zip(entities, ids, strict=True)]


def _join(scored: Scored) -> None:
    """Put the parts' answers back into the order of the request."""
    first = scored.parts[0]
    assert first.prediction is not None  # noqa: S101  only called where no part failed
    if first.index is None:
        scored.predictions, scored.scores = first.prediction.tolist(), first.scores
        return
    n, classes = len(scored.ids), scored.deployment.classes
    scored.predictions = [None] * n
    with_scores = classes is not None and all(part.scores is not None for part in scored.parts)
    if with_scores and classes is not None:
        scored.scores = np.zeros((n, len(classes)))
    for part in scored.parts:
        assert part.index is not None and part.prediction is not None  # noqa: S101, PT018
        for position, value in zip(part.index.tolist(), part.prediction.tolist(), strict=True):
            scored.predictions[position] = value
        if scored.scores is not None and part.scores is not None and classes is not None:
            at = [classes.index(value) for value in part.slot.signature.classes or ()]
            scored.scores[np.ix_(part.index, np.array(at))] = part.scores


def _block(scored: Scored, part: Part, error: str | None, seconds: float) -> BlockRecord:
    def mine(values: Sequence[Any]) -> Sequence[Any]:
        return values if part.index is None else [values[i] for i in part.index.tolist()]

    n = len(scored.ids) if part.index is None else len(part.index)
    return BlockRecord(
        slot=part.slot,
        generation=scored.deployment.generation,
        shadow=False,
        error=error,
        ids=mine(scored.ids),
        times=[scored.arrived] * n,
        event_times=mine(scored.event_times),
        entities=mine(scored.entities),
        latencies_ms=[seconds * 1000.0] * n,
        inputs=part.columns,
        prediction=None if error else part.prediction,
        scores=None if error else part.scores,
    )


def _blame(slot: Slot, columns: Columns, failure: str) -> RequestError:
    reason = unusual(columns, slot.signature)
    if reason is not None:
        return ModelFailedError(400, f"version {slot.version} cannot score this: {reason}")
    return ModelFailedError(500, f"version {slot.version} failed: {failure}")
