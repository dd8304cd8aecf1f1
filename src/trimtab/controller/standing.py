"""Where things stand: the fold of the journal, begun from a snapshot of an earlier fold where that can be trusted.

A snapshot is a convenience and may be deleted at any time. It is used only if it was made by this very code, is whole,
and the journal still has the entry it was made at, by its chain digest; else the journal is read from its beginning.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

import msgspec

from trimtab.controller.codec import replay
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
    """The status now, and the entries with ``seq > after`` up to it.

    Raises:
        ExternalError: the journal or the shelf cannot be read.
    """
    status = status_of(journal, shelf)
    return status, [entry for entry in journal.read(after) if entry.seq <= status.seq]


def status_of(journal: Journal, shelf: Shelf | None) -> Status:
    """The status now.

    Raises:
        ExternalError: the journal or the shelf cannot be read.
    """
    status = _kept(journal, shelf)
    news = journal.skim(status.seq)
    status = replay(status, news)
    if shelf is not None and len(news) >= EVERY:
        keep(shelf, status, journal.read(status.seq - 1, 1)[0])
    return status


def _kept(journal: Journal, shelf: Shelf | None) -> Status:
    """The newest snapshot where the journal still has its entry, else nothing."""
    kept = None if shelf is None else _load(shelf)
    if kept is None:
        return Status()
    head, status = kept
    there = journal.read(head.seq - 1, 1)
    fits = bool(there) and (there[0].seq, there[0].digest) == (head.seq, head.digest)
    return status if fits else Status()


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
