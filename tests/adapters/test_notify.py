"""Notices through real channels: what arrives, what never shows, what a crash leaves."""

import json
import logging
from pathlib import Path

import pytest

from tests.adapters.web import Receiver
from trimtab.adapters.notify import AppriseNotifier, LogNotifier
from trimtab.core.domain.errors import ExternalError, UserError
from trimtab.core.domain.verdict import Severity
from trimtab.ports import Notice

NOTICE = Notice("17-0", "Version 8 was aborted", "error rate 6.1 % > 5 %", Severity.SEVERE)


def test_a_webhook_gets_title_body_and_severity() -> None:
    """The team's own receiver."""
    with Receiver() as receiver:
        AppriseNotifier([f"json://127.0.0.1:{receiver.port}/hook"]).send(NOTICE)
        (body,) = map(json.loads, receiver.bodies)
    assert (body["title"], body["message"], body["type"]) == (
        "Version 8 was aborted",
        "error rate 6.1 % > 5 %",
        "failure",
    )


def test_one_channel_that_fails_does_not_silence_the_others() -> None:
    """Slack is down, the pager is not."""
    with Receiver() as broken, Receiver() as sound:
        broken.status = 500
        notifier = AppriseNotifier(
            [f"json://127.0.0.1:{broken.port}/a", f"json://127.0.0.1:{sound.port}/b", "json://127.0.0.1:1/c"]
        )
        with pytest.raises(ExternalError, match=r"notice 17-0 was not taken by JSON \(URL 1\), JSON \(URL 3\)"):
            notifier.send(NOTICE)
        assert len(sound.bodies) == 1


def test_secrets_are_in_no_message_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """Logs are shared; webhook paths, passwords and tokens must not be in them."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(UserError) as unknown:
        AppriseNotifier(["json://ok.example.org", "nosuch://ada:s3cret@host/t0ken"])
    assert "notification URL 2 (nosuch://…)" in str(unknown.value)
    with pytest.raises(UserError) as shapeless:
        AppriseNotifier(["s3cret-t0ken"])
    with pytest.raises(ExternalError) as failed:
        AppriseNotifier(["json://ada:s3cret@127.0.0.1:1/t0ken?+auth=t0ken"]).send(NOTICE)
    said = "".join(map(str, (unknown.value, shapeless.value, failed.value, caplog.text)))
    assert "s3cret" not in said
    assert "t0ken" not in said


def test_a_plugin_that_raises_is_a_failed_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect in one of a hundred and seventy plugins."""
    notifier = AppriseNotifier(["json://127.0.0.1:1"])
    ((_, service),) = notifier._services

    def fail(**_: object) -> bool:
        raise RuntimeError("https://hooks.example.org/s3cret")

    monkeypatch.setattr(service, "notify", fail)
    with pytest.raises(ExternalError, match=r"JSON \(URL 1\) \(RuntimeError\)") as raised:
        notifier.send(NOTICE)
    assert raised.value.__cause__ is None


def test_the_log_has_each_notice_once_also_after_a_restart(tmp_path: Path) -> None:
    """The controller died after sending and before it noted that it had."""
    path = tmp_path / "notices.jsonl"
    LogNotifier(path).send(NOTICE)
    again = LogNotifier(path)
    again.send(NOTICE)
    again.send(Notice("17-1", "é", "two\nlines", Severity.MINOR))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["id"] for line in lines] == ["17-0", "17-1"]
    assert lines[0] == {"id": "17-0", "title": NOTICE.title, "body": NOTICE.body, "severity": "severe"}


def test_a_line_that_a_crash_cut_off_is_sent_again(tmp_path: Path) -> None:
    """The power went while it was written."""
    path = tmp_path / "notices.jsonl"
    LogNotifier(path).send(NOTICE)
    path.write_bytes(path.read_bytes()[:-20])
    LogNotifier(path).send(NOTICE)
    last = path.read_text().splitlines()[-1]
    assert json.loads(last)["id"] == "17-0"
    LogNotifier(path).send(NOTICE)
    assert len(path.read_text().splitlines()) == 2
