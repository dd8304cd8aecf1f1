"""A snapshot of the fold saves reading the whole journal, and is never believed where it may be wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.controller.desk import FakeDesk
from tests.decide.worlds import record
from trimtab.adapters.files.state import FileShelf
from trimtab.controller import commands, standing
from trimtab.controller.codec import catch_up, replay
from trimtab.core.decide.status import Status
from trimtab.core.domain.errors import ExternalError
from trimtab.ports import Skimmed
from trimtab.replay.fakes import MemoryJournal
from trimtab.replay.simulation.endpoint import Endpoint
from trimtab.replay.simulation.run import remembering


class Read(MemoryJournal):
    """Remembers from where it was read."""

    def __init__(self) -> None:
        super().__init__()
        self.begins: list[int] = []

    def skim(self, after: int = 0) -> list[Skimmed]:
        self.begins.append(after)
        return super().skim(after)


@dataclass
class Kept:
    """A shelf."""

    content: bytes | None = None

    def load(self) -> bytes | None:
        return self.content

    def save(self, content: bytes) -> None:
        self.content = content


def busy(count: int = 30) -> FakeDesk:
    """Versions come, are rolled out, paused and promoted; one question was answered."""
    desk = FakeDesk(journal=Read())
    for version in (1, 2, 3):
        commands.record(desk, record(version, compared_to=1), deploy=version == 1, actor="ann")
    commands.deploy(desk, 2, actor="ann")
    for _ in range(count // 2):
        commands.pause(desk, actor="ann", reason="freeze")
        commands.resume(desk, actor="bo")
    commands.promote(desk, actor="ann")
    commands.deploy(desk, 3, actor="ann")
    return desk


def test_the_tail_is_read_from_the_snapshot_on() -> None:
    """`trimtab status` where years of decisions stand in the journal."""
    desk, shelf = busy(), Kept()
    whole, entries = catch_up(Status(), desk.journal.read()), desk.journal.read()
    standing.keep(shelf, catch_up(Status(), entries[:20]), entries[19])
    desk.journal.begins.clear()  # type: ignore[attr-defined]
    status, tail = standing.standing(desk.journal, shelf, len(entries))
    assert status == whole
    assert (desk.journal.begins, tail) == ([20], [])  # type: ignore[attr-defined]
    status, tail = standing.standing(desk.journal, shelf, 5)
    assert (status, tail) == (whole, entries[5:])


@pytest.mark.parametrize("damage", ["digest", "status", "half", "nonsense", "code", "ahead"])
def test_a_snapshot_that_does_not_fit_is_not_believed(damage: str) -> None:
    """The journal was restored from a backup, somebody edited a file, Trimtab was upgraded, the disk was full."""
    desk, shelf = busy(), Kept()
    entries = desk.journal.read()
    folded = catch_up(Status(), entries)
    standing.keep(shelf, folded, entries[-1])
    content = shelf.content
    assert content is not None
    shelf.content = {
        "digest": content.replace(entries[-1].digest.encode(), b"f" * 64),
        "status": content.replace(b'"champion":2', b'"champion":3'),
        "half": content[: len(content) // 2],
        "nonsense": b"\xff\n{}",
        "code": content.replace(b'"code":"', b'"code":"0'),
        "ahead": content,
    }[damage]
    assert damage == "ahead" or shelf.content != content
    journal = MemoryJournal()
    if damage == "ahead":
        entries = entries[:10]
    journal._entries, journal._skimmed = list(entries), desk.journal.skim()[: len(entries)]
    assert standing.standing(journal, shelf, 0)[0] == catch_up(Status(), entries)


def test_a_long_tail_makes_a_new_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next command begins from there."""
    monkeypatch.setattr(standing, "EVERY", 10)
    desk, shelf = busy(), FileShelf(tmp_path / "status.snapshot")
    assert shelf.load() is None
    first, _ = standing.standing(desk.journal, shelf, desk.journal.head())
    assert shelf.load() is not None
    desk.journal.begins.clear()  # type: ignore[attr-defined]
    assert standing.standing(desk.journal, shelf, desk.journal.head())[0] == first
    assert desk.journal.begins == [desk.journal.head()]  # type: ignore[attr-defined]


def test_an_empty_journal_stands_at_nothing() -> None:
    """`trimtab status` right after `trimtab init`."""
    assert standing.standing(MemoryJournal(), Kept(), 0) == (Status(), [])


def test_a_shelf_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """Somebody made a folder of that name."""
    (tmp_path / "status.snapshot").mkdir()
    with pytest.raises(ExternalError, match=r"status\.snapshot cannot be read"):
        FileShelf(tmp_path / "status.snapshot").load()


def test_the_text_of_a_journal_gives_what_its_entries_give() -> None:
    """A fold from scratch decodes only what it needs; the loop folds whole entries."""
    with remembering():
        for seed in range(12):
            endpoint = Endpoint(seed)
            endpoint.begin()
            for _ in range(150):
                endpoint.step()
            grown = Status()
            for entry in endpoint.journal.read():
                grown = catch_up(grown, [entry])
            assert replay(Status(), endpoint.journal.skim()) == grown


@pytest.mark.parametrize(
    ("actions", "said"),
    [
        ('[{"type":"Teleport"}]', "action 'Teleport' that this version"),
        ('[{"rollout":"r1","type":"PauseRollout","x"', "entries 1 to 1 cannot be read"),
        ('[{"type":"PauseRollout"}]', "PauseRollout cannot be read: .*rollout"),
        ('[{"rollout":"r1","type":7}]', "entries 1 to 1 cannot be read"),
    ],
)
def test_a_text_that_is_no_decision_is_named(actions: str, said: str) -> None:
    """The journal was written by a newer Trimtab, or a page of the disk is gone."""
    with pytest.raises(ExternalError, match=said):
        replay(Status(), [(1, 1.0, actions)])
