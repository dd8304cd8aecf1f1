"""The journal on a real PostgreSQL: races, kills, tampering, migrations. Skipped, by name, where there is no server."""

import multiprocessing
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.adapters.test_sql import DRAFT, KILLED, OLD, begin_with_the_first_revision, race
from tests.cli.command import MINIMAL
from trimtab.adapters.sql import SqlJournal, schema
from trimtab.adapters.sql.engine import parse_url
from trimtab.cli.main import main
from trimtab.core.domain.errors import ConflictError, ExternalError
from trimtab.core.domain.journal import Draft, Query


def test_processes_that_open_and_append_at_once_never_both_win(postgresql: str) -> None:
    """Two controllers in two clusters start on a new database: one migrates, and one of each race wins."""
    context = multiprocessing.get_context("spawn")
    wins: multiprocessing.Queue[int] = context.Queue()
    racers = [context.Process(target=race, args=(postgresql, 40, wins)) for _ in range(2)]
    for racer in racers:
        racer.start()
    won = [wins.get(timeout=120) for _ in racers]
    for racer in racers:
        racer.join(60)
    with SqlJournal(postgresql) as journal:
        assert sum(won) == journal.head() == 40
        assert journal.verify() is None


def test_a_race_that_is_lost_at_the_commit_is_a_conflict(postgresql: str) -> None:
    """Both read the head; the other one's transaction is still open when ours inserts, and then it commits."""
    with SqlJournal(postgresql) as journal, SqlJournal(postgresql) as other, other._engine.connect() as holder:
        journal.append(0, [DRAFT])
        row = {"seq": 2, "at": 1.0, "actor": "other", "actions": "[]", "reasons": "[]", "evidence": "{}"}
        begun = holder.begin()
        holder.execute(sa.insert(schema.journal).values(**row, previous="0" * 64, digest="1" * 64))
        told: list[Exception] = []

        def lose() -> None:
            try:
                journal.append(1, [DRAFT, DRAFT])
            except ConflictError as conflict:
                told.append(conflict)

        loser = threading.Thread(target=lose)
        loser.start()
        _wait_for_a_lock(holder)
        begun.commit()
        loser.join(30)
        assert [str(conflict) for conflict in told] == ["the journal moved on from 1 while appending: look again"]
        assert journal.head() == 2


def _wait_for_a_lock(connection: sa.Connection) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    for _ in range(600):
        if connection.exec_driver_sql(waiting).scalar():
            return
        threading.Event().wait(0.05)
    pytest.fail("the second writer did not come to wait for the first")


def test_kill_9_loses_nothing_that_was_acknowledged_and_leaves_no_half_tick(postgresql: str) -> None:
    """The controller is killed while it appends."""
    process = subprocess.Popen([sys.executable, "-c", KILLED, postgresql], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = 0
    while acknowledged < 30:
        acknowledged = int(process.stdout.readline())
    process.kill()
    acknowledged = max([acknowledged, *(int(line) for line in process.stdout if line.endswith("\n"))])
    process.wait()
    process.stdout.close()
    with SqlJournal(postgresql) as journal:
        assert journal.head() >= acknowledged
        assert journal.head() % 3 == 0
        assert journal.verify() is None


@pytest.mark.parametrize("table", ["journal", "journal_subject"])
@pytest.mark.parametrize("verb", ["UPDATE {} SET seq = seq + 1", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_database_itself_refuses_changes(postgresql: str, table: str, verb: str) -> None:
    """Somebody means to tidy up by hand."""
    with SqlJournal(postgresql) as journal:
        journal.append(0, [DRAFT])
        with journal._engine.connect() as connection, pytest.raises(sa.exc.DBAPIError, match="append-only"):
            connection.exec_driver_sql(verb.format(table))
        assert journal.verify() is None


@pytest.mark.parametrize(
    ("table", "statement", "broken"),
    [
        ("journal", "UPDATE journal SET evidence = '{\"rows\":9}' WHERE seq = 2", 2),
        ("journal", "UPDATE journal SET at = at + 0.000001 WHERE seq = 3", 3),
        ("journal", "DELETE FROM journal WHERE seq = 2", 3),
        ("journal_subject", "DELETE FROM journal_subject WHERE seq = 4", 4),
    ],
)
def test_tampering_shows_at_the_entry(postgresql: str, table: str, statement: str, broken: int) -> None:
    """Who owns the database can drop the trigger; the chain tells."""
    with SqlJournal(postgresql) as journal:
        journal.append(0, [DRAFT] * 5)
        with journal._engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
            connection.exec_driver_sql(statement)
        assert journal.verify() == broken


def test_the_migrations_lead_to_the_tables_that_the_code_uses(postgresql: str) -> None:
    """What SQLite lets pass, PostgreSQL may not."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with SqlJournal(postgresql) as journal, journal._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": schema.VERSION_TABLE})
        assert compare_metadata(context, schema.metadata) == []


def test_an_older_journal_is_migrated_with_its_decisions(postgresql: str) -> None:
    """Trimtab is updated on a project that has run for a year."""
    begin_with_the_first_revision(parse_url(postgresql))
    with SqlJournal(postgresql) as journal:
        assert [entry.actions[0] for entry in journal.read()] == list(OLD)
        assert [entry.seq for entry in journal.find(Query(version=4))] == [1]
        assert journal.verify() is None


def test_any_text_and_any_time_come_back_as_written(postgresql: str) -> None:
    """Names, reasons and clocks of people: NUL in evidence, emoji, the last digit of a float."""
    with SqlJournal(postgresql) as journal:
        draft = Draft(1763957123.1234567, "Zoë 🚀", ({"type": "Note", "text": "a\u0000b"},), evidence={"x": 0.1 + 0.2})
        written = journal.append(0, [draft])
        assert journal.read() == written
        assert journal.verify() is None


def test_a_server_that_is_away_is_said_without_the_password(postgresql: str) -> None:
    """The database is restarted: a tick finds it away, the next one finds it again."""
    with pytest.raises(ExternalError) as caught:
        SqlJournal("postgresql://ada:s3cret@127.0.0.1:1/trimtab")
    assert "127.0.0.1" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    with SqlJournal(postgresql) as journal:
        journal.append(0, [DRAFT])
        with journal._engine.connect() as connection:
            mine = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        with sa.create_engine(parse_url(postgresql)).connect() as other:
            other.exec_driver_sql(f"SELECT pg_terminate_backend({mine})")
        assert journal.head() == 1


def test_the_project_file_names_the_journal(
    postgresql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A team keeps its journal in the company's database."""
    monkeypatch.setenv("JOURNAL", postgresql)
    (tmp_path / "trimtab.yaml").write_text(f"{MINIMAL}\njournal:\n  url: ${{JOURNAL}}\n")
    with SqlJournal(postgresql) as journal:
        journal.append(0, [Draft(1.0, "ann", ({"type": "Note", "text": "moved to PostgreSQL"},))])
    assert main(["history", "--project", str(tmp_path)]) == 0
    assert "moved to PostgreSQL" in capsys.readouterr().out
    assert main(["history", "--verify", "--project", str(tmp_path)]) == 0
    assert not (tmp_path / ".trimtab" / "journal.db").exists()
