"""``SqlJournal``: append-only, compare-and-append, hash-chained, over SQLAlchemy Core."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from trimtab.adapters.sql import schema
from trimtab.adapters.sql.engine import make_engine, parse_url, translated
from trimtab.core.domain.errors import ConflictError, IntegrityError
from trimtab.core.domain.journal import GENESIS, Draft, Entry, canonical, chain, first_broken

if TYPE_CHECKING:
    from types import TracebackType

_decode = msgspec.json.Decoder().decode


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

    def read(self, after: int = 0) -> list[Entry]:
        """Entries with ``seq > after``, in order.

        Raises:
            IntegrityError: a row is not the JSON that was written.
        """
        table = schema.journal
        query = sa.select(*table.c).where(table.c.seq > after).order_by(table.c.seq)
        with translated(self._name), self._engine.connect() as connection:
            rows = connection.execute(query).fetchall()
        with _collector_paused():
            return [self._entry(row) for row in rows]

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
            except sa.exc.IntegrityError as error:
                raise ConflictError(f"the journal moved on from {expected} while appending: look again") from error
        return [self._entry(tuple(row.values())) for row in rows]

    def verify(self) -> int | None:
        """The sequence number of the first entry whose hash does not fit, or None when the chain holds."""
        with translated(self._name), self._engine.connect() as connection:
            rows = connection.execute(sa.select(*schema.journal.c).order_by(schema.journal.c.seq)).fetchall()
        intact: list[Entry] = []
        for row in rows:
            try:
                intact.append(self._entry(row))
            except IntegrityError:
                # A row that is no longer JSON is broken, but an earlier one may be too.
                return first_broken(intact) or int(row[0])
        return first_broken(intact)

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


@contextmanager
def _collector_paused() -> Iterator[None]:
    """A hundred thousand entries are no garbage; looking for it among them doubles the time to read them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def rows_of(head: int, digest: str, drafts: Sequence[Draft]) -> list[dict[str, Any]]:
    """The rows that append ``drafts`` after entry ``head``, chained; keys in the order of the table's columns."""
    rows = []
    for seq, draft in enumerate(drafts, start=head + 1):
        previous, digest = digest, chain(digest, seq, draft)
        rows.append(
            {
                "seq": seq,
                "at": float(draft.at),
                "actor": draft.actor,
                "cause": draft.cause,
                "actions": canonical(draft.actions),
                "reasons": canonical(draft.reasons),
                "evidence": canonical(draft.evidence),
                "previous": previous,
                "digest": digest,
            }
        )
    return rows
