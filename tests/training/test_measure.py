"""Latency through the real server; what cannot be measured is never passed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

from tests.training.rows import frame, project
from trimtab.core.domain.errors import ExternalError
from trimtab.core.domain.verdict import Verdict
from trimtab.training import checks
from trimtab.training.compile import build_package
from trimtab.training.measure import PackageServer, request_bodies

FEATURES = ["distance", "pieces"]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    table = frame(300)
    estimator = LogisticRegression().fit(table[FEATURES], table["late"])
    to = tmp_path_factory.mktemp("packages") / "package"
    build_package(
        to,
        estimator=estimator,
        task="classification",
        model="parcels",
        target="late",
        time="sent_at",
        entity=None,
        features=table[FEATURES],
        classes=[False, True],
        positive=True,
        baseline=b"",
        requirements="",
    )
    return to


def _rows(**columns: list[Any]) -> pa.Table:
    return pa.table(columns)


def _gate(server: PackageServer, rows: pa.Table) -> Any:
    prepared: Any = SimpleNamespace(table=rows, training=0)
    return checks.latency(project(), server, prepared)


def test_requests_are_timed_and_the_server_is_gone_afterwards(package: Path, tmp_path: Path) -> None:
    """Every training run measures its package so."""
    rows = pa.Table.from_pandas(frame(50)[FEATURES], preserve_index=False)
    with PackageServer(package, tmp_path) as server:
        result = _gate(server, rows)
        url = server.url()
    assert result.verdict in (Verdict.SUCCESSFUL, Verdict.INCONCLUSIVE, Verdict.FAILED)
    assert result.value > 0
    assert "requests; p50" in result.text
    import urllib.error
    import urllib.request

    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{url}/v2/health/live", timeout=1)


def test_requests_that_the_server_refuses_fail_the_gate_with_its_words(package: Path, tmp_path: Path) -> None:
    """The package does not take what the model was evaluated on."""
    with PackageServer(package, tmp_path) as server:
        result = _gate(server, _rows(distance=["far"] * 5, pieces=[1] * 5))
    assert result.verdict is Verdict.FAILED
    assert "requests failed, the first with 400" in result.text


def test_a_package_that_no_server_loads_is_not_passed(package: Path, tmp_path: Path) -> None:
    """A runtime library is missing, a file is damaged: no figure, no pass."""
    import shutil

    damaged = tmp_path / "damaged"
    shutil.copytree(package, damaged)
    (damaged / "signature.json").write_text("{}")
    with PackageServer(damaged, tmp_path) as server, pytest.raises(ExternalError):
        server.measure(_rows(distance=[1.0], pieces=[1]))


def test_a_server_that_ends_at_once_is_inconclusive(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No free port, no memory: the gate says what the server said last."""
    monkeypatch.setattr("sys.executable", "/bin/false")
    with PackageServer(package, tmp_path) as server:
        result = _gate(server, _rows(distance=[1.0], pieces=[1]))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.text == "could not measure: the server ended with code 1: it said nothing"


def test_bodies_are_single_rows_with_missing_values_as_null() -> None:
    """NaN has no JSON form."""
    bodies = request_bodies(_rows(a=[1.0, float("nan")], b=["x", None]), ["a", "b"])
    assert bodies == [b'{"dataframe_records":[{"a":1.0,"b":"x"}]}', b'{"dataframe_records":[{"a":null,"b":null}]}']
