"""``trimtab backtest`` as a person calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.backtest.conftest import table
from trimtab.cli.main import main


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "history.parquet"
    pq.write_table(table(), path)
    return path


def call(data: Path, *more: str) -> int:
    return main(["backtest", str(data), "--target", "late", "--time", "at", "--batches", "8", "--jobs", "1", *more])


def test_a_table_a_file_and_a_page(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first look at a history of one's own."""
    out, page = tmp_path / "out.json", tmp_path / "report.html"
    names = "never,every:2,trimtab,oracle"
    code = call(
        data, "--ignore", "known", "--label-batches", "1", "--policies", names, "--json", str(out), "--html", str(page)
    )
    assert code == 0
    told = capsys.readouterr().out
    assert all(name in told for name in names.split(","))
    assert "retraining:" in told
    assert [policy["name"] for policy in json.loads(out.read_text())["policies"]] == names.split(",")
    assert page.read_text().startswith("<!doctype html>")


def test_json_on_standard_output(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Piped into another program; labels have times of their own."""
    assert call(data, "--label-time", "known", "--policies", "never,every:3", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["policies"][1]["name"] == "every:3"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--policies", "always"], "there is no policy 'always'"),
        (["--label-delay", "soon"], "soon"),
        (["--jobs", "0"], "--jobs"),
        (["--html", "/nowhere/at/all.html"], "there is no folder"),
        (["--retrain-cost", "-1"], "--retrain-cost"),
    ],
)
def test_mistakes_are_named(data: Path, words: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and a hint instead of a traceback."""
    assert call(data, *words) == 2
    assert text in capsys.readouterr().err


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A typing mistake in the path."""
    assert call(tmp_path / "histroy.parquet") == 2
    assert "histroy.parquet" in capsys.readouterr().err
