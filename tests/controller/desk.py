"""A desk of fakes whose effects can die at any line."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tests.decide.worlds import POLICY, record
from trimtab.controller.converge import World
from trimtab.controller.loop import Loop
from trimtab.controller.observe import Champion, Observer, Settings
from trimtab.core.decide.policy import Policy
from trimtab.core.domain.gate import VersionRecord
from trimtab.core.profiles import Baseline
from trimtab.core.profiles.baseline import Evaluation
from trimtab.replay.fakes import (
    FakeClock,
    MemoryJobs,
    MemoryJournal,
    MemoryLogReader,
    MemoryNotifier,
    MemoryRegistry,
    MemoryTarget,
)


class Died(Exception):  # noqa: N818 - it stands for kill -9
    """The process is gone."""


@dataclass
class Registered(MemoryRegistry):
    """A registry that holds versions without a training run."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.kept = {version: record(version, compared_to=1) for version in range(1, count + 1)}

    def get(self, version: int) -> VersionRecord:
        return self.kept[version]

    def fetch(self, version: int, to: Path) -> Path:
        to.mkdir(parents=True)
        return to


@dataclass
class Sent:
    """The outbox."""

    seq: int = 0

    def delivered(self) -> int:
        return self.seq

    def deliver(self, seq: int) -> None:
        self.seq = seq


@dataclass
class Seen:
    """The view."""

    last: dict[str, Any] | None = None

    def save(self, seen: dict[str, Any]) -> None:
        self.last = seen

    def load(self) -> dict[str, Any] | None:
        return self.last


@dataclass
class FakeDesk:
    """The ports of one endpoint, in memory. ``loop()`` is a controller's process; make another after it died."""

    policy: Policy = POLICY
    name: str = "parcels"
    clock: FakeClock = field(default_factory=lambda: FakeClock(1000.0))
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    registry: Registered = field(default_factory=lambda: Registered(5))
    target: MemoryTarget = field(default_factory=MemoryTarget)
    jobs: MemoryJobs = field(default_factory=MemoryJobs)
    notifier: MemoryNotifier = field(default_factory=MemoryNotifier)
    reader: MemoryLogReader = field(default_factory=MemoryLogReader)
    outbox: Sent = field(default_factory=Sent)
    view: Seen = field(default_factory=Seen)

    @cached_property
    def world(self) -> World:
        return World(self.registry, self.target, self.jobs, self.notifier, self.outbox)

    def loop(self) -> Loop:
        observer = Observer(self.reader, self.jobs, self.target, lambda v: Champion(v, baseline()), Settings())
        return Loop(self.policy, self.journal, self.clock, observer, self.world)


def baseline() -> Baseline:
    """Of a model that saw one number and answers yes or no."""
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.1, 0.9, 500)
    labels = (rng.random(500) < scores).astype(float)
    return Baseline.fit(
        {"x": rng.normal(size=2000)},
        time=np.arange(2000) * 900.0,
        evaluation=Evaluation(
            predictions=np.column_stack([1 - scores, scores]),
            labels=labels,
            time=np.arange(500) * 900.0,
            classes=("no", "yes"),
        ),
    )


def predictions(
    ids: list[str], version: int, scores: list[float], *, at: float, generation: int, shadow: bool = False
) -> pa.Table:
    """Rows as a server logs them."""
    count = len(ids)
    times = pa.array([int(at * 1e6)] * count, pa.timestamp("us", tz="UTC"))
    return pa.table(
        {
            "prediction_id": ids,
            "time": times,
            "event_time": times,
            "version": pa.array([version] * count, pa.int32()),
            "arm": ["champion"] * count,
            "shadow": [shadow] * count,
            "entity": pa.nulls(count, pa.string()),
            "generation": pa.array([generation] * count, pa.int32()),
            "latency_ms": pa.array([1.0] * count, pa.float32()),
            "error": pa.nulls(count, pa.string()),
            "x.x": pa.nulls(count, pa.float64()) if shadow else pa.array(np.linspace(-2, 2, count)),
            "y.prediction": ["yes" if score > 0.5 else "no" for score in scores],
            "y.score.no": [1 - score for score in scores],
            "y.score.yes": scores,
        }
    )


def labels(ids: list[str], values: list[str], *, at: float) -> pa.Table:
    """Labels as a server logs them."""
    times = pa.array([int(at * 1e6)] * len(ids), pa.timestamp("us", tz="UTC"))
    return pa.table({"prediction_id": ids, "label": values, "label_time": times, "time": times})
