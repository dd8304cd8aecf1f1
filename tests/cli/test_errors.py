"""What people get wrong: one clear line (or one for each problem), the right exit code, never a traceback."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from tests.cli.command import MINIMAL, trimtab
from tests.project.tables import events, write
from trimtab.cli.main import explain, main
from trimtab.core.domain.errors import (
    ConfigError,
    ConflictError,
    ExternalError,
    IntegrityError,
    InvariantError,
    NotFoundError,
    Problem,
    RefusedError,
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "trimtab.yaml").write_text(MINIMAL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["statsu"], "there is no command 'statsu', did you mean 'status'?"),
        (["--json"], "there is no command '--json'"),
        (["why"], "requires an argument"),
        (["why", "soon"], 'unable to convert "soon" into int'),
        (["why", "1", "2"], "2"),
        (["why", "7"], "the journal is empty"),
        (["history", "--limit", "-1"], "--limit must be 0 or more, found -1"),
        (["status", "--jsn"], "--jsn"),
        (["deploy", "3"], "version 3 is not registered; registered: none"),
        (["deploy", "3", "--strategy", "yolo"], "yolo"),
        (["rollback"], "nothing is deployed"),
        (["promote"], "no rollout"),
        (["abort"], "no rollout"),
        (["pause"], "no rollout"),
        (["resume"], "no rollout"),
        (["approve", "4"], "no question 4 waits for an answer; waiting: none"),
        (["reject", "4"], "no question 4 waits for an answer; waiting: none"),
        (["override", "4"], "needs --reason"),
        (["override", "4", "--reason", "labels were wrong"], "version 4 is not registered"),
        (["versions", "9"], "version 9 is not registered; registered: none"),
        (["settings", "rolout"], "did you mean 'rollout'?"),
        (["train", "--window", "90d", "--strategy", "full"], "--window has no effect"),
        (["train", "--strategy", "sliding-window"], "needs --window"),
        (["train", "--window", "many"], "'many' is not a duration"),
        (["train", "--now", "yesterday"], "'yesterday' is not a time"),
        (["up", "--port", "70000"], "--port 70000"),
        (["serve", "--port", "70000"], "port must be 0 to 65535, found 70000"),
        (["init", "nothing.parquet", "--target", "late"], "already"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    project: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""


def test_every_problem_of_the_project_file_is_told(tmp_path: Path) -> None:
    """The real command: all lines on stderr, nothing on stdout, no state made."""
    (tmp_path / "trimtab.yaml").write_text("name: A\ntask: x\n")
    done = trimtab("status", cwd=tmp_path)
    assert done.code == 2
    assert done.out == ""
    assert [line.split(": ")[0] for line in done.err.splitlines()] == [
        "trimtab.yaml:1 name",
        "trimtab.yaml:1 data",
        "trimtab.yaml:2 task",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["trimtab.yaml"]


def test_without_a_project_the_way_to_one_is_told(tmp_path: Path) -> None:
    done = trimtab("status", "--json", cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("trimtab: no trimtab.yaml in ")
    assert "trimtab init" in done.err


def test_settings_that_do_not_fit_the_data_are_told_before_anything_is_trained(project: Path) -> None:
    """The export was changed: a column has another name now, and the time came as text."""
    table = events(300).rename_columns({"late": "is_late"})
    write(table.set_column(2, "departed_at", table["carrier"]), project / "data.parquet")
    done = trimtab("train", cwd=project)
    assert done.code == 2
    assert done.err.splitlines() == [
        "trimtab.yaml:6 data.target: column 'late' is not in data.parquet (did you mean 'is_late'?)"
    ]
    (project / "data.parquet").unlink()
    assert "no data file 'data.parquet'" in trimtab("train", cwd=project).err


def test_a_port_that_is_taken_is_told_at_once(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another 'trimtab up' runs already."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["up", "--port", str(port)]) == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in capsys.readouterr().err


def test_a_damaged_journal_is_our_trouble_not_theirs(project: Path) -> None:
    """The disk was full once: the file is no database."""
    (project / ".trimtab").mkdir()
    (project / ".trimtab" / "journal.db").write_bytes(b"not a database" * 1000)
    done = trimtab("history", cwd=project)
    assert done.code == 1
    assert "Traceback" not in done.err
    assert "journal" in done.err


def test_debug_shows_where_it_came_from(tmp_path: Path) -> None:
    done = trimtab("status", "--debug", cwd=tmp_path)
    assert "Traceback" in done.err
    assert "find_project" in done.err


def test_a_reader_that_leaves_is_no_error(project: Path) -> None:
    """trimtab settings | head -1"""
    import subprocess
    import sys

    shell = f"{sys.executable} -m trimtab.cli.main settings | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", shell], capture_output=True, text=True, cwd=project, check=False
    )
    assert done.stderr == ""
    assert done.returncode in (0, 128 + signal.SIGPIPE)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (
            ConfigError([Problem("trimtab.yaml", 3, "a", "m"), Problem("trimtab.yaml", 4, "b", "n")]),
            2,
            "trimtab.yaml:4 b: n",
        ),
        (RefusedError("not now"), 2, "not now"),
        (NotFoundError("no such thing"), 2, "no such thing"),
        (ExternalError("disk full"), 1, "disk full"),
        (IntegrityError("other hash"), 1, "other hash"),
        (ConflictError("look again"), 1, "look again"),
        (InvariantError("two champions"), 1, "Nothing was changed"),
        (ModuleNotFoundError("No module named 'mlflow'", name="mlflow"), 1, "pip install 'trimtab[loop]'"),
        (ZeroDivisionError("division by zero"), 1, "This is not your mistake"),
    ],
)
def test_errors_become_exit_codes(error: Exception, code: int, words: str) -> None:
    text, found = explain(error)
    assert found == code
    assert words in text
