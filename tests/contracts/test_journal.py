"""The Journal port: the database and the fake keep the same promises."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.adapters.sql import SqlJournal
from trimtab.adapters.sql.engine import parse_url
from trimtab.core.domain.errors import ConflictError, InvariantError
from trimtab.core.domain.journal import GENESIS, Draft
from trimtab.ports import Journal
from trimtab.replay.fakes import MemoryJournal

POSTGRESQL = os.environ.get("TRIMTAB_TEST_POSTGRESQL")
"""URL of a database whose journal may be dropped; the contract then runs over it too (needs psycopg)."""


@pytest.fixture(params=["memory", "sqlite", *(["postgresql"] if POSTGRESQL else [])])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    if request.param == "memory":
        yield MemoryJournal()
        return
    url: str | Path = tmp_path / "deep" / "journal.db"
    if request.param == "postgresql" and POSTGRESQL:
        url = POSTGRESQL
        with sa.create_engine(parse_url(url)).begin() as connection:
            connection.exec_driver_sql("DROP TABLE IF EXISTS journal, journal_revision")
            connection.exec_driver_sql("DROP FUNCTION IF EXISTS journal_append_only")
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
