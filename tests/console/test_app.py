"""The control API over the real server, beside a loop of fakes."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.controller.desk import FakeDesk
from tests.controller.test_loop import candidate, compared_traffic, first_version
from trimtab.console.access import Access
from trimtab.console.flagger import HOOKS
from trimtab.console.serve import served
from trimtab.controller import commands
from trimtab.controller.runner import seen
from trimtab.core.domain.errors import ExternalError
from trimtab.core.domain.times import DAY_S

PAGE = (Path(__file__).parents[2] / "docs" / "control-api.md").read_text(encoding="utf-8")


@dataclass
class Api:
    """The served API of a desk."""

    desk: FakeDesk
    url: str

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status code, and the answer's JSON or text."""
        data = None if body is None else json.dumps(body).encode() if not isinstance(body, bytes) else body
        try:
            request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json", **headers})
            with urllib.request.urlopen(request, timeout=10) as answer:
                code, content, kind = answer.status, answer.read(), answer.headers["Content-Type"]
        except urllib.error.HTTPError as error:
            code, content, kind = error.code, error.read(), error.headers["Content-Type"]
        return code, json.loads(content) if kind == "application/json" else content.decode()

    def verdict(self, rollout: str = "current") -> Any:
        return self.ask(f"/api/v1/analysis/{rollout}")[1]

    def may(self, hook: str, **metadata: str) -> bool:
        """What Flagger takes for yes: any 2xx."""
        code, words = self.ask(f"/api/v1/flagger/{hook}", {"name": "a", "namespace": "b", "metadata": metadata})
        assert isinstance(words, str | dict)
        return 200 <= code < 300


@pytest.fixture
def api() -> Iterator[Api]:
    desk = FakeDesk()
    with served(desk, "127.0.0.1", 0, Access()) as there:
        assert there.url is not None
        yield Api(desk, there.url)


def tick(desk: FakeDesk, loop: Any) -> None:
    """As the controller's process does: tick, and leave a view."""
    desk.view.save(seen(loop.tick()))


def rollout_under_way(desk: FakeDesk) -> Any:
    first_version(desk)
    candidate(desk)
    loop = desk.loop()
    for _ in range(2):  # one decides to begin, the next looks at it
        tick(desk, loop)
    return loop


def snippet(kind: str) -> Any:
    """The YAML of the page that makes a resource of this kind."""
    blocks = [YAML(typ="safe").load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.S)]
    return next(block for block in blocks if block["kind"] == kind)


def argo_phase(result: Any) -> str:
    """The documented conditions as Argo evaluates them (expr-lang: both here are plain comparisons of one field)."""
    metric = snippet("AnalysisTemplate")["spec"]["metrics"][0]
    assert metric["provider"]["web"]["jsonPath"] == "{$}"

    def holds(condition: str) -> bool:
        field, value = re.fullmatch(r'result\.(\w+) == "(\w+)"', condition).groups()  # type: ignore[union-attr]
        return bool(result[field] == value)

    failed, successful = holds(metric["failureCondition"]), holds(metric["successCondition"])
    return "Failed" if failed else "Successful" if successful else "Inconclusive"


def test_argo_follows_a_rollout_to_its_promotion(api: Api) -> None:
    """Shadow traffic in the morning, labels at night: Argo pauses, then goes on."""
    loop = rollout_under_way(api.desk)
    early = api.verdict()
    assert argo_phase(early) == "Inconclusive"
    assert early["rollout"] == "r4"
    assert early["final"] is False
    assert any("no traffic" in text for text in early["missing"])
    assert {"verdict", "score", "n", "reason", "metrics", "missing", "ready_at"} <= early.keys()
    for day in range(1, 4):
        api.desk.clock.advance(1.1 * DAY_S)
        compared_traffic(api.desk, f"day{day}", challenger_score=0.8)
        tick(api.desk, loop)
    done = api.verdict("r4")
    assert argo_phase(done) == "Successful"
    assert (done["final"], done["phase"]) == (True, "promoted")
    assert done["n"] >= 400
    assert done["score"] > 0.05
    assert api.verdict()["rollout"] == "r4"


