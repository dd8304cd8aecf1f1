"""Run by Alembic with the connection, and the transaction, that ``schema.ensure`` opened."""

from alembic import context

from trimtab.adapters.sql.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
