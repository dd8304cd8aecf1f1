"""Shadow scoring: versions that only watch score each request after its answer was sent.

What waits is bounded; under load the newest is dropped first and counted. Rows that came within a few milliseconds are
scored in one call.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.core.domain.errors import DataError, ExternalError
from trimtab.serving.net.http import RequestError
from trimtab.serving.process.metrics import Metrics
from trimtab.serving.protocols.inputs import Inputs, columns_of
from trimtab.serving.record.records import BlockRecord
from trimtab.serving.record.writer import LogWriter
from trimtab.serving.scoring.deployment import Deployment, Slot

DELAY_S = 0.005
"""Waits this long for more rows before it scores."""
SLICE_S = 0.003
"""Works this long before requests get their turn again."""
ROWS_PER_CALL = 256


@dataclass(frozen=True, slots=True)
class ShadowJob:
    """An answered request: what the watching versions need to score it too."""

    deployment: Deployment
    inputs: Inputs
    ids: Sequence[str]
    arrived: float
    event_times: Sequence[float]
    entities: Sequence[str | None]
    answered_by: Sequence[int]
    """The version that answered each row."""


class ShadowQueue:
    """Jobs waiting, and the timer that works them off. Lives on the event loop."""

    def __init__(self, log: LogWriter, metrics: Metrics, limit_rows: int) -> None:
        self._log = log
        self._metrics = metrics
        self._limit = limit_rows
        self._jobs: deque[ShadowJob] = deque()
        self._rows = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        return self._rows

    def add(self, job: ShadowJob) -> None:
        """Queue it, or drop and count it where the queue is full."""
        if self._rows + len(job.ids) > self._limit:
            self._metrics.shadow_dropped += len(job.ids)
            return
        self._jobs.append(job)
        self._rows += len(job.ids)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY_S, self._work)

    def finish(self) -> None:
        """Score all that waits, at the end."""
        while self._jobs:
            self._score_next()
        if self._timer is not None:
            self._timer.cancel()

    def _work(self) -> None:
        self._timer = None
        until = time.perf_counter() + SLICE_S
        while self._jobs and time.perf_counter() < until:
            self._score_next()
        if self._jobs:
            self._timer = asyncio.get_running_loop().call_later(DELAY_S / 5, self._work)

    def _score_next(self) -> None:
        """Score jobs of one deployment and one kind of input together."""
        first = self._jobs[0]
        jobs: list[ShadowJob] = []
        rows = 0
        while self._jobs and self._jobs[0].deployment is first.deployment and (not jobs or rows < ROWS_PER_CALL):
            jobs.append(self._jobs.popleft())
            rows += len(jobs[-1].ids)
        self._rows -= rows
        for slot in first.deployment.shadow:
            picked = [(job, [i for i, by in enumerate(job.answered_by) if by != slot.version]) for job in jobs]
            self._score(slot, [(job, keep) for job, keep in picked if keep])

    def _score(self, slot: Slot, picked: list[tuple[ShadowJob, list[int]]]) -> None:
        if not picked:
            return
        started = time.perf_counter()
        columns, prediction, scores, error = None, None, None, None
        try:
            parts = [_picked_columns(job, keep, slot) for job, keep in picked]
            columns = {spec.name: np.concatenate([part[spec.name] for part in parts]) for spec in slot.signature.inputs}
            prediction, scores = slot.model.predict(columns)
        except (RequestError, ExternalError, DataError) as failure:
            if len(picked) > 1:  # one bad row must not fail its neighbours
                for one in picked:
                    self._score(slot, [one])
                return
            error = str(failure)
        rows = sum(len(keep) for _, keep in picked)
        seconds = (time.perf_counter() - started) / rows
        counters = self._metrics.arm(slot.signature.model, slot.version, "shadow")
        if error is None:
            counters.answered(seconds, rows)
        else:
            counters.failed(rows)
        self._log.add(
            BlockRecord(
                slot=slot,
                generation=picked[0][0].deployment.generation,
                shadow=True,
                error=error,
                ids=[job.ids[i] for job, keep in picked for i in keep],
                times=[job.arrived for job, keep in picked for _ in keep],
                event_times=[job.event_times[i] for job, keep in picked for i in keep],
                entities=[job.entities[i] for job, keep in picked for i in keep],
                latencies_ms=[seconds * 1000.0] * rows,
                inputs=None,
                prediction=prediction,
                scores=scores,
            )
        )


def _picked_columns(job: ShadowJob, keep: list[int], slot: Slot) -> dict[str, npt.NDArray[np.generic]]:
    columns = columns_of(job.inputs, slot.signature)
    if len(keep) == len(job.ids):
        return columns
    return {name: column[keep] for name, column in columns.items()}
