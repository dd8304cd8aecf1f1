"""Micro-batches: single rows that arrive in one turn of the event loop are scored in one call.

Only for models whose call costs far more than a row (``Model.batching``). Nothing ever waits for company: what is there
when the turn ends goes, so a lone request is as quick as before.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab.core.domain.errors import DataError, ExternalError
from trimtab.serving.deployment import Deployment, Slot
from trimtab.serving.inputs import Inputs
from trimtab.serving.runtimes.base import Columns
from trimtab.serving.runtimes.loading import output_row
from trimtab.serving.scoring import RowJob, Scorer, is_nan

ROWS_MAX = 256

RowAnswer = tuple[Slot, str, Any, "tuple[float, ...] | None"]


@dataclass(frozen=True, slots=True)
class _Waiting:
    job: RowJob
    future: asyncio.Future[RowAnswer]


class Gatherer:
    """Rows waiting for the end of the turn, by version."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._waiting: dict[int, list[_Waiting]] = {}
        """By identity of the slot: a swap within the turn must not mix versions."""

    def add(
        self, deployment: Deployment, fixed: Slot | None, inputs: Inputs, started: float
    ) -> asyncio.Future[RowAnswer]:
        """The row's answer, once the turn has ended.

        Raises:
            RequestError: the row does not fit the version's inputs.
        """
        loop = asyncio.get_running_loop()
        job = self._scorer.prepare(deployment, fixed, inputs, started)
        if not self._waiting:
            loop.call_soon(self._score_all)
        future: asyncio.Future[RowAnswer] = loop.create_future()
        self._waiting.setdefault(id(job.slot), []).append(_Waiting(job, future))
        return future

    def _score_all(self) -> None:
        groups, self._waiting = self._waiting, {}
        for group in groups.values():
            for first in range(0, len(group), ROWS_MAX):
                self._score(group[first : first + ROWS_MAX])

    def _score(self, group: list[_Waiting]) -> None:
        if len(group) > 1:
            slot = group[0].job.slot
            try:
                outputs = slot.model.predict(_columns(slot, [one.job.values for one in group]))
            except (ExternalError, DataError):
                outputs = None  # one bad row fails them all: each gets its own call below, and its own error
            if outputs is not None:
                for index, one in enumerate(group):
                    prediction, scores = output_row(outputs, index)
                    if is_nan(prediction, scores):
                        self._score([one])
                        continue
                    self._scorer.finish(one.job, prediction, scores)
                    _resolve(one, (slot, one.job.prediction_id, prediction, scores))
                return
        for one in group:
            try:
                _resolve(one, self._scorer.score_job(one.job))
            except Exception as error:  # noqa: BLE001  whatever it is belongs to the request that awaits this future
                if not one.future.cancelled():
                    one.future.set_exception(error)


def _columns(slot: Slot, rows: list[Any]) -> Columns:
    columns = {}
    for spec, values in zip(slot.signature.inputs, zip(*rows, strict=True), strict=True):
        if spec.type == "string":
            column = np.empty(len(values), dtype=object)
            column[:] = values
            columns[spec.name] = column
        else:
            columns[spec.name] = np.array(values, dtype=np.float64)
    return columns


def _resolve(waiting: _Waiting, answer: RowAnswer) -> None:
    if not waiting.future.cancelled():
        waiting.future.set_result(answer)
