"""``trimtab diagnose`` on files, as a person or a script calls it at night."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.api.test_api import stream
from trimtab.cli.main import main


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty days of normal, and twenty more in which ``load`` went empty on the tenth."""
    folder = tmp_path_factory.mktemp("tables")
    reference, current = stream(3, 60), stream(4, 20, first=60)
    current.loc[current.index >= 1500, "load"] = np.nan
    for name, table in (("reference", reference), ("current", current)):
        table.to_parquet(folder / f"{name}.parquet")
        table.to_csv(folder / f"{name}.csv", index=False)
    return folder


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_script_reads_the_answer(files: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A cron job feeds the answer to a pager."""
    words = [f"{files}/reference.{suffix}", f"{files}/current.{suffix}", "--target", "y", "--time", "at", "--json"]
    assert main(["diagnose", *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {
        *("kind", "action", "severity", "since", "features"),
        *("slices", "reasons", "alternatives", "performance", "drift"),
    }
    assert (found["kind"], found["action"], found["features"]) == ("data-fault", "fix-data", ["load"])
    assert abs(pd.Timestamp(found["since"]) - pd.Timestamp("2024-03-11")) < pd.Timedelta(days=1)
    assert found["reasons"][0]["code"] == "MissingFlood"
    assert set(found["reasons"][0]) == {"code", "text", "value", "limit"}
    assert isinstance(found["drift"]["features"], dict)


def test_a_person_reads_what_to_do(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three in the morning."""
    words = [f"{files}/reference.csv", f"{files}/current.csv", "--target", "y", "--time", "at", "--label-delay", "2d"]
    assert main(["diagnose", *words]) == 0
    out = capsys.readouterr().out
    assert out.startswith("diagnosis  data-fault")
    assert "fix-data: fix the feed of these columns" in out
    assert "load" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--target", "why"], "column 'why' is not in the table"),
        (["--alpha", "2"], "--alpha must lie between 0 and 1"),
        (["--label-delay", "soon"], "'soon' is not a duration"),
        (["--model", "model.pkl"], "there is no model model.pkl"),
        (["--label-time", "known"], "column 'known' is not in the table"),
    ],
)
def test_a_mistake_is_named(files: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    usual = {"--target": "y", "--time": "at"} | dict(zip(words[::2], words[1::2], strict=True))
    flat = [part for pair in usual.items() for part in pair]
    assert main(["diagnose", f"{files}/reference.csv", f"{files}/current.csv", *flat]) == 2
    assert message in capsys.readouterr().err


def test_a_pickle_is_not_read(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A colleague's model.pkl may run any code."""
    (tmp_path / "model.pkl").write_bytes(b"cos\nsystem\n")
    words = [f"{files}/reference.csv", f"{files}/current.csv", "--target", "y", "--time", "at"]
    assert main(["diagnose", *words, "--model", str(tmp_path / "model.pkl")]) == 2
    assert "skops.io.dump" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["skops", "onnx"])
def test_a_model_from_a_file(files: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The team's own model rather than the one fitted here; the relation turned round on the tenth day."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.linear_model import LogisticRegression
    from skops import io

    reference, current = stream(5, 60), stream(6, 20, first=60)
    model = LogisticRegression().fit(reference[["load", "noise"]].iloc[:7200].to_numpy(), reference["y"].iloc[:7200])
    current.loc[1500:, "y"] = ~current.loc[1500:, "y"]
    path = tmp_path / f"model.{kind}"
    if kind == "skops":
        io.dump(model, path)
    else:
        graph = to_onnx(model, initial_types=[("x", FloatTensorType([None, 2]))], options={"zipmap": False})
        path.write_bytes(graph.SerializeToString())
    reference.to_parquet(tmp_path / "r.parquet")
    current.to_parquet(tmp_path / "c.parquet")
    words = [str(tmp_path / "r.parquet"), str(tmp_path / "c.parquet"), "--target", "y", "--time", "at"]
    assert main(["diagnose", *words, "--ignore", "kind", "--model", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["performance"]["loss"] > 1.5 * found["performance"]["baseline_loss"]
    assert found["since"].startswith(("2024-03-10T2", "2024-03-11"))
