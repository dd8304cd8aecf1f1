"""What each decision is about, and by what it is found: kind, rollout, version, cause, time."""

import json

import sqlalchemy as sa
from alembic import op

from trimtab.adapters.sql.schema import journal, subject, subject_rows

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ENTRIES = 2_000


def upgrade() -> None:
    op.create_table(
        "journal_subject",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("rollout", sa.Text),
        sa.Column("version", sa.BigInteger),
    )
    _fill()
    op.create_index("journal_by_cause", "journal", ["cause"])
    op.create_index("journal_by_time", "journal", ["at"])
    for column in ("kind", "rollout", "version"):
        op.create_index(f"journal_subject_by_{column}", "journal_subject", [column, "seq"])
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER journal_subject_no_{verb.lower()} BEFORE {verb} ON journal_subject "
                "BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END"
            )
        return
    op.execute(
        "CREATE TRIGGER journal_subject_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON journal_subject "
        "FOR EACH STATEMENT EXECUTE FUNCTION journal_append_only()"
    )


def _fill() -> None:
    """For the decisions that are there. One that is no JSON is found by ``verify``, and by no subject."""
    connection, after = op.get_bind(), 0
    while True:
        query = sa.select(journal.c.seq, journal.c.actions).where(journal.c.seq > after).order_by(journal.c.seq)
        found = connection.execute(query.limit(_ENTRIES)).fetchall()
        if not found:
            return
        after = found[-1][0]
        rows = [row for seq, text in found for row in subject_rows(seq, _actions(text))]
        if rows:
            connection.execute(sa.insert(subject), rows)


def _actions(text: str) -> list[dict[str, object]]:
    try:
        actions = json.loads(text)
    except ValueError:
        return []
    return [action for action in actions if isinstance(action, dict)] if isinstance(actions, list) else []


def downgrade() -> None:
    raise NotImplementedError("the journal is append-only; restore a backup instead")
