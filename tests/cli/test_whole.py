"""The README's way with a file of one's own: init, train, up, a request, an end."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.cli.command import trimtab
from tests.project.tables import events, write
from trimtab.cli import job
from trimtab.wiring import open_workspace

ESTIMATOR = """\
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def build(C=1.0):
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = make_column_transformer((numbers, ["distance"]), (OneHotEncoder(handle_unknown="ignore"), ["carrier"]))
    return make_pipeline(columns, LogisticRegression(C=C))
"""


def ready(folder: Path, table: pa.Table) -> None:
    """A project of one's own, with one's own estimator."""
    write(table.select(["departed_at", "carrier", "distance", "late"]), folder / "data.parquet")
    (folder / "model.py").write_text(ESTIMATOR)
    assert trimtab("init", "data.parquet", "--target", "late", "--name", "flights", cwd=folder).code == 0
    file = folder / "trimtab.yaml"
    text = file.read_text().replace("  # function: model:build", "  function: model:build")
    file.write_text(text.replace("  parameters: {}", "  parameters: {C: 0.5}"))


def test_from_a_file_to_a_served_and_watched_model(tmp_path: Path) -> None:
    """A data scientist's first afternoon."""
    ready(tmp_path, events())
    done = trimtab("train", "--by", "Ada", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert json.loads(done.out)["result"]["outcome"] == "registered"
    lines = json.loads(trimtab("history", "--json", cwd=tmp_path).out)
    assert [line["what"] for line in lines] == ["version 1 registered, gates successful", "version 1 deployed"]
    assert {line["actor"] for line in lines} == {"Ada"}
    with subprocess.Popen(
        [sys.executable, "-m", "trimtab.cli.main", "up", "--port", "0"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            answer = _ask(_url(tmp_path, server), tmp_path)
        finally:
            server.send_signal(signal.SIGTERM)
            out, _ = server.communicate(timeout=60)
    assert server.returncode == 0
    assert "serving version 1" in out
    assert "true" in str(answer).lower() or "false" in str(answer).lower()
    assert list((tmp_path / ".trimtab" / "logs" / "predictions").rglob("*.parquet"))


def _url(folder: Path, server: subprocess.Popen[str]) -> str:
    """Where the server listens, once ``trimtab status`` says that it is ready."""
    for _ in range(60):
        assert server.poll() is None, "trimtab up ended by itself"
        servers = json.loads(trimtab("status", "--json", cwd=folder).out)["servers"]
        if servers and servers[0]["ready"]:
            return str(servers[0]["url"])
        time.sleep(0.2)
    raise AssertionError((folder / ".trimtab" / "server.log").read_text())


def _ask(url: str, folder: Path) -> object:
    rows = {"dataframe_records": [{"departed_at": "2024-12-01T08:00:00Z", "carrier": "AA", "distance": 900.0}]}
    request = urllib.request.Request(
        f"{url}/invocations", json.dumps(rows).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def test_a_candidate_that_knows_nothing_is_rejected_with_exit_code_3(tmp_path: Path) -> None:
    """The target has nothing to do with the columns: the gate says so, by how much, and nothing is deployed."""
    table = events()
    noise = pa.array(np.random.default_rng(11).uniform(size=table.num_rows) < 0.5)
    ready(tmp_path, table.set_column(table.schema.get_field_index("late"), "late", noise))
    done = trimtab("train", cwd=tmp_path)
    assert done.code == 3, done.err
    assert re.search(r"performance\s+(failed|inconclusive): log loss 0\.\d+", done.out)
    assert "rejected" in done.out
    assert json.loads(trimtab("status", "--json", cwd=tmp_path).out)["champion"] is None
    refused = trimtab("deploy", "1", cwd=tmp_path)
    assert refused.code == 2
    assert "did not pass its gates" in refused.err


def test_a_job_whose_estimator_is_broken_says_so_in_its_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The loop started a training, and somebody had renamed the function meanwhile."""
    ready(tmp_path, events(600))
    (tmp_path / "model.py").write_text("def other(): ...\n")
    desk = open_workspace(tmp_path)
    home = desk.state / "jobs" / "t1"
    home.mkdir(parents=True)
    (home / "spec.json").write_text(json.dumps({"job": "t1", "trigger": "drift", "now": 2e9}))
    assert job.main([str(tmp_path / "trimtab.yaml"), "t1"]) == 0
    result = json.loads((home / "result.json").read_text())
    assert result["outcome"] == "failed"
    assert "build" in result["error"]
    assert "failed: " in capsys.readouterr().err


def test_a_job_called_wrongly_says_how(capsys: pytest.CaptureFixture[str]) -> None:
    assert job.main(["only-one"]) == 2
    assert "usage" in capsys.readouterr().err


def test_a_job_in_a_project_that_broke_meanwhile_names_the_problems(tmp_path: Path) -> None:
    (tmp_path / "trimtab.yaml").write_text("name: A\n")
    home = tmp_path / ".trimtab" / "jobs" / "t1"
    home.mkdir(parents=True)
    (home / "spec.json").write_text(json.dumps({"job": "t1", "trigger": "drift", "now": 2e9}))
    assert job.main([str(tmp_path / "trimtab.yaml"), "t1"]) == 0
    assert "trimtab.yaml:1 name: 'A' does not" in json.loads((home / "result.json").read_text())["error"]


def test_a_job_that_nobody_asked_for_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert job.main([str(tmp_path / "trimtab.yaml"), "t9"]) == 2
    assert "there is no job 't9'" in capsys.readouterr().err
