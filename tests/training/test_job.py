"""The process of a training job: a result is there in the end, whatever happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.training.rows import START, frame, write
from trimtab.core.domain.errors import NotFoundError
from trimtab.core.domain.times import DAY_S
from trimtab.training.job import run_job

PROJECT = """
name: parcels
task: classification
data:
  files: data/history.parquet
  time: sent_at
  target: late
  entity: customer
  ignore: [row]
estimator:
  parameters: {max_iter: 20}
"""
SPEC = {"job": "j1", "trigger": "drift", "now": START + 60 * DAY_S, "strategy": "full"}


def _project(root: Path, settings: str = PROJECT, job: str = "j1", spec: object = SPEC) -> Path:
    write(root, frame(2000))
    (root / "trimtab.yaml").write_text(settings)
    home = root / ".trimtab" / "jobs" / job
    home.mkdir(parents=True)
    (home / "spec.json").write_text(json.dumps(spec))
    return home


def _command(root: Path, job: str = "j1") -> list[str]:
    return [sys.executable, "-m", "trimtab.cli.job", str(root / "trimtab.yaml"), job]


def _result(home: Path) -> dict[str, Any]:
    return json.loads((home / "result.json").read_text())


def test_a_job_killed_mid_way_runs_again_and_registers_once(tmp_path: Path) -> None:
    """kill -9 while it works; the loop finds it lost; started again, it leaves one version and a result."""
    home = _project(tmp_path)
    process = subprocess.Popen(_command(tmp_path), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("fitting"):
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (home / "result.json").exists()
    done = subprocess.run(_command(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result = _result(home)
    assert (result["outcome"], result["version"], result["error"]) == ("registered", 1, None)
    assert "gate performance: successful" in done.stdout


def test_the_users_mistakes_are_the_result_too(tmp_path: Path) -> None:
    """The project file was edited while the loop ran: the job cannot even open the project."""
    home = _project(tmp_path, PROJECT.replace("target: late", "targt: late"))
    done = subprocess.run(_command(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 0
    result = _result(home)
    assert (result["outcome"], result["fault"]) == ("failed", "user")
    assert "data.targt" in result["error"]
    assert result["error"] in done.stderr


def test_a_job_that_does_not_exist_is_named(tmp_path: Path) -> None:
    """Typed by hand."""
    _project(tmp_path)
    done = subprocess.run(_command(tmp_path, "j9"), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there is no job 'j9'" in done.stderr
    assert "there are j1" in done.stderr


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ([1], "holds list, not an object"),
        ({"job": "j1"}, "training spec lacks now, trigger"),
        (SPEC | {"strategy": "guess"}, "strategy 'guess' is not known"),
    ],
)
def test_a_spec_that_cannot_be_read_is_a_failed_job(tmp_path: Path, spec: object, message: str) -> None:
    """Written by another version of the controller."""
    home = _project(tmp_path, spec=spec)
    code = run_job(_never, home, lambda _: None)
    assert code in (1, 2)
    assert message in _result(home)["error"]


def test_a_defect_of_ours_is_a_failed_job_with_its_trace_in_the_output(tmp_path: Path) -> None:
    """Anything at all: the loop must not wait for a result that never comes."""
    home, lines = _project(tmp_path), []

    def broken() -> Any:
        raise AttributeError("no such thing")

    assert run_job(broken, home, lines.append) == 1
    assert _result(home)["error"] == "AttributeError: no such thing"
    assert _result(home)["fault"] == "defect"
    assert any("Traceback" in line for line in lines)


def test_a_missing_home_is_refused(tmp_path: Path) -> None:
    """Nothing is written where no job was asked for."""
    with pytest.raises(NotFoundError):
        run_job(_never, tmp_path / "jobs" / "x", lambda _: None)
    assert not (tmp_path / "jobs").exists()


def _never() -> Any:
    raise AssertionError("the project is not opened for a spec that cannot be read")


@pytest.mark.parametrize("step", ["learning on", "registering"])
def test_a_killed_run_that_goes_on_from_the_champion_leaves_nothing_half_made(tmp_path: Path, step: str) -> None:
    """kill -9 while an incremental run learns or registers: done again, it is one version with its estimator kept."""
    settings = f"{PROJECT}retraining:\n  strategy: incremental\n"
    first = _project(tmp_path, settings, spec=SPEC | {"now": START + 20 * DAY_S, "until": START + 20 * DAY_S})
    subprocess.run(_command(tmp_path), capture_output=True, check=True)
    assert _result(first)["outcome"] == "registered"
    home = tmp_path / ".trimtab" / "jobs" / "j2"
    home.mkdir()
    (home / "spec.json").write_text(json.dumps(SPEC | {"job": "j2", "strategy": "incremental", "champion": 1}))
    process = subprocess.Popen(_command(tmp_path, "j2"), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert any(line.startswith(step) for line in process.stdout)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (home / "result.json").exists()
    done = subprocess.run(_command(tmp_path, "j2"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    record = _result(home)["record"]
    assert (record["version"], record["strategy"], record["parent"]) == (2, "incremental", 1)
    assert record["estimator"] is not None
    assert not list((tmp_path / "data" / "snapshots").glob(".j*"))
