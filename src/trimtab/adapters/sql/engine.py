"""Engines for the journal: drivers, pragmas, transactions, and the translation of foreign errors."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from trimtab.core.domain.errors import ExternalError, UserError

BUSY_S = 10.0
"""How long a writer waits for another one's lock before it gives up."""

_DRIVERS = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}


def parse_url(url: str | Path) -> sa.URL:
    """The URL with the driver we use; a path means SQLite.

    Raises:
        UserError: it is no URL, or of a database that the journal does not support.
    """
    if isinstance(url, Path):
        return sa.URL.create("sqlite+pysqlite", database=str(url.absolute()))
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise UserError(
            "the journal's URL cannot be read; write sqlite:////absolute/path/journal.db or postgresql://user@host/db"
        ) from None
    name = parsed.drivername
    if name not in _DRIVERS and name not in _DRIVERS.values():
        raise UserError(f"the journal's URL names '{name}'; supported are sqlite and postgresql")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise UserError(
            "the journal cannot live in memory: it must outlive the process; write sqlite:////path/journal.db"
        )
    return parsed.set(drivername=_DRIVERS.get(name, name))


def make_engine(url: sa.URL) -> sa.Engine:
    """An engine that begins SQLite's transactions itself: writers (option ``trimtab_write``) take the lock at once."""
    if url.get_backend_name() != "sqlite":
        try:
            return sa.create_engine(url, pool_pre_ping=True)
        except ModuleNotFoundError as error:
            raise UserError("PostgreSQL needs the driver psycopg: pip install 'psycopg[binary]'") from error
    path = Path(str(url.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExternalError(f"{path.parent}: cannot make the journal's folder: {error.strerror or error}") from error
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_S})
    sa.event.listen(engine, "connect", _configure_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # sqlite3 then begins no transaction by itself
    _set_wal(connection)
    connection.execute("PRAGMA synchronous=FULL")


def _set_wal(connection: sqlite3.Connection) -> None:
    """Changing the mode needs the file for oneself and does not wait by itself; later calls find it done."""
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _begin_sqlite(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("trimtab_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Turn SQLAlchemy's errors into ours; the text has neither SQL nor parameters nor a password."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        said = next(iter(str(error.orig).strip().splitlines()), type(error.orig).__name__)
        raise ExternalError(f"journal {name}: {said}{_hint(error.orig)}") from error
    except sa.exc.SQLAlchemyError as error:
        raise ExternalError(f"journal {name}: {error}") from error


def _hint(error: BaseException | None) -> str:
    """What to look at, by SQLite's code."""
    damaged = "; it is damaged: put a copy back, or move it away and begin a new one"
    hints = {
        sqlite3.SQLITE_CANTOPEN: "; its folder must be there and writable for you",
        sqlite3.SQLITE_READONLY: "; the file and its folder must be writable for you",
        sqlite3.SQLITE_FULL: "; free some space: nothing was half-written",
        sqlite3.SQLITE_CORRUPT: damaged,
        sqlite3.SQLITE_NOTADB: damaged,
    }
    return hints.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, "")
