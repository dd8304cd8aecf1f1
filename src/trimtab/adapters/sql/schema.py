"""The journal's table and its migrations. Alembic is imported only where there is something to migrate."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from trimtab.adapters.sql.engine import translated
from trimtab.core.domain.errors import ExternalError
from trimtab.core.domain.journal import subjects

HEAD = "0002"
"""The newest revision in ``migrations/versions`` (a test holds them equal)."""

VERSION_TABLE = "journal_revision"
"""Not Alembic's default, so that the journal may share a database with MLflow."""

_ADVISORY_LOCK = 0x7472696D  # 'trim': one migration at a time on PostgreSQL

metadata = sa.MetaData()

journal = sa.Table(
    "journal",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("cause", sa.BigInteger),
    sa.Column("actions", sa.Text, nullable=False),
    sa.Column("reasons", sa.Text, nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
)
"""JSON is kept as text: its bytes are hashed, and databases reorder their own JSON types."""

subject = sa.Table(
    "journal_subject",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("rollout", sa.Text),
    sa.Column("version", sa.BigInteger),
)
"""What the actions of an entry are about (``core.domain.journal.subjects``): written with it, to find it by."""

sa.Index("journal_by_cause", journal.c.cause)
sa.Index("journal_by_time", journal.c.at)
sa.Index("journal_subject_by_kind", subject.c.kind, subject.c.seq)
sa.Index("journal_subject_by_rollout", subject.c.rollout, subject.c.seq)
sa.Index("journal_subject_by_version", subject.c.version, subject.c.seq)


def subject_rows(seq: int, actions: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of ``subject`` for an entry."""
    return [
        {"seq": seq, "place": place, "kind": about.kind, "rollout": about.rollout, "version": about.version}
        for place, about in enumerate(subjects(actions))
    ]


def ensure(engine: sa.Engine, name: str) -> None:
    """Bring the tables to ``HEAD``: at once where they are, else by Alembic under a lock.

    Raises:
        ExternalError: the database cannot be opened or was written by a newer Trimtab.
    """
    with translated(name):
        found = _revision(engine)
        if found != HEAD:
            _migrate(engine, name)


def _revision(engine: sa.Engine) -> str | None:
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table(VERSION_TABLE):
            return None
        row = connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).first()  # noqa: S608 - a constant
        return str(row[0]) if row else None


def _migrate(engine: sa.Engine, name: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    with engine.connect() as connection:
        writer = connection.execution_options(trimtab_write=True)
        with writer.begin():
            if engine.dialect.name == "postgresql":
                writer.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
            config.attributes["connection"] = writer
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                raise ExternalError(
                    f"journal {name}: its tables are of a revision that this Trimtab does not know ({error}); "
                    "it was written by a newer one: update Trimtab"
                ) from error
