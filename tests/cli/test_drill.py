"""``trimtab drill`` as a person calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.drill.conftest import YAML
from tests.training.rows import frame, write
from trimtab.cli.main import main


@pytest.fixture
def parcels(tmp_path: Path) -> Path:
    write(tmp_path, frame(3000, days=30))
    (tmp_path / "trimtab.yaml").write_text(YAML)
    return tmp_path


def test_a_table_a_file_and_a_page(parcels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first drill of one's own project."""
    out, page = parcels / "out.json", parcels / "drill.html"
    words = ["drill", "--scenario", "nulls", "nothing", "--json", str(out), "--html", str(page), "--project"]
    assert main([*words, str(parcels)]) == 0
    told = capsys.readouterr()
    assert "null flood" in told.out
    assert "2 of 2 answers right" in told.out
    assert "2 of 2: nothing" in told.err
    assert [each["name"] for each in json.loads(out.read_text())["findings"]] == ["nulls", "nothing"]
    assert page.read_text().startswith("<!doctype html>")


def test_a_loop_that_looks_away_fails_its_drill(parcels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Blocks are only judged from 100,000 rows on: the flood goes unnoticed, and CI sees exit code 3."""
    (parcels / "trimtab.yaml").write_text(YAML + "monitoring: {rows_min: 100000}\n")
    assert main(["drill", "--scenario", "nulls", "--json", "-", "--project", str(parcels)]) == 3
    (found,) = json.loads(capsys.readouterr().out)["findings"]
    assert found["answer"] == "none"
    assert not found["right"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--scenario", "flood"], "there is no scenario 'flood'"),
        (["--all", "--scenario", "nulls"], "exclude each other"),
        (["--rows", "10"], "at least 1,000 rows"),
        (["--json", "nowhere/out.json"], "there is no folder"),
        (["--mend-after", "soon"], "'soon' is not a duration"),
    ],
)
def test_mistakes_are_told(parcels: Path, words: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A slip on the command line."""
    assert main(["drill", *words, "--project", str(parcels)]) == 2
    assert text in capsys.readouterr().err
