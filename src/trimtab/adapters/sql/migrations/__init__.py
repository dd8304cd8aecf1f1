"""Alembic migrations of the journal; run on open by ``schema.ensure``."""
