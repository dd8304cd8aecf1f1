"""What a person on call reads at three in the morning."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.night import night
from trimtab.cli.main import main
from trimtab.cli.status import rows
from trimtab.controller import queries
from trimtab.ports import ServerReport
from trimtab.wiring import open_workspace


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    night(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(words) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def test_status_says_all_that_matters_in_few_lines(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = told(["status", "--recent", "2"], capsys)
    for words in (
        "flights",
        "approve mode",
        "version 1, champion since",
        "none answers",
        "r4: version 2 by canary, progressing, 25 %, step 2 of 4",
        "inconclusive",
        "waits for 80 more labelled rows",
        "data-fault in wind since 2013-03-10 04:00: wind is missing in 100 % > 3 % (fix-data)",
        f"process {os.getpid()}",
        "could not: registry: locked",
        "trimtab approve 7",
    ):
        assert words in text, words
    assert len(text.splitlines()) <= 18
    assert text.splitlines()[-1].startswith("asks you")


def test_status_says_that_the_controller_is_gone(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It was killed hours ago: 'last looked 3h ago' alone would be overread at night."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    seen = json.loads((project / ".trimtab" / "view.json").read_text())
    seen["controller"]["pid"] = gone.pid
    (project / ".trimtab" / "view.json").write_text(json.dumps(seen))
    assert "does not run, last looked" in told(["status"], capsys)


def test_status_says_that_the_journal_is_not_the_one_that_deployed(project: Path) -> None:
    """Somebody removed journal.db to start afresh, and the servers go on serving what it had decided."""
    report = queries.status(open_workspace(project))
    ahead = replace(report, servers=(ServerReport("http://127.0.0.1:1", True, report.generation + 3),))
    assert str(dict(rows(ahead, 0.0))["journal"]).startswith("the journal ends at")
    same = replace(report, servers=(ServerReport("http://127.0.0.1:1", True, report.generation),))
    assert "journal" not in dict(rows(same, 0.0))


def test_status_as_json_has_the_same(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(told(["status", "--json"], capsys))
    assert found["champion"] == 1
    assert found["rollout"]["version"] == 2
    assert found["rollout_evidence"]["missing"] == ["80 more labelled rows"]
    assert found["incidents"][0]["kind"] == "data-fault"
    assert found["questions"] == [
        {"seq": 7, "title": "train a new version (drift)", "asked_at": found["questions"][0]["asked_at"]}
    ]


def test_why_tells_the_chain_from_the_first_cause(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = told(["why", "5"], capsys)
    heads = [line for line in text.splitlines() if line[0].isdigit()]
    assert [line.split()[0] for line in heads] == ["3", "4", "5"]
    assert "which led to" in text
    assert "because errors 0.1 % against 0.1 % (1 of 1,000; e-value 0.9 < 200)" in " ".join(text.split())
    assert "told" in text


def test_why_names_what_followed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "led to: 7 approval asked: train a new version (drift)" in told(["why", "6"], capsys)
    found = json.loads(told(["why", "6", "--json"], capsys))
    assert [entry["seq"] for entry in found["chain"]] == [6]
    assert [entry["seq"] for entry in found["consequences"]] == [7]


def test_history_has_every_decision_in_order(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = json.loads(told(["history", "--limit", "0", "--json"], capsys))
    assert [line["seq"] for line in lines] == [1, 2, 3, 4, 5, 6, 7]
    assert "r4 at 25 %" in told(["history"], capsys)
    assert "version 1 deployed" not in told(["history", "-n", "2"], capsys)


def test_history_by_page_and_by_what_it_is_about(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Years of decisions, and the question what became of version 2."""

    def seqs(*words: str) -> list[int]:
        return [line["seq"] for line in json.loads(told(["history", *words, "--json"], capsys))]

    assert seqs("--after", "2", "-n", "2") == [3, 4]
    assert seqs("--before", "4", "-n", "2") == [2, 3]
    assert seqs("--kind", "start-rollout", "--rollout", "r4") == seqs("--kind", "StartRollout", "--version", "2") != []
    assert seqs("--since", "1970-01-01", "-n", "0") == [1, 2, 3, 4, 5, 6, 7]
    assert "no decision of that kind" in told(["history", "--until", "1970-01-01"], capsys)


def test_versions_say_what_they_are_now(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    states = {line["version"]: line["state"] for line in json.loads(told(["versions", "--json"], capsys))}
    assert states == {1: "champion", 2: "challenger", 3: "rejected"}
    text = told(["versions"], capsys)
    assert "log_loss" in text
    assert "rejected" in text
    detail = told(["versions", "3"], capsys)
    assert "gates against version 1" in detail
    assert "performance: log loss 0.53" in detail
    assert json.loads(told(["versions", "3", "--json"], capsys))["version"] == 3


def test_an_empty_project_says_where_to_begin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.cli.command import MINIMAL

    (tmp_path / "trimtab.yaml").write_text(MINIMAL)
    at = ["--project", str(tmp_path)]
    assert "trimtab train" in told(["status", *at], capsys)
    assert "trimtab train" in told(["history", *at], capsys)
    assert "trimtab train" in told(["versions", *at], capsys)


def test_settings_are_explained_on_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = told(["settings", "rollout"], capsys)
    assert "rollout.guardrails" in text
    assert "steps" in text
    assert "monitoring" not in text
    assert json.loads(told(["settings", "--json"], capsys))["title"] == "trimtab.yaml"


def test_lines_have_no_blanks_at_their_ends(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Output is pasted into incident channels."""
    for words in (["status"], ["history"], ["why", "5"], ["versions"], ["settings"]):
        assert all(line == line.rstrip() for line in told(words, capsys).splitlines())


def test_realised_and_expected_figures_fit_into_a_line() -> None:
    """What the controller saw of the champion, as its view has it: figures that are not defined are null."""
    from trimtab.cli.status import figure_texts

    realized = {
        "accuracy": {"value": 0.91, "low": 0.9, "high": 0.92},
        "auroc": {"value": None, "low": None, "high": None},
    }
    known, expected = figure_texts(realized, {"metrics": {"accuracy": [0.88, 0.85, 0.9]}})
    assert known == "accuracy 0.91 (0.9 to 0.92)"
    assert expected == "accuracy 0.88 (0.85 to 0.9); cannot see concept drift"
    assert figure_texts(None, None) == ("", "")
