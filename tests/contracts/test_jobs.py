"""The Jobs port: processes and the fake keep the same promises."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from trimtab.adapters.process import ProcessJobs
from trimtab.ports import JobPhase, Jobs
from trimtab.replay.fakes import MemoryJobs

WAIT_S = 30.0

PROGRAM = """
import json, os, sys, time
home = os.path.join(sys.argv[1], sys.argv[2])
end = time.monotonic() + 60
while not os.path.exists(os.path.join(home, "go")) and time.monotonic() < end:
    time.sleep(0.005)
result = json.load(open(os.path.join(home, "go")))
print("working on", json.load(open(os.path.join(home, "spec.json"))))
if result is not None:
    with open(os.path.join(home, "aside"), "w") as file:
        json.dump(result, file)
    os.replace(os.path.join(home, "aside"), os.path.join(home, "result.json"))
"""


class World(Protocol):
    """Jobs, and the hand that ends them."""

    jobs: Jobs

    def end(self, job: str, result: dict[str, Any] | None) -> None: ...


class Memory:
    def __init__(self) -> None:
        self.fake = MemoryJobs()
        self.jobs: Jobs = self.fake

    def end(self, job: str, result: dict[str, Any] | None) -> None:
        if result is None:
            self.fake.lose(job)
        else:
            self.fake.finish(job, result)


class Processes:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jobs: Jobs = ProcessJobs(folder, [sys.executable, "-S", "-c", PROGRAM, str(folder)])

    def end(self, job: str, result: dict[str, Any] | None) -> None:
        aside = self.folder / job / "go.aside"
        aside.write_text(json.dumps(result))
        aside.rename(self.folder / job / "go")
        wait(lambda: self.jobs.poll(job).phase is not JobPhase.RUNNING)


def wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


@pytest.fixture(params=["memory", "process"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "memory":
        yield Memory()
        return
    processes = Processes(tmp_path / "jobs")
    yield processes
    for home in (tmp_path / "jobs").glob("*/"):
        if processes.jobs.poll(home.name).phase is JobPhase.RUNNING:
            processes.end(home.name, None)


def test_a_job_that_nobody_started_is_missing(world: World) -> None:
    """The controller died after journalling the decision and before starting the job."""
    report = world.jobs.poll("train-1")
    assert (report.phase, report.result) == (JobPhase.MISSING, None)


def test_a_job_runs_and_hands_over_its_result(world: World) -> None:
    """A training that ends well."""
    world.jobs.start("train-1", {"strategy": "full", "since": None})
    assert world.jobs.poll("train-1").phase is JobPhase.RUNNING
    world.end("train-1", {"outcome": "registered", "version": 2})
    report = world.jobs.poll("train-1")
    assert (report.phase, report.result) == (JobPhase.FINISHED, {"outcome": "registered", "version": 2})


def test_starting_again_does_nothing_while_it_runs_and_after(world: World) -> None:
    """Every tick asks for the job until its result is there."""
    for _ in range(3):
        world.jobs.start("train-1", {"window_s": 60})
    world.end("train-1", {"outcome": "rejected"})
    world.jobs.start("train-1", {"window_s": 60})
    assert world.jobs.poll("train-1").result == {"outcome": "rejected"}


def test_a_job_that_died_without_a_result_is_lost_and_stays_so(world: World) -> None:
    """The machine ran out of memory while training."""
    world.jobs.start("train-1", {})
    world.end("train-1", None)
    assert world.jobs.poll("train-1").phase is JobPhase.LOST
    world.jobs.start("train-1", {})
    assert world.jobs.poll("train-1").phase is JobPhase.LOST


def test_jobs_do_not_know_of_each_other(world: World) -> None:
    """A labelling job beside a training."""
    world.jobs.start("train-1", {})
    world.jobs.start("label-1", {})
    world.end("label-1", {"outcome": "done"})
    assert world.jobs.poll("train-1").phase is JobPhase.RUNNING
    assert world.jobs.poll("label-1").phase is JobPhase.FINISHED
