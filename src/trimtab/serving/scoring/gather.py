"""Single rows that arrive in one turn of the event loop are scored in one call when it ends.

Nothing ever waits for company: what is there when the turn ends goes, so a lone request is as quick as without, and
under load the price of a call (finding the model's memory cold, above all) is shared by all rows of the turn. Calls are
kept short, and the sockets are read between them: where more comes than can be scored, the rest is refused at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import repeat

from trimtab.serving.net.http import Answer, RequestError, Response, unavailable
from trimtab.serving.protocols.oip import encode_row
from trimtab.serving.scoring.pace import ROWS_MAX
from trimtab.serving.scoring.scorer import RowJob, Scorer

Answers = Sequence[tuple[RowJob, Answer]]


class Gatherer:
    """The rows that wait.

    ``wait_s``: a row that would wait longer than this for those before it is refused with 503. ``settled``: where a
    record has to be on disk before its answer goes out, a future of that. ``failure``: the answer to an error.
    """

    def __init__(
        self,
        scorer: Scorer,
        wait_s: float,
        settled: Callable[[], asyncio.Future[None]] | None,
        answered: Callable[[int, int], None],
        failure: Callable[[Exception], Response],
    ) -> None:
        self._scorer = scorer
        self._wait_s = wait_s
        self._settled = settled
        self._answered = answered
        self._failure = failure
        self._waiting: list[RowJob] = []
        self._due = False
        """A look at what waits is scheduled."""

    def add(self, job: RowJob) -> RowJob:
        """The row is answered once the turn has ended, or its turn has come.

        Raises:
            RequestError: 503, too many wait already.
        """
        waiting, pace = self._waiting, job.slot.pace
        if len(waiting) >= pace.rows and pace.wait_s(len(waiting)) > self._wait_s:
            raise unavailable(f"the server is overloaded: {len(waiting)} rows wait already")
        waiting.append(job)
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._look_again, 1)
        return job

    def _look_again(self, seen: int) -> None:
        """Score when a look at the sockets brought nothing new; a lone row is scored at once.

        A look costs a few microseconds, a call many: rows that are on the wire already would pay for one of their own.
        """
        waiting = len(self._waiting)
        if seen < waiting < ROWS_MAX:
            asyncio.get_running_loop().call_soon(self._look_again, waiting)
        else:
            self._score_some()

    def _score_some(self) -> None:
        """One call; what it leaves waits until the sockets were looked at."""
        jobs = self._next_jobs()
        started = time.perf_counter()
        answers = self._answers(jobs)
        jobs[0].slot.pace.took(len(jobs), time.perf_counter() - started)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._score_some)
        else:
            self._due = False
        if self._settled is None:
            _deliver(answers)
        else:
            self._settled().add_done_callback(partial(_deliver, answers))

    def _next_jobs(self) -> list[RowJob]:
        """Rows of the version that the first one needs (a swap within the turn must not mix versions)."""
        waiting = self._waiting
        slot = waiting[0].slot
        most = slot.pace.rows
        if len(waiting) <= most and all(job.slot is slot for job in waiting):
            self._waiting = []
            return waiting
        taken: list[RowJob] = []
        left: list[RowJob] = []
        for job in waiting:
            (taken if job.slot is slot and len(taken) < most else left).append(job)
        self._waiting = left
        return taken

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


def _deliver(answers: Answers, _settled: asyncio.Future[None] | None = None) -> None:
    for job, answer in answers:
        job.deliver(answer)
