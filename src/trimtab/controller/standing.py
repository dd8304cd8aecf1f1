"""Where things stand: the fold of the journal, begun from a snapshot of an earlier fold where that can be trusted.

A snapshot is a convenience and may be deleted at any time. It is used only if it was made by this very code, is whole,
and the journal still has the entry it was made at, by its chain digest; else the journal is read from its beginning.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

import msgspec

from trimtab.controller.codec import catch_up
from trimtab.core.decide import status as statuses
from trimtab.core.decide.status import Status
from trimtab.core.domain.journal import Entry
from trimtab.ports import Journal

EVERY = 500
"""Entries that are folded before a new snapshot pays."""


class Shelf(Protocol):
    """Keeps the newest snapshot: bytes that may be lost."""

    def load(self) -> bytes | None: ...

    def save(self, content: bytes) -> None: ...


class _Head(msgspec.Struct, frozen=True):
    code: str
    seq: int
    digest: str
    sum: str


def standing(journal: Journal, shelf: Shelf | None, after: int) -> tuple[Status, list[Entry]]:
    """The status now, and at least the entries with ``seq > after``.

    Raises:
        ExternalError: the journal or the shelf cannot be read.
    """
    kept = None if shelf is None else _load(shelf)
    if kept is not None:
        head, status = kept
        begin = max(0, min(after, head.seq - 1))
        entries = journal.read(begin)
        place = head.seq - begin - 1
        if place < len(entries) and (entries[place].seq, entries[place].digest) == (head.seq, head.digest):
            return _folded(status, entries[place + 1 :], shelf), entries
    entries = journal.read()
    return _folded(Status(), entries, shelf), entries


def _folded(status: Status, entries: list[Entry], shelf: Shelf | None) -> Status:
    status = catch_up(status, entries)
    if shelf is not None and len(entries) >= EVERY:
        keep(shelf, status, entries[-1])
    return status


def keep(shelf: Shelf, status: Status, newest: Entry) -> None:
    """Put the fold up to ``newest`` on the shelf."""
    body = msgspec.json.encode(status)
    if msgspec.json.decode(body, type=Status) != status:
        return  # a value that JSON does not keep: reading the whole journal is slower and right
    head = _Head(_code(), newest.seq, newest.digest, hashlib.sha256(body).hexdigest())
    shelf.save(msgspec.json.encode(head) + b"\n" + body)


def _load(shelf: Shelf) -> tuple[_Head, Status] | None:
    content = shelf.load()
    if content is None:
        return None
    first, _, body = content.partition(b"\n")
    try:
        head = msgspec.json.decode(first, type=_Head)
        if head.code != _code() or head.sum != hashlib.sha256(body).hexdigest():
            return None
        status = msgspec.json.decode(body, type=Status)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return (head, status) if head.seq == status.seq and head.seq > 0 else None


def _code() -> str:
    """Of everything that folds: a snapshot of another Trimtab is none of ours."""
    core = Path(statuses.__file__).parent.parent
    digest = hashlib.sha256()
    for room in ("decide", "domain", "rollout"):
        for path in sorted((core / room).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
