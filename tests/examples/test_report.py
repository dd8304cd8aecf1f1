"""The page and the lines that a person reads."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import report
import results
import world
from rich.console import Console
from telling import Teller, sentence

from trimtab.core.decide.actions import Action
from trimtab.core.domain.journal import Entry

DAY_S = 86400.0


def summary(**more: Any) -> dict[str, Any]:
    """A made-up year in small."""
    start = world.HISTORY_UNTIL
    weeks = [
        {"start": start + 7 * DAY_S * i, "rows": 90, "late": 0.2, "with_loop": 0.50 - 0.01 * i, "without_loop": 0.52}
        for i in range(4)
    ]
    rollout = {
        "rollout": "r5", "version": 2, "champion": 1, "started": start + DAY_S, "ended": start + 4 * DAY_S,
        "verdict": "aborted", "why": "loss difference +0.02 > 0",
        "steps": [{"at": start + DAY_S, "weight": 10}, {"at": start + 3 * DAY_S, "weight": 50}],
    }  # fmt: skip
    return {
        "retrains_promoted": 1, "data_fault_diagnosed": True, "trained_on_quarantined": False,
        "bad_version_aborted": True, "failed_requests": 0, "quality_with_loop": 0.08, "quality_without_loop": 0.05,
        "requests": 1234, "seconds": 12.3, "labels": 1200, "labelled": 1200, "requests_per_second": 2000.0,
        "log_loss_with_loop": 0.50, "log_loss_without_loop": 0.52, "base_rate": 0.2, "weeks": weeks, "failures": [],
        "traffic": [{"day": start + i * DAY_S, "answered": {"1": 90, "2": 10 * i}} for i in range(5)],
        "versions": [
            {"version": 1, "created_at": start, "trained_until": start, "gates": "successful", "gate": "log loss < 1",
             "runtime": "onnx", "fate": "the first"},
        ],
        "rollouts": [rollout],
        "incidents": [
            {"incident": "i1", "kind": "data-fault", "severity": "severe", "features": ["pressure"], "since": start,
             "opened": start, "until": None, "text": "share missing 1.000 > 0.15"},
        ],
        "trained": [{"job": "t1", "rows": 100, "quarantined": 0, "broken": 0}],
        "bad_version": {"version": 2, "champion": 1, "rows": 80, "brier": 0.2, "champion_brier": 0.15},
        "outside": {
            "fault": {"column": "pressure", "from": start + 9 * DAY_S, "until": start + 12 * DAY_S},
            "release": {"at": start, "feature": "recent_delay", "online_value": 0.0},
        },
        "decisions": [
            {"id": 1, "at": "2013-02-26T05:00:00Z", "actor": "<me>", "what": "deployed", "why": "a < b", "cause": None}
        ],
        "problems": [],
    } | more  # fmt: skip


class Page(HTMLParser):
    """Tags that are open at the end, pictures, rows, and addresses that the page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.pictures = 0
        self.rows = 0
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.pictures += tag == "svg"
        self.rows += tag == "tr"
        self.fetched += [str(v) for k, v in attrs if k in ("src", "href") and v and not v.startswith("#")]
        if tag in ("section", "table", "svg", "div", "header", "p"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else() -> None:
    """It is opened from a mail, without a network."""
    page = Page()
    page.feed(report.report(summary()))
    assert page.open == []
    assert page.pictures == 3
    assert page.fetched == []
    assert page.rows == 8


def test_texts_from_elsewhere_are_escaped() -> None:
    """A person's name or a gate's text may hold what HTML would read as a tag."""
    page = report.report(summary())
    assert "&lt;me&gt;" in page
    assert "a &lt; b" in page
    assert "<me>" not in page


def test_a_year_without_rollouts_or_faults_is_drawn_too(tmp_path: Path) -> None:
    """The loop found nothing to do."""
    report.write(summary(rollouts=[], incidents=[], bad_version=None), tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert "None." in (tmp_path / "report.html").read_text()


def test_every_action_has_words() -> None:
    """A decision of any kind may come up in somebody's run."""
    fields: dict[str, Any] = {
        "version": 2, "from_version": 3, "rollout": "r1", "champion": 1, "plan": {"strategy": "canary"}, "step": 1,
        "weight": 25, "by_version": 3,
        "incident": "i1", "kind": "data-fault", "features": ["pressure"], "since": 0.0, "until": 1.0,
        "severity": "severe", "text": "because", "job": "t1", "trigger": "drift", "strategy": "full", "title": "hear",
        "body": "ye", "approved": True, "by": "me", "outcome": "registered", "approval": "a1",
        "record": {"version": 2, "verdict": "failed", "gates": [{"verdict": "failed", "text": "too slow"}]},
    }  # fmt: skip
    for kind in get_args(Action):
        entry = Entry(1, 0.0, "me", (), ({"text": "the reason"},), None, {}, "", "")
        words = sentence(fields | {"type": kind.__name__}, entry)
        assert len(words) > 4, kind


def test_the_ending_says_what_did_not_happen() -> None:
    """A run that went wrong must not look like one that went well."""
    console = Console(record=True, width=120)
    teller = Teller(console)
    assert teller.ending(summary(), results.missed(summary()))
    bad = summary(bad_version_aborted=False)
    assert not teller.ending(bad, results.missed(bad))
    text = console.export_text()
    assert "did not happen: the bad version was aborted" in text
    assert "0.0800" in text