def test_argo_and_flagger_stop_a_harmful_one(api: Api) -> None:
    """The labels show that the new version is worse: both are told, and stay told after the abort."""
    loop = rollout_under_way(api.desk)
    assert not api.may("rollback")
    api.desk.clock.advance(1.1 * DAY_S)
    compared_traffic(api.desk, "day1", challenger_score=0.2)
    tick(api.desk, loop)
    verdict = api.verdict("r4")
    assert argo_phase(verdict) == "Failed"
    assert verdict["phase"] == "aborted"
    assert "loss difference" in verdict["reason"]
    assert verdict["score"] <= 0.05
    assert api.may("rollback", rollout="r4")
    assert not any(api.may(hook, rollout="r4") for hook in HOOKS if hook != "rollback")


def test_flagger_goes_on_while_undecided_and_promotes_only_on_evidence(api: Api) -> None:
    """An hour after the start there is no label yet."""
    rollout_under_way(api.desk)
    said = {hook: api.may(hook) for hook in HOOKS}
    assert said == {
        "confirm-rollout": True,
        "pre-rollout": True,
        "rollout": True,
        "confirm-traffic-increase": False,
        "confirm-promotion": False,
        "rollback": False,
    }
    code, words = api.ask("/api/v1/flagger/confirm-promotion", {})
    assert code == 409
    assert words.startswith("no, do not promote: rollout r4 of version 2 is inconclusive: ")


def test_a_paused_rollout_is_nobodys_success(api: Api) -> None:
    """A person holds it while the evidence is good."""
    loop = rollout_under_way(api.desk)
    api.desk.clock.advance(1.1 * DAY_S)
    compared_traffic(api.desk, "day1", challenger_score=0.8)
    commands.pause(api.desk, actor="ann")
    tick(api.desk, loop)
    verdict = api.verdict()
    assert argo_phase(verdict) == "Inconclusive"
    assert verdict["reason"].startswith("paused")
    assert api.may("rollout")
    assert not api.may("confirm-promotion")


def test_a_version_taken_back_under_watch_has_failed_after_all(api: Api) -> None:
    """Promoted on Tuesday, rolled back on Wednesday: Argo, asking again, hears it."""
    rollout_under_way(api.desk)
    commands.promote(api.desk, actor="ann")
    assert argo_phase(api.verdict("r4")) == "Successful"
    commands.rollback(api.desk, actor="bob", reason="complaints")
    verdict = api.verdict("r4")
    assert argo_phase(verdict) == "Failed"
    assert verdict["phase"] == "rolled back"
    assert "bob" in verdict["reason"]


def test_without_any_rollout_nothing_is_confirmed_and_nothing_rolled_back(api: Api) -> None:
    """Flagger was set up first."""
    first_version(api.desk)
    assert api.ask("/api/v1/analysis/current") == (
        404,
        {"error": "there is no rollout 'current': none has been started yet"},
    )
    assert not any(api.may(hook) for hook in HOOKS)


def test_the_documented_webhooks_are_served(api: Api) -> None:
    """The page is pasted as it is."""
    rollout_under_way(api.desk)
    hooks = snippet("Canary")["spec"]["analysis"]["webhooks"]
    assert {hook["type"] for hook in hooks} == {"confirm-rollout", "rollout", "confirm-promotion", "rollback"}
    for hook in hooks:
        path = "/" + hook["url"].split("/", 3)[3]
        assert path.endswith("/" + hook["type"])
        assert api.ask(path, {"name": "x", "metadata": hook.get("metadata", {})})[0] in (200, 409)
    assert set(HOOKS) <= set(re.findall(r"`([a-z-]+)`", PAGE))


def test_what_the_command_line_shows(api: Api) -> None:
    """A dashboard reads the same values."""
    rollout_under_way(api.desk)
    code, status = api.ask("/api/v1/status")
    assert (code, status["champion"], status["rollout"]["version"]) == (200, 1, 2)
    lines = api.ask("/api/v1/history")[1]
    assert [line["seq"] for line in lines] == [1, 2, 3] or lines[-1]["seq"] == api.desk.journal.head()
    assert [line["seq"] for line in api.ask("/api/v1/history?limit=1")[1]] == [api.desk.journal.head()]
    assert [line["seq"] for line in api.ask("/api/v1/history?after=1&limit=2")[1]] == [2, 3]
    assert [line["seq"] for line in api.ask("/api/v1/history?after=0&limit=1")[1]] == [1]
    assert [line["seq"] for line in api.ask("/api/v1/history?before=3&limit=1")[1]] == [2]
    begun = api.ask("/api/v1/history?kind=start-rollout&version=2&rollout=r4&since=1970-01-01")[1]
    assert [line["what"].split(" started")[0] for line in begun] == ["rollout r4 of version 2"]
    assert api.ask("/api/v1/history?until=1970-01-01")[1] == []
    told = api.ask(f"/api/v1/why/{api.desk.journal.head()}")[1]
    assert told["chain"][-1]["seq"] == api.desk.journal.head()
    assert [line["version"] for line in api.ask("/api/v1/versions")[1]] == [1, 2]
    assert api.ask("/health") == (200, {"status": "ok", "endpoint": "parcels"})


