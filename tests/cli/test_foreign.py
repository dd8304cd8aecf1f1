"""A model that others serve, from their log to the answer: ``import``, ``performance``, ``watch``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from trimtab.cli.main import main

DAYS, A_DAY = 60, 120


def answers(seed: int = 5) -> pd.DataFrame:
    """Sixty days of answers of a credit model in an in-house log; labels of the last three days are still to come."""
    rng = np.random.default_rng(seed)
    rows = DAYS * A_DAY
    income, age = rng.normal(0, 1, rows), rng.integers(18, 80, rows).astype(float)
    hospital = rng.choice(["north", "south", "east"], rows, p=[0.6, 0.3, 0.1])
    logit = 1.8 * income
    score = 1 / (1 + np.exp(-logit))
    paid = rng.random(rows) < score
    paid = np.where((hospital == "east") & (rng.random(rows) < 0.35), ~paid, paid)
    at = pd.Timestamp("2026-08-01") + pd.to_timedelta(np.sort(rng.uniform(0, DAYS, rows)), unit="D")
    table = pd.DataFrame({"key": [f"k{n:05d}" for n in range(rows)], "at": at, "p_yes": score})
    table["outcome"] = np.where(paid, "yes", "no")
    table.loc[table["at"] >= at[0].normalize() + pd.Timedelta(days=DAYS - 3), "outcome"] = None
    return table.assign(income=income, age=age, hospital=hospital)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("answers") / "answers.parquet"
    answers().to_parquet(path)
    return path


def asked(words: list[Any], capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = main([str(word) for word in (*words, "--json")])
    return code, json.loads(capsys.readouterr().out)


COLUMNS = ("--target", "outcome", "--time", "at", "--scores", "p_yes")
MAPPED = [word for pair in ("id=key", "time=at", "score=p_yes", "label=outcome") for word in ("--map", pair)]


def test_a_table_of_answers_tells_how_well_the_model_does(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """87 % overall hides the hospital in which a third of the labels come out otherwise."""
    code, found = asked(["performance", table, *COLUMNS, "--slices", "hospital"], capsys)
    assert code == 3
    assert found["alarm"] is True
    assert found["change"] is None  # nothing changed; it was so from the first day
    assert [each["name"] for each in found["slices"] if each["worse"]["alarm"]] == ["hospital=east"]
    assert [each["mature"] for each in found["cohorts"][-4:]] == [True, False, False, False]
    assert found["mature_rows"] == sum(each["rows"] for each in found["cohorts"] if each["mature"])
    accuracy = found["realized"]["accuracy"]
    assert accuracy["interval"][0] < accuracy["value"] < accuracy["interval"][1]
    expected = found["estimated"]["metrics"]["accuracy"]
    assert found["estimated"]["rows"] == found["rows"] - found["mature_rows"]
    assert abs(expected["value"] - accuracy["value"]) < 0.03


def test_labels_that_come_early_do_not_count(table: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Defaults are known at once, repayments after weeks: the last days look like ruin and are not."""
    late = answers()
    young = late["at"] >= late["at"].max() - pd.Timedelta(days=20)
    late.loc[young & (late["outcome"] == "yes"), "outcome"] = None
    late.to_parquet(tmp_path / "late.parquet")
    code, found = asked(["performance", tmp_path / "late.parquet", *COLUMNS, "--label-delay", "25d"], capsys)
    assert (code, found["alarm"]) == (0, False)
    assert found["realized"]["accuracy"]["value"] > 0.7


def test_from_their_log_to_the_answer(table: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """An import, a look at performance, and a watch in whose last week a column went empty."""
    broken = answers()
    broken.loc[broken["at"] >= broken["at"].min() + pd.Timedelta(days=50), "income"] = np.nan
    broken.to_parquet(tmp_path / "broken.parquet")
    logs = tmp_path / "logs"
    words = ["import", tmp_path / "broken.parquet", "--format", "table", "--classes", "no,yes", "--into", logs]
    code, done = asked([*words, *MAPPED], capsys)
    assert (code, done["rows"], done["repeated"]) == (0, DAYS * A_DAY, 0)
    _, again = asked([*words, *MAPPED], capsys)
    assert (again["rows"], again["unchanged"]) == (0, 1)
    _, by_log = asked(["performance", "--logs", logs, "--slices", "hospital"], capsys)
    _, by_table = asked(["performance", table, *COLUMNS, "--slices", "hospital"], capsys)
    for name in ("accuracy", "auroc", "brier"):
        assert by_log["realized"][name]["value"] == pytest.approx(by_table["realized"][name]["value"])
    code, found = asked(["watch", logs, "--reference-until", "2026-09-05"], capsys)
    assert code == 3
    assert (found["kind"], found["action"], found["features"]) == ("data-fault", "fix-data", ["income"])
    assert found["since"].startswith("2026-09-20")
    assert found["performance"]["estimated"]["metrics"]["accuracy"]["value"] > 0.5


def test_a_reference_table_stands_for_normal(table: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The training table is at hand, and what is served is as it was."""
    answers(6).to_parquet(tmp_path / "trained.parquet")
    logs = tmp_path / "logs"
    main(["import", str(table), "--format", "table", "--classes", "no,yes", "--into", str(logs), *MAPPED])
    capsys.readouterr()
    reference = ["--reference", tmp_path / "trained.parquet", *COLUMNS, "--classes", "no,yes"]
    code, found = asked(["watch", logs, *reference], capsys)
    assert (code, found["kind"]) == (0, "none")
    assert found["performance"]["realized"]["accuracy"]["value"] > 0.7
    assert main(["watch", str(logs), "--reference-until", "2026-09-05"]) == 0
    assert "nothing is wrong" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["import", "x.jsonl", "--format", "kafka", "--into", "logs"], "'kafka' is not one of kserve, seldon"),
        (["import", "--format", "kserve", "--into", "logs"], "nothing to import"),
        (["import", "x.csv", "--format", "table", "--into", "logs", "--map", "key"], "is not name=column"),
        (["import", "x.csv", "--format", "table", "--into", "logs", "--map", "id=a"], "a table needs time"),
        (
            ["import", "x.csv", "--format", "table", "--into", "logs", "--map", "id=a", "--map", "time=b"],
            "score, scores",
        ),
        (["performance", "x.parquet", "--target", "y"], "a table needs --time, --scores"),
        (["performance", "--logs", "nowhere"], "is no log directory"),
        (["watch", "nowhere"], "either --reference"),
        (["watch", "nowhere", "--reference-until", "soon"], "'soon' is not a time"),
    ],
)
def test_bad_words_get_a_clear_answer(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Typed at three in the morning."""
    assert main(words) == 2
    assert message in capsys.readouterr().err
