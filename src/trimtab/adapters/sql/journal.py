"""``SqlJournal``: append-only, compare-and-append, hash-chained, over SQLAlchemy Core."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from trimtab.adapters.sql import schema
from trimtab.adapters.sql.engine import make_engine, parse_url, translated
from trimtab.controller.garbage import collector_paused
from trimtab.core.domain.errors import ConflictError, IntegrityError
from trimtab.core.domain.journal import GENESIS, Draft, Entry, Query, Written, chain

if TYPE_CHECKING:
    from types import TracebackType

    from trimtab.ports import Skimmed

_decode = msgspec.json.Decoder().decode
_PAGE = 2_000
"""Entries that are verified at once: a journal may be larger than memory."""


class SqlJournal:
    """The ``Journal`` port over a database.

    An append is one transaction: SQLite takes the write lock before it reads the head (``BEGIN IMMEDIATE``), PostgreSQL
    lets the primary key decide. SQLite runs in WAL mode with ``synchronous=FULL``, so what ``append`` returned survives
    a power cut. Triggers refuse UPDATE and DELETE. Safe for several processes and for several threads of one.

    Costs: opening one that exists a few milliseconds once SQLAlchemy is imported; an append one fsync.
    """

    def __init__(self, url: str | Path) -> None:
        """Open the journal, making or migrating its tables where needed.

        Args:
            url: ``sqlite:////abs/journal.db``, ``postgresql://user:secret@host/db``, or the path of an SQLite file.

        Raises:
            UserError: the URL cannot be understood, or its driver is not installed.
            ExternalError: the database cannot be opened, or was written by a newer Trimtab.
        """
        self._url = parse_url(url)
        self._engine = make_engine(self._url)
        local = self._url.get_backend_name() == "sqlite"
        self._name = str(self._url.database) if local else self._url.render_as_string(hide_password=True)
        schema.ensure(self._engine, self._name)

    def head(self) -> int:
        """Sequence number of the newest entry; 0 when empty."""
        with translated(self._name), self._engine.connect() as connection:
            return self._head(connection)[0]

    def read(self, after: int = 0, limit: int | None = None) -> list[Entry]:
        """Entries with ``seq > after``, in order; with ``limit`` the first so many of them.

        Raises:
            IntegrityError: a row is not the JSON that was written.
        """
        return self.find(Query(after=after, limit=limit))

    def find(self, query: Query) -> list[Entry]:
        """The entries that the query names, in order, by the indexes.

        Raises:
            IntegrityError: a row is not the JSON that was written.
        """
        with translated(self._name), self._engine.connect() as connection:
            rows = connection.execute(_select(query)).fetchall()
        with collector_paused():
            entries = [self._entry(row) for row in rows]
        return entries[::-1] if query.newest else entries

    def skim(self, after: int = 0) -> Sequence[Skimmed]:
        """What the fold needs of the entries with ``seq > after``, in order."""
        table = schema.journal
        query = sa.select(table.c.seq, table.c.at, table.c.actions).where(table.c.seq > after).order_by(table.c.seq)
        with translated(self._name), self._engine.connect() as connection, collector_paused():
            return [(seq, at, actions) for seq, at, actions in connection.execute(query)]

    def append(self, expected: int, drafts: Sequence[Draft]) -> list[Entry]:
        """Append all or nothing, durable on return.

        Raises:
            ConflictError: the head is not ``expected``; nothing was written.
            InvariantError: a draft is not plain JSON; nothing was written.
        """
        with translated(self._name), self._engine.connect() as connection:
            writer = connection.execution_options(trimtab_write=True)
            try:
                with writer.begin():
                    head, digest = self._head(writer)
                    if head != expected:
                        raise ConflictError(f"the journal is at {head}, expected {expected}: look again")
                    rows = rows_of(expected, digest, drafts)
                    if rows:
                        writer.execute(sa.insert(schema.journal), rows)
                    about = [each for row in rows for each in schema.subject_rows(row["seq"], _decode(row["actions"]))]
                    if about:
                        writer.execute(sa.insert(schema.subject), about)
            except sa.exc.IntegrityError as error:
                raise ConflictError(f"the journal moved on from {expected} while appending: look again") from error
        return [self._entry(tuple(row.values())) for row in rows]

    def verify(self) -> int | None:
        """The sequence number of the first entry whose hash does not fit, or that would not be found by what it is
        about, or None when all is as it was written.
        """
        table, about = schema.journal, schema.subject
        after, previous = 0, GENESIS
        with translated(self._name), self._engine.connect() as connection:
            while True:
                query = sa.select(*table.c).where(table.c.seq > after).order_by(table.c.seq).limit(_PAGE)
                rows = connection.execute(query).fetchall()
                found = sa.select(*about.c).where(about.c.seq > after)
                if rows:
                    found = found.where(about.c.seq <= rows[-1][0])
                broken = _first_broken(after, previous, rows, set(map(tuple, connection.execute(found))))
                if broken is not None or not rows:
                    return broken
                after, previous = int(rows[-1][0]), str(rows[-1][-1])

    def close(self) -> None:
        """Give the connections back. The journal may be used again; it then connects anew."""
        self._engine.dispose()

    def __enter__(self) -> SqlJournal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @staticmethod
    def _head(connection: sa.Connection) -> tuple[int, str]:
        table = schema.journal
        query = sa.select(table.c.seq, table.c.digest).order_by(table.c.seq.desc()).limit(1)
        row = connection.execute(query).first()
        return (int(row[0]), str(row[1])) if row else (0, GENESIS)

    def _entry(self, row: Sequence[Any]) -> Entry:
        seq, at, actor, cause, actions, reasons, evidence, previous, digest = row
        try:
            return Entry(
                seq=seq,
                at=at,
                actor=actor,
                actions=tuple(_decode(actions)),
                reasons=tuple(_decode(reasons)),
                cause=cause,
                evidence=_decode(evidence),
                previous=previous,
                digest=digest,
            )
        except (msgspec.DecodeError, TypeError) as error:
            raise IntegrityError(f"{self._name}: entry {seq} is not what was written: {error}") from error


def _select(query: Query) -> sa.Select[Any]:
    table, about = schema.journal, schema.subject
    chosen = sa.select(*table.c).where(table.c.seq > query.after)
    named = {about.c.kind: query.kind, about.c.rollout: query.rollout, about.c.version: query.version}
    wanted = [column == value for column, value in named.items() if value is not None]
    if wanted:
        chosen = chosen.where(table.c.seq.in_(sa.select(about.c.seq).where(*wanted)))
    if query.before is not None:
        chosen = chosen.where(table.c.seq < query.before)
    if query.cause is not None:
        chosen = chosen.where(table.c.cause == query.cause)
    if query.since is not None:
        chosen = chosen.where(table.c.at >= query.since)
    if query.until is not None:
        chosen = chosen.where(table.c.at < query.until)
    chosen = chosen.order_by(table.c.seq.desc() if query.newest else table.c.seq)
    return chosen if query.limit is None else chosen.limit(query.limit)


def _first_broken(after: int, previous: str, rows: Sequence[Sequence[Any]], stored: set[tuple[Any, ...]]) -> int | None:
    """Of the entries after ``after``: the first that does not continue the chain, or that its subjects do not name.

    The digest is taken over the very bytes that are stored: a change that JSON would not show, shows.
    """
    for expected, row in enumerate(rows, start=after + 1):
        seq, at, actor, cause, actions, reasons, evidence, before, digest = row
        whole = seq == expected and before == previous
        if not whole or chain(previous, seq, at, actor, cause, Written(actions, reasons, evidence)) != digest:
            return int(seq)
        wanted = {tuple(about.values()) for about in schema.subject_rows(seq, _decode(actions))}
        if not wanted <= stored:
            return int(seq)
        stored -= wanted
        previous = digest
    return min((int(about[0]) for about in stored), default=None)


def rows_of(head: int, digest: str, drafts: Sequence[Draft]) -> list[dict[str, Any]]:
    """The rows that append ``drafts`` after entry ``head``, chained; keys in the order of the table's columns."""
    rows = []
    for seq, draft in enumerate(drafts, start=head + 1):
        written, at = Written.of(draft), float(draft.at)
        previous, digest = digest, chain(digest, seq, at, draft.actor, draft.cause, written)
        rows.append(
            {
                "seq": seq,
                "at": at,
                "actor": draft.actor,
                "cause": draft.cause,
                "actions": written.actions,
                "reasons": written.reasons,
                "evidence": written.evidence,
                "previous": previous,
                "digest": digest,
            }
        )
    return rows
