"""'trimtab init': from a file to a project, or nothing at all."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.command import trimtab
from tests.project.tables import events, write
from trimtab.project.load import load

WORDS = ("init", "data.parquet", "--target", "late", "--time", "departed_at")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "Late Flights 2"
    home.mkdir()
    write(events(), home / "data.parquet")
    return home


def test_a_project_in_git_with_data_versioning(folder: Path) -> None:
    """What the README promises a data scientist with a file of their own."""
    done = trimtab(*WORDS, cwd=folder)
    assert (done.code, done.err) == (0, "")
    project = load(folder / "trimtab.yaml")
    assert project.name == "late-flights-2"
    assert project.data.label_time == "label_time"
    assert (folder / ".git").is_dir()
    assert (folder / ".dvc" / "config").exists()
    assert ".trimtab/" in (folder / ".gitignore").read_text().splitlines()
    assert done.out.rstrip().endswith("trimtab train")
    status = subprocess.run(["git", "status", "--porcelain"], cwd=folder, capture_output=True, text=True, check=True)
    assert "trimtab.yaml" in status.stdout
    assert "data.parquet" not in status.stdout  # large files stay out of git


def test_the_real_dvc_takes_the_repository(folder: Path) -> None:
    assert trimtab(*WORDS, cwd=folder).code == 0
    dvc = shutil.which("dvc") or str(Path(__import__("sys").executable).with_name("dvc"))
    done = subprocess.run([dvc, "status"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_git_when_asked(folder: Path) -> None:
    assert trimtab(*WORDS, "--no-git", "--name", "late", cwd=folder).code == 0
    assert not (folder / ".git").exists()
    assert load(folder / "trimtab.yaml").name == "late"


def test_json_tells_what_was_found(folder: Path) -> None:
    done = trimtab(*WORDS, "--json", cwd=folder)
    found = json.loads(done.out)
    assert found["rows"] == 3000
    assert found["task"] == "classification"
    assert {item["column"] for item in found["ignore"]} >= {"flight_id", "delay", "refund"}


def test_an_existing_file_is_kept_unless_forced(folder: Path) -> None:
    """A project file that somebody worked on is not lost by a second init."""
    (folder / "trimtab.yaml").write_text("precious")
    done = trimtab(*WORDS, cwd=folder)
    assert done.code == 2
    assert "--force" in done.err
    assert (folder / "trimtab.yaml").read_text() == "precious"
    assert trimtab(*WORDS, "--force", cwd=folder).code == 0
    assert load(folder / "trimtab.yaml").data.target == "late"


def test_a_folder_becomes_a_glob(folder: Path) -> None:
    (folder / "data").mkdir()
    table = events()
    write(table.slice(0, 1500), folder / "data" / "1.parquet")
    write(table.slice(1500), folder / "data" / "2.parquet")
    assert trimtab("init", "data", "--target", "late", cwd=folder).code == 0
    assert load(folder / "trimtab.yaml").data.files == ("data/*.parquet",)


def test_git_ignores_what_was_ignored_before_too(folder: Path) -> None:
    (folder / ".gitignore").write_text("*.pyc")
    assert trimtab(*WORDS, cwd=folder).code == 0
    lines = (folder / ".gitignore").read_text().splitlines()
    assert lines[:4] == ["*.pyc", ".trimtab/", "/data/production/", "/data.parquet"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("init", "dta.parquet", "--target", "late"), "there is no file dta.parquet"),
        (("init", "data.parquet", "--target", "lat"), "did you mean 'late'?"),
        (("init", "data.parquet", "--target", "late", "--time", "carrier"), "'carrier' is text"),
        (("init", "data.parquet", "--target", "country"), "always 'US'"),
        (("init", "data.parquet"), "--target"),
        (("init", "data.parquet", "--target", "late", "--name", "My Model"), "'My Model' cannot be the name"),
        (("init", "notes.txt", "--target", "late"), "neither Parquet nor CSV"),
        (("init", "broken.parquet", "--target", "late"), "broken.parquet cannot be read"),
        (("init", "../outside.parquet", "--target", "late"), "lies outside the project"),
        (("init", "empty", "--target", "late"), "no Parquet or CSV file in"),
        (("init", "x*.parquet", "--target", "late"), "no data file 'x*.parquet'"),
    ],
)
def test_whatever_is_wrong_nothing_is_written(
    folder: Path,
    words: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from trimtab.cli.main import main

    (folder / "notes.txt").write_text("x")
    (folder / "broken.parquet").write_bytes(b"PAR1")
    (folder / "empty").mkdir()
    write(events(100), folder.parent / "outside.parquet")
    before = sorted(path.name for path in folder.iterdir())
    monkeypatch.chdir(folder)
    assert main(list(words)) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert told.err.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == before
