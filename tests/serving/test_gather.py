"""Micro-batches of models whose call is slow, through a real event loop."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trimtab.core.domain.errors import ExternalError
from trimtab.core.domain.routes import Routes, Share
from trimtab.serving.deployment import Deployment, assemble
from trimtab.serving.gather import Gatherer
from trimtab.serving.http import RequestError
from trimtab.serving.ids import IdSource
from trimtab.serving.inputs import Inputs
from trimtab.serving.log import LogWriter
from trimtab.serving.metrics import Metrics
from trimtab.serving.package import InputSpec, RuntimeSpec, Signature
from trimtab.serving.runtimes.base import Outputs, Row
from trimtab.serving.scoring import Scorer
from trimtab.serving.shadow import ShadowQueue


class Doubling:
    """Doubles its input, cannot stand 13, and counts its calls."""

    batching = True
    digest = ""
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
        return Outputs(np.asarray(columns["f"]) * 2, None)

    def predict_row(self, values: Any) -> Row:
        self.calls.append(1)
        if values[0] == 13:
            raise ExternalError("thirteen")
        return Row(values[0] * 2, None)


def parts(tmp_path: Path, model: Doubling) -> tuple[Gatherer, Deployment, LogWriter]:
    metrics = Metrics()
    log = LogWriter(tmp_path, "w", 10.0, 1000)
    scorer = Scorer(log, metrics, ShadowQueue(log, metrics, 10), IdSource("t"), lambda: 1370088000.0)
    deployment = assemble(Routes(1, "s", (Share(1, 100),)), {1: model}, metrics.arm)
    return Gatherer(scorer), deployment, log


def row(value: float) -> Inputs:
    return Inputs(1, {"f": [value], "s": ["x"]})


def test_rows_of_one_turn_are_scored_in_one_call(tmp_path: Path) -> None:
    """Twenty clients are ready at once; each gets its own answer, the model is called once."""
    model = Doubling()

    async def play() -> list[Any]:
        gatherer, deployment, log = parts(tmp_path, model)
        log.start()
        answers = await asyncio.gather(*(gatherer.add(deployment, None, row(i), 0.0) for i in range(12)))
        log.close()
        assert log.written == 12
        return [prediction for _, _, prediction, _ in answers]

    assert asyncio.run(play()) == [2.0 * i for i in range(12)]
    assert model.calls == [12]


def test_one_bad_row_does_not_fail_its_neighbours(tmp_path: Path) -> None:
    """A row that the model cannot stand arrives together with good ones."""
    model = Doubling()

    async def play() -> list[Any]:
        gatherer, deployment, _ = parts(tmp_path, model)
        futures = [gatherer.add(deployment, None, row(i), 0.0) for i in (12, 13, 14)]
        return await asyncio.gather(*futures, return_exceptions=True)

    first, second, third = asyncio.run(play())
    assert (first[2], third[2]) == (24, 28)
    assert isinstance(second, RequestError)
    assert second.status == 500
    assert "thirteen" in str(second)


def test_a_row_that_does_not_fit_is_refused_before_it_waits(tmp_path: Path) -> None:
    """Bad input never reaches the batch."""

    async def play() -> None:
        gatherer, deployment, _ = parts(tmp_path, Doubling())
        with pytest.raises(RequestError, match="takes float64"):
            await gatherer.add(deployment, None, Inputs(1, {"f": ["x"], "s": ["x"]}), 0.0)

    asyncio.run(play())
