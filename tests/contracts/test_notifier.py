"""The Notifier port: the log, a real webhook and the fake keep the same promises."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.adapters.web import Receiver
from trimtab.adapters.notify import AppriseNotifier, LogNotifier
from trimtab.core.domain.errors import ExternalError
from trimtab.core.domain.verdict import Severity
from trimtab.ports import Notice, Notifier
from trimtab.replay.fakes import MemoryNotifier

NOTICE = Notice("17-0", "Version 8 was aborted", "error rate 6.1 % > 5 % (305 of 5,000)", Severity.SEVERE)


@dataclasses.dataclass
class Channel:
    """A notifier, what arrived behind it, and how to break it."""

    notifier: Notifier
    titles: Callable[[], list[str]]
    breakdown: Callable[[], None]


@pytest.fixture(params=["memory", "log", "apprise"])
def channel(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Channel]:
    if request.param == "memory":
        fake = MemoryNotifier()
        yield Channel(fake, lambda: [notice.title for notice in fake.sent], lambda: setattr(fake, "failing", True))
    elif request.param == "log":
        path = tmp_path / "logs" / "notices.jsonl"

        def read() -> list[str]:
            return [json.loads(line)["title"] for line in path.read_text().splitlines()]

        yield Channel(LogNotifier(path), read, lambda: (tmp_path / "logs").write_text("in the way"))
    else:
        with Receiver() as receiver:
            notifier = AppriseNotifier([f"json://127.0.0.1:{receiver.port}/hook"])
            yield Channel(
                notifier,
                lambda: [json.loads(body)["title"] for body in receiver.bodies],
                lambda: setattr(receiver, "status", 500),
            )


def test_a_notice_arrives(channel: Channel) -> None:
    """A canary was aborted at night."""
    channel.notifier.send(NOTICE)
    assert channel.titles() == ["Version 8 was aborted"]


def test_notices_arrive_in_order(channel: Channel) -> None:
    """Several decisions in one tick."""
    for number in range(3):
        channel.notifier.send(dataclasses.replace(NOTICE, id=f"17-{number}", title=str(number)))
    assert channel.titles() == ["0", "1", "2"]


def test_a_failed_delivery_is_said(channel: Channel) -> None:
    """The receiver is down; the loop decides what to do about it."""
    channel.breakdown()
    with pytest.raises(ExternalError):
        channel.notifier.send(NOTICE)
