"""The journal in a database: SQLite by default, PostgreSQL by URL."""

from trimtab.adapters.sql.journal import SqlJournal

__all__ = ["SqlJournal"]
