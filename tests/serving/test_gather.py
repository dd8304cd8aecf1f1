"""Single rows of one turn, through a real event loop."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from trimtab.core.domain.errors import ExternalError
from trimtab.core.domain.routes import Routes, Share
from trimtab.serving.net.http import Answer, RequestError, Response, error_response
from trimtab.serving.package import InputSpec, RuntimeSpec, Signature
from trimtab.serving.process.metrics import Metrics
from trimtab.serving.protocols.inputs import Inputs
from trimtab.serving.record.writer import LogWriter
from trimtab.serving.runtimes.base import Answers, Outputs, Row, columns_of_rows, plain
from trimtab.serving.scoring.deployment import Deployment, assemble
from trimtab.serving.scoring.gather import Gatherer
from trimtab.serving.scoring.ids import IdSource
from trimtab.serving.scoring.pace import ROWS_MAX, Pace
from trimtab.serving.scoring.scorer import RowJob, Scorer
from trimtab.serving.scoring.shadow import ShadowQueue


class Doubling:
    """Doubles its input, cannot stand 13, answers 7 with no number, dies of 99, and counts its calls."""

    digest = ""
    direct = None
    signature = Signature(
        model="m",
        task="regression",
        target="y",
        inputs=(InputSpec("f", "float64"), InputSpec("s", "string")),
        runtime=RuntimeSpec("native", ()),
    )

    def __init__(self) -> None:
        self.calls: list[int] = []

    def predict(self, columns: Any) -> Outputs:
        self.calls.append(len(columns["f"]))
        if (columns["f"] == 13).any():
            raise ExternalError("thirteen")
        if (columns["f"] == 99).any():
            raise ZeroDivisionError
        return Outputs(np.where(columns["f"] == 7, np.nan, np.asarray(columns["f"]) * 2), None)

    def predict_row(self, values: Any) -> Row:
        return Row(self.predict(columns_of_rows([values], self.signature.inputs)).prediction.tolist()[0], None)

    def predict_rows(self, rows: Any) -> Answers:
        return plain(self.predict(columns_of_rows(rows, self.signature.inputs)))

    def predict_matrix(self, _matrix: Any) -> Answers:
        raise AssertionError


class Parts:
    """A gatherer with what it needs around it."""

    def __init__(self, tmp_path: Path, sync: bool = False, wait_s: float = 10.0) -> None:
        self.model = Doubling()
        self.metrics = Metrics()
        self.log = LogWriter(tmp_path, "w", 10.0, 1000)
        shadow = ShadowQueue(self.log, self.metrics, 10)
        self.scorer = Scorer(self.log, self.metrics, shadow, IdSource("t"), lambda: 1370088000.0)
        self.deployment: Deployment = assemble(Routes(1, "s", (Share(1, 100),)), {1: self.model}, self.metrics.arm)
        self.counted: list[tuple[int, int]] = []
        self.gatherer = Gatherer(
            self.scorer,
            wait_s,
            self.log.settled if sync else None,
            lambda status, count: self.counted.append((status, count)),
            _failure,
        )

    def job(self, value: float) -> RowJob:
        return self.scorer.prepare(self.deployment, None, Inputs(1, {"f": [value], "s": ["x"]}), None, 0.0)

    def added(self, job: RowJob) -> asyncio.Future[Answer]:
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.gatherer.add(job).deliver = future.set_result
        return future

    async def answer(self, *values: float) -> list[Any]:
        """What each of the rows, which arrive in one turn, is answered: its prediction, or a response."""
        answers = await asyncio.gather(*(self.added(self.job(value)) for value in values))
        return [msgspec.json.decode(a)["outputs"][0]["data"][0] if isinstance(a, bytes) else a for a in answers]


def _failure(error: Exception) -> Response:
    if isinstance(error, RequestError):
        return error_response(error.status, str(error), error.headers)
    return error_response(500, repr(error))


def test_rows_of_one_turn_are_scored_in_one_call(tmp_path: Path) -> None:
    """Eleven clients are ready at once; each gets its own answer, the model is called once."""
    parts = Parts(tmp_path)
    parts.deployment.champion.pace.took(8, 0.0001)

    async def play() -> list[Any]:
        parts.log.start()
        answers = await parts.answer(*(i for i in range(12) if i != 7))
        parts.log.close()
        return answers

    assert asyncio.run(play()) == [2.0 * i for i in range(12) if i != 7]
    assert parts.model.calls == [11]
    assert parts.counted == [(200, 11)]
    assert parts.log.written == 11


def test_one_bad_row_does_not_fail_its_neighbours(tmp_path: Path) -> None:
    """A row that the model cannot stand, and one it has no number for, arrive together with good ones."""
    first, second, third, fourth = asyncio.run(Parts(tmp_path).answer(12, 13, 14, 7))
    assert (first, third) == (24, 28)
    assert (second.status, fourth.status) == (500, 500)
    assert b"thirteen" in second.body
    assert b"not a number" in fourth.body


def test_a_defect_of_a_model_is_answered(tmp_path: Path) -> None:
    """A foreign model raises what it should not: nobody waits for an answer for ever, and the next turn is served."""
    parts = Parts(tmp_path)

    async def play() -> list[Any]:
        return [*await parts.answer(99, 1), *await parts.answer(1)]

    one, other, later = asyncio.run(play())
    assert (one.status, other.status, later) == (500, 500, 2.0)


def test_what_would_wait_too_long_is_refused_at_once(tmp_path: Path) -> None:
    """More comes than a slow model can score: those who got in are answered, the rest are told to come back."""
    parts = Parts(tmp_path, wait_s=0.05)
    for rows in (1, 2, 4, 8):
        parts.deployment.champion.pace.took(rows, 0.005 * rows)  # four rows a call; ten wait 50 ms

    async def play() -> tuple[list[Any], RequestError]:
        jobs = [parts.job(1.0) for _ in range(12)]
        first = asyncio.gather(*(parts.added(job) for job in jobs[:11]))
        with pytest.raises(RequestError) as refused:
            parts.gatherer.add(jobs[11])
        return await first, refused.value

    answers, refused = asyncio.run(play())
    assert len(answers) == 11
    assert (refused.status, refused.headers) == (503, ((b"Retry-After", b"1"),))
    assert parts.model.calls[0] == 4


@pytest.mark.parametrize(
    ("call_s", "row_s", "rows"),
    [
        pytest.param(20e-6, 3e-6, ROWS_MAX, id="compiled"),
        pytest.param(0.06, 0.0001, ROWS_MAX, id="a native forest"),
        pytest.param(0.0, 0.2, 1, id="every row is slow"),
        pytest.param(0.001, 0.002, 10, id="a nearest neighbour"),
    ],
)
def test_rows_per_call_follow_what_a_call_takes(call_s: float, row_s: float, rows: int) -> None:
    """Where a row is what costs, calls stay short; where the call is, they are full."""
    pace = Pace()
    biggest = 1
    for _ in range(40):
        pace.took(pace.rows, call_s + row_s * pace.rows)
        biggest = max(biggest, pace.rows)
    assert pace.rows == pytest.approx(rows, abs=1)
    assert biggest <= 2 * rows + 8
    expected = -(-100 // pace.rows) * call_s + 100 * row_s
    assert pace.wait_s(100) == pytest.approx(expected, rel=0.3)


def test_an_answer_waits_for_its_record(tmp_path: Path) -> None:
    """``durability: sync``: what was answered is on disk."""
    parts = Parts(tmp_path, sync=True)

    async def play() -> int:
        parts.log.start()
        assert await parts.answer(1, 2) == [2.0, 4.0]
        written = parts.log.written
        parts.log.close()
        return written

    assert asyncio.run(play()) == 2


def test_a_row_that_does_not_fit_is_refused_before_it_waits(tmp_path: Path) -> None:
    """Bad input never reaches the batch."""
    parts = Parts(tmp_path)
    with pytest.raises(RequestError, match="takes float64"):
        parts.scorer.prepare(parts.deployment, None, Inputs(1, {"f": ["x"], "s": ["x"]}), None, 0.0)
