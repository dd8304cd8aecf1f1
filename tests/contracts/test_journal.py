"""The Journal port: the database and the fake keep the same promises."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.adapters.sql import SqlJournal
from trimtab.core.domain.errors import ConflictError, InvariantError
from trimtab.core.domain.journal import GENESIS, Draft, Query, Written, chain
from trimtab.ports import Journal
from trimtab.replay.fakes import MemoryJournal


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    if request.param == "memory":
        yield MemoryJournal()
        return
    url = request.getfixturevalue("postgresql") if request.param == "postgresql" else tmp_path / "deep" / "journal.db"
    with SqlJournal(url) as opened:
        yield opened


def draft(at: float = 1.0, **fields: Any) -> Draft:
    return Draft(at=at, actor="controller", actions=({"type": "Alert", "title": "drift"},), **fields)


def test_a_new_journal_is_empty(journal: Journal) -> None:
    """The first start of a project."""
    assert (journal.head(), journal.read(), journal.verify()) == (0, [], None)


def test_entries_are_numbered_chained_and_come_back_as_appended(journal: Journal) -> None:
    """Two ticks, the second with two decisions."""
    first = journal.append(0, [draft(1.25)])
    rest = journal.append(1, [draft(2.5, cause=1), draft(2.5, cause=2, evidence={"rows": 5210, "rate": 0.1 + 0.2})])
    assert [entry.seq for entry in first + rest] == [1, 2, 3]
    assert journal.head() == 3
    assert journal.read() == first + rest
    assert journal.read(after=1) == rest
    assert journal.read(after=3) == []
    assert first[0].previous == GENESIS
    assert [entry.previous for entry in rest] == [first[0].digest, rest[0].digest]
    assert journal.verify() is None


def test_the_chain_is_golden() -> None:
    """A journal of today verifies with every later version."""
    first = Draft(
        1.25,
        "Zoë",
        ({"type": "Alert", "title": "drift é"},),
        ({"code": "A", "text": "x", "value": 0.1, "limit": None},),
        None,
        {"rows": 5, "b": (1, 2.0)},
    )
    second = Draft(1e9, "controller", ({"type": "Note", "text": "t"},), cause=1)
    digest = GENESIS
    for seq, one in enumerate((first, second), start=1):
        digest = chain(digest, seq, one.at, one.actor, one.cause, Written.of(one))
    assert digest == "00a15a4914e3957e3e362ff25c771e86ed53c7d512281239fd916a0f68c0e3d8"


@pytest.mark.parametrize("expected", [0, 1, 3])
def test_the_loser_of_a_race_changes_nothing(journal: Journal, expected: int) -> None:
    """Two controllers decide from the same journal; the slower one must look again."""
    entries = journal.append(0, [draft(), draft()])
    with pytest.raises(ConflictError, match=f"is at 2, expected {expected}"):
        journal.append(expected, [draft(9.0)])
    assert journal.read() == entries


def test_one_bad_draft_keeps_out_the_whole_tick(journal: Journal) -> None:
    """An action was built with a numpy number or NaN in it: our own defect, found before anything is written."""
    for bad in (float("nan"), float("inf"), {1, 2}, object()):
        with pytest.raises(InvariantError, match="plain JSON"):
            journal.append(0, [draft(), draft(evidence={"value": bad})])
    assert journal.head() == 0


def test_appending_nothing_still_compares(journal: Journal) -> None:
    """A tick without decisions."""
    journal.append(0, [draft()])
    assert journal.append(1, []) == []
    with pytest.raises(ConflictError):
        journal.append(0, [])


def test_what_was_appended_cannot_be_changed_through_a_reference(journal: Journal) -> None:
    """The caller goes on using the dictionary that it handed in."""
    evidence: dict[str, Any] = {"windows": [1, 2]}
    journal.append(0, [draft(evidence=evidence)])
    evidence["windows"].append(3)
    assert journal.read()[0].evidence == {"windows": [1, 2]}
    assert journal.verify() is None


def test_tuples_and_keys_come_back_as_json_has_them(journal: Journal) -> None:
    """Actions are made from dataclasses, whose tuples JSON does not have."""
    (entry,) = journal.append(0, [draft(evidence={"features": ("a", "b"), "b": 1, "a": None})])
    assert entry.evidence == {"features": ["a", "b"], "b": 1, "a": None}
    assert journal.read() == [entry]


def told(*kinds: str, at: float = 1.0, cause: int | None = None, **fields: Any) -> Draft:
    return Draft(at=at, actor="ann", actions=tuple({"type": kind, **fields} for kind in kinds), cause=cause)


@pytest.fixture
def life(journal: Journal) -> Journal:
    """Nine decisions of an endpoint."""
    asked = {"actions": [{"type": "Promote", "rollout": "r3", "version": 2}]}
    journal.append(0, [told("RecordVersion", at=10.0, record={"version": 2}), told("Alert", at=20.0)])
    journal.append(2, [told("StartRollout", "EnterStep", at=30.0, rollout="r3", version=2)])
    journal.append(
        3, [told("AskApproval", at=40.0, cause=3, **asked), told("Promote", rollout="r3", version=2, cause=3)]
    )
    journal.append(
        5, [told("RollBack", at=60.0, version=1, from_version=2), told("StartRollout", rollout="r7", version=4)]
    )
    journal.append(7, [told("Abort", "Alert", at=80.0, cause=7, rollout="r7", version=4), told("Note", at=90.0)])
    return journal


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (Query(), [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (Query(after=2, limit=3), [3, 4, 5]),
        (Query(limit=3, newest=True), [7, 8, 9]),
        (Query(before=5, limit=2, newest=True), [3, 4]),
        (Query(after=3, before=6), [4, 5]),
        (Query(kind="StartRollout"), [3, 7]),
        (Query(kind="StartRollout", limit=1, newest=True), [7]),
        (Query(kind="Alert"), [2, 8]),
        (Query(rollout="r3"), [3, 4, 5]),
        (Query(rollout="r3", kind="Promote"), [5]),
        (Query(version=2), [1, 3, 4, 5, 6]),
        (Query(version=1), [6]),
        (Query(kind="RollBack", version=2), [6]),
        (Query(kind="Abort", rollout="r3"), []),
        (Query(cause=3), [4, 5]),
        (Query(cause=3, limit=1, newest=True), [5]),
        (Query(since=30.0, until=80.0), [3, 4, 6]),
        (Query(limit=0), []),
    ],
)
def test_decisions_are_found_by_what_they_are_about(life: Journal, query: Query, found: list[int]) -> None:
    """Somebody asks for the aborts of version 4, or for what followed from decision 3."""
    assert [entry.seq for entry in life.find(query)] == found
    assert life.find(query) == [entry for entry in life.read() if entry.seq in found]


def test_a_page_is_read_and_a_fold_skims(life: Journal) -> None:
    """The control API pages through years; the status needs the actions alone."""
    assert [entry.seq for entry in life.read(4, 2)] == [5, 6]
    assert life.read(9, 5) == life.read(4, 0) == []
    skimmed = life.skim(7)
    assert [(seq, at) for seq, at, _ in skimmed] == [(8, 80.0), (9, 90.0)]
    assert [json.loads(text) for _, _, text in skimmed] == [list(entry.actions) for entry in life.read(7)]
    assert life.verify() is None


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def test_any_json_survives_and_both_write_the_same_hashes(tmp_path: Path) -> None:
    """Evidence is whatever a rule looked at, in any language; the simulation's journal equals the real one."""
    fake = MemoryJournal()

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.dictionaries(st.text(max_size=5), plain, max_size=3), min_size=1, max_size=3), st.floats(0, 4e9))
    def agree(evidences: list[dict[str, Any]], at: float) -> None:
        drafts = [Draft(at, "Zoë", ({"type": "Alert", **evidence},), evidence=evidence) for evidence in evidences]
        head = fake.head()
        written = real.append(head, drafts)
        assert written == fake.append(head, drafts)
        assert real.read(head) == fake.read(head) == written

    with SqlJournal(tmp_path / "journal.db") as real:
        agree()
        assert real.verify() is None
    assert fake.verify() is None
