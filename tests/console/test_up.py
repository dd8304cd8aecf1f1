"""What `trimtab up` says of the control API."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from trimtab.cli.up import _begin_json, _control_api, _greet
from trimtab.console.serve import Served
from trimtab.wiring import Workspace, open_workspace

SETTINGS = """\
name: parcels
task: classification
data: {files: parcels.parquet, time: sent_at, target: late}
console: {port: 0}
"""


@pytest.fixture
def desk(tmp_path: Path) -> Workspace:
    (tmp_path / "trimtab.yaml").write_text(SETTINGS)
    return open_workspace(tmp_path)


def test_up_tells_where_it_answers(desk: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """Copied from the terminal into a browser, in a project where nothing was trained yet."""
    with _control_api(desk) as api:
        _greet(desk, api)
        _begin_json(api)
        said = capsys.readouterr().out
        assert f"control API on {api.url}, for this machine only, without a token\n" in said
        assert json.loads(said.splitlines()[-1]) == {"control_api": api.url}
        with urllib.request.urlopen(f"{api.url}/api/v1/status", timeout=10) as answer:
            status = json.load(answer)
    assert (status["name"], status["champion"], status["rollout"]) == ("parcels", None, None)


def test_up_tells_when_it_does_not(desk: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """Another project has the default port."""
    api = Served(None, "no control API: cannot listen on 127.0.0.1:8081: Address already in use")
    _greet(desk, api)
    _begin_json(api)
    said = capsys.readouterr().out.splitlines()
    assert "no control API: cannot listen on 127.0.0.1:8081: Address already in use" in said
    assert json.loads(said[-1]) == {"problem": api.problem}