@pytest.mark.parametrize(
    ("path", "body", "code", "text"),
    [
        ("/api/v1/analysis/r99", None, 404, "there is no rollout 'r99': there is r4"),
        ("/api/v1/why/99", None, 404, "there is no decision 99"),
        ("/api/v1/why/now", None, 400, "must be a whole number of at least 1, found 'now'"),
        ("/api/v1/history?limit=-1", None, 400, "limit must be a whole number"),
        ("/api/v1/history?page=2", None, 400, "'page' is not asked for here; there is after, before, limit"),
        ("/api/v1/history?kind=aborted", None, 404, "there is no kind of decision 'aborted'; there is RecordVersion"),
        ("/api/v1/history?since=noon", None, 400, "'noon' is not a time; write e.g. 2026-11-22"),
        ("/api/v1/flagger/rolback", {}, 404, "there is no hook 'rolback'; there is confirm-rollout"),
        ("/api/v1/flagger/rollback", b"{", 400, "the body is not JSON"),
        ("/api/v1/flagger/rollback", [], 400, "must be a JSON object as Flagger sends it, found list"),
        ("/api/v1/flagger/rollback", {"metadata": {"rollout": 3}}, 400, "metadata.rollout must be a rollout's name"),
        ("/api/v1/flagger/rollback", b" " * 70_000, 400, "longer than"),
        ("/api/v1/flagger/rollback", None, 405, "GET /api/v1/flagger/rollback is not served"),
        ("/api/v2/status", None, 404, "see docs/control-api.md"),
    ],
)
def test_wrong_questions_get_clear_answers(api: Api, path: str, body: Any, code: int, text: str) -> None:
    """Typing slips in a manifest."""
    rollout_under_way(api.desk)
    found, answer = api.ask(path, body)
    assert found == code
    assert text in answer["error"]


def test_a_journal_that_cannot_be_read_confirms_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is locked for a minute: not 2xx, so nothing is confirmed and nothing rolled back."""
    rollout_under_way(api.desk)

    def down(after: int = 0) -> Any:
        raise ExternalError("journal.db cannot be read: locked")

    monkeypatch.setattr(api.desk.journal, "skim", down)
    assert api.ask("/api/v1/analysis/current") == (503, {"error": "journal.db cannot be read: locked"})
    assert not any(api.may(hook) for hook in HOOKS)


def test_a_taken_port_is_told_and_no_error() -> None:
    """Two projects on one machine with the default port: the loop of the second must run."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with served(FakeDesk(), "127.0.0.1", port, Access()) as there:
            assert there.url is None
            assert there.problem is not None
            assert f"127.0.0.1:{port}" in there.problem


def test_the_thread_ends_with_the_block() -> None:
    """Ctrl-C on `trimtab up`, even before the first request."""
    with served(FakeDesk(), "127.0.0.1", 0, Access()) as there:
        assert there.url is not None
    assert not [thread for thread in threading.enumerate() if thread.name == "control-api"]


def test_the_loop_ticks_while_questions_are_asked(api: Api) -> None:
    """A dashboard that asks all the time: the loop decides as it would without."""
    loop = rollout_under_way(api.desk)
    over = threading.Event()
    codes: list[int] = []

    def dashboard() -> None:
        while not over.is_set():
            codes.append(api.ask("/api/v1/analysis/current")[0])

    asking = [threading.Thread(target=dashboard) for _ in range(3)]
    for thread in asking:
        thread.start()
    try:
        for day in range(1, 4):
            api.desk.clock.advance(1.1 * DAY_S)
            compared_traffic(api.desk, f"day{day}", challenger_score=0.8)
            tick(api.desk, loop)
        end = time.monotonic() + 10
        while len(codes) < 3 and time.monotonic() < end:
            time.sleep(0.01)
    finally:
        over.set()
        for thread in asking:
            thread.join()
    assert loop.status.champion == 2
    assert set(codes) == {200}
