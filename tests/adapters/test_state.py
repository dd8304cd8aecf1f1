"""The two small files beside the journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from trimtab.adapters.files.state import FileOutbox, FileView
from trimtab.core.domain.errors import ExternalError


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\x00", b"[1]", b"null"])
def test_a_damaged_view_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    """A disk that lost a block: the next tick writes it again, and the status is told meanwhile."""
    (tmp_path / "view.json").write_bytes(content)
    view = FileView(tmp_path / "view.json")
    assert view.load() is None
    view.save({"now": 1.0})
    assert view.load() == {"now": 1.0}


def test_a_damaged_outbox_says_what_to_write(tmp_path: Path) -> None:
    """Guessing a number would send old messages again, or keep new ones back."""
    (tmp_path / "delivered").write_bytes(b"x")
    with pytest.raises(ExternalError, match="0 sends all messages again"):
        FileOutbox(tmp_path / "delivered").delivered()


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The state directory's place is taken by a file: an operator's slip of the hand."""
    (tmp_path / "state").write_bytes(b"")
    with pytest.raises(ExternalError, match=r"view\.json cannot be written"):
        FileView(tmp_path / "state" / "view.json").save({})
