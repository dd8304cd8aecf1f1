"""Single rows that arrive in one turn of the event loop are scored in one call when it ends.

Nothing ever waits for company: what is there when the turn ends goes, so a lone request is as quick as without, and
under load the price of a call (finding the model's memory cold, above all) is shared by all rows of the turn.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import repeat

from trimtab.serving.http import Answer, RequestError, Response, unavailable
from trimtab.serving.oip import encode_row
from trimtab.serving.scoring import RowJob, Scorer

ROWS_MAX = 256
"""Rows of one call."""


Answers = Sequence[tuple[RowJob, Answer]]


class Gatherer:
    """The rows of this turn.

    ``turn_s``: rows that would wait longer than this for those before them are refused with 503. ``settled``: where a
    record has to be on disk before its answer goes out, a future of that. ``failure``: the answer to an error.
    """

    def __init__(
        self,
        scorer: Scorer,
        turn_s: float,
        settled: Callable[[], asyncio.Future[None]] | None,
        answered: Callable[[int, int], None],
        failure: Callable[[Exception], Response],
    ) -> None:
        self._scorer = scorer
        self._turn_s = turn_s
        self._settled = settled
        self._answered = answered
        self._failure = failure
        self._waiting: list[RowJob] = []

    def add(self, job: RowJob) -> RowJob:
        """The row is answered once the turn has ended."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._look_again, 1)
        self._waiting.append(job)
        return job

    def _look_again(self, seen: int) -> None:
        """Score when a look at the sockets brought nothing new; a lone row is scored at once.

        A look costs a few microseconds, a call many: rows that are on the wire already would pay for one of their own.
        """
        waiting = len(self._waiting)
        if seen < waiting < ROWS_MAX:
            asyncio.get_running_loop().call_soon(self._look_again, waiting)
        else:
            self._score_all()

    def _score_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        until = time.perf_counter() + self._turn_s
        for group in _by_slot(waiting):
            for first in range(0, len(group), ROWS_MAX):
                part = group[first : first + ROWS_MAX]
                if time.perf_counter() > until:
                    answers = self._failures(part, unavailable("the server is overloaded"))
                else:
                    answers = self._answers(part)
                if self._settled is None:
                    _deliver(answers)
                else:
                    self._settled().add_done_callback(partial(_deliver, answers))

    def _answers(self, jobs: list[RowJob]) -> Answers:
        """Score and record rows of one version."""
        try:
            return self._scored(jobs)
        except RequestError as error:
            if len(jobs) == 1:
                return self._failures(jobs, error)
            # One bad row fails them all: each gets its own call, and its own error.
            return [answer for job in jobs for answer in self._answers([job])]
        except Exception as error:  # noqa: BLE001  the edge: each client gets an answer, and others go on
            return self._failures(jobs, error)

    def _scored(self, jobs: list[RowJob]) -> Answers:
        slot, (predictions, scores) = jobs[0].slot, self._scorer.score(jobs)
        self._answered(200, len(jobs))
        model, version = slot.signature.model, slot.version
        return [
            (job, encode_row(model, version, job.request_id, job.prediction_id, prediction, row))
            for job, prediction, row in zip(jobs, predictions, scores or repeat(None), strict=False)
        ]

    def _failures(self, jobs: list[RowJob], error: Exception) -> Answers:
        answer = self._failure(error)
        self._answered(answer.status, len(jobs))
        return [(job, answer) for job in jobs]


def _by_slot(waiting: list[RowJob]) -> list[list[RowJob]]:
    """By identity of the slot: a swap within the turn must not mix versions."""
    slot = waiting[0].slot
    if all(one.slot is slot for one in waiting):
        return [waiting]
    groups: dict[int, list[RowJob]] = {}
    for one in waiting:
        groups.setdefault(id(one.slot), []).append(one)
    return list(groups.values())


def _deliver(answers: Answers, _settled: asyncio.Future[None] | None = None) -> None:
    for job, answer in answers:
        job.deliver(answer)
