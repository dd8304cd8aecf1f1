"""The journal in a database: durability, races, tampering, migrations."""

import multiprocessing
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from trimtab.adapters.sql import SqlJournal, schema
from trimtab.adapters.sql import journal as journals
from trimtab.adapters.sql.engine import make_engine, parse_url
from trimtab.adapters.sql.journal import rows_of
from trimtab.core.domain.errors import ConflictError, ExternalError, IntegrityError, UserError
from trimtab.core.domain.journal import GENESIS, Draft, Query

DRAFT = Draft(1.0, "controller", ({"type": "Alert"},), ({"code": "Missing", "text": "60 % > 5 %", "value": 0.6},))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def tamper(path: Path, statement: str) -> None:
    """What somebody with write access to the file can do."""
    with sqlite3.connect(path) as connection:
        for verb in ("update", "delete"):
            connection.execute(f"DROP TRIGGER IF EXISTS journal_no_{verb}")
        connection.execute(statement)
    connection.close()


def test_the_url_and_the_path_are_the_same_journal(path: Path) -> None:
    """The command line opens it by path, a settings file by URL."""
    with SqlJournal(path) as one, SqlJournal(f"sqlite:///{path}") as other:
        one.append(0, [DRAFT])
        assert other.head() == 1


def test_sqlite_is_durable_on_return(path: Path) -> None:
    """A power cut right after the append: WAL with synchronous=FULL, on every connection."""
    with SqlJournal(path) as journal, journal._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


@pytest.mark.parametrize("statement", ["UPDATE journal SET actor = 'me' WHERE seq = 1", "DELETE FROM journal"])
def test_the_database_itself_refuses_changes(path: Path, statement: str) -> None:
    """Somebody means to tidy up by hand."""
    with SqlJournal(path) as journal:
        journal.append(0, [DRAFT])
        with sqlite3.connect(path) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
        connection.close()
        assert journal.verify() is None


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ("UPDATE journal SET evidence = '{\"rows\":9}' WHERE seq = 2", 2),
        ("UPDATE journal SET at = at + 0.000001 WHERE seq = 3", 3),
        ("UPDATE journal SET cause = 1 WHERE seq = 1", 1),
        ("DELETE FROM journal WHERE seq = 2", 3),
        ("UPDATE journal SET actions = 'gone' WHERE seq = 3", 3),
        ("UPDATE journal SET digest = previous WHERE seq = 4", 4),
    ],
)
def test_tampering_shows_at_the_entry(path: Path, statement: str, broken: int) -> None:
    """An approval was written into the file afterwards."""
    with SqlJournal(path) as journal:
        journal.append(0, [DRAFT] * 5)
    tamper(path, statement)
    with SqlJournal(path) as journal:
        assert journal.verify() == broken


def test_an_entry_that_is_not_json_is_named(path: Path) -> None:
    """The file was damaged; the loop must not decide from what is left."""
    with SqlJournal(path) as journal:
        journal.append(0, [DRAFT] * 3)
    tamper(path, "UPDATE journal SET reasons = '[{' WHERE seq = 2")
    with SqlJournal(path) as journal, pytest.raises(IntegrityError, match="entry 2 is not what was written"):
        journal.read()


def race(url: str | Path, rounds: int, wins: "multiprocessing.Queue[int]") -> None:
    """Append as often as the race is won, until the journal has ``rounds`` entries."""
    won = 0
    with SqlJournal(url) as journal:
        while (head := journal.head()) < rounds:
            try:
                journal.append(head, [DRAFT])
                won += 1
            except ConflictError:
                continue
    wins.put(won)


def test_processes_that_open_and_append_at_once_never_both_win(path: Path) -> None:
    """Two controllers are started by mistake, on a journal that neither has seen."""
    context = multiprocessing.get_context("spawn")
    wins: multiprocessing.Queue[int] = context.Queue()
    racers = [context.Process(target=race, args=(path, 30, wins)) for _ in range(2)]
    for racer in racers:
        racer.start()
    won = [wins.get(timeout=120) for _ in racers]
    for racer in racers:
        racer.join(60)
    with SqlJournal(path) as journal:
        assert sum(won) == journal.head() == 30
        assert journal.verify() is None


KILLED = """
import sys
from trimtab.adapters.sql import SqlJournal
from trimtab.core.domain.journal import GENESIS, Draft, Query
journal = SqlJournal(sys.argv[1])
while True:
    head = journal.head()
    journal.append(head, [Draft(1.0, "controller", ({"type": "Alert", "n": n},)) for n in range(3)])
    print(head + 3, flush=True)
"""


def test_kill_9_loses_nothing_that_was_acknowledged_and_leaves_no_half_tick(path: Path) -> None:
    """The controller is killed while it appends."""
    process = subprocess.Popen([sys.executable, "-c", KILLED, f"sqlite:///{path}"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = 0
    while acknowledged < 30:
        acknowledged = int(process.stdout.readline())
    process.kill()
    acknowledged = max([acknowledged, *(int(line) for line in process.stdout if line.endswith("\n"))])
    process.wait()
    process.stdout.close()
    with SqlJournal(path) as journal:
        assert journal.head() >= acknowledged
        assert journal.head() % 3 == 0
        assert journal.verify() is None


def test_an_existing_journal_opens_without_alembic(path: Path) -> None:
    """Every `trimtab status` opens it: migrations are looked at only where there is one to make."""
    SqlJournal(path).close()
    code = (
        "import sys; from pathlib import Path; from trimtab.adapters.sql import SqlJournal; "
        f"SqlJournal(Path({str(path)!r})).head(); print('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_migrations_lead_to_the_tables_that_the_code_uses(path: Path) -> None:
    """Somebody changes the table and forgets the migration, or the other way round."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    assert ScriptDirectory(str(Path(schema.__file__).parent / "migrations")).get_current_head() == schema.HEAD
    with SqlJournal(path) as journal, journal._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": schema.VERSION_TABLE})
        assert compare_metadata(context, schema.metadata) == []


def test_decisions_of_an_older_journal_are_found_by_what_they_are_about(path: Path) -> None:
    """Trimtab is updated on a project that has run for a year."""
    begin_with_the_first_revision(parse_url(path))
    with SqlJournal(path) as journal:
        assert [entry.seq for entry in journal.find(Query(kind="Abort", rollout="r1"))] == [2]
        assert [entry.seq for entry in journal.find(Query(version=4))] == [1]
        assert journal.verify() is None
        journal.append(2, [DRAFT])
        assert [entry.seq for entry in journal.find(Query(kind="Alert"))] == [3]


def begin_with_the_first_revision(url: sa.URL) -> None:
    """A journal of two decisions as the first release made it."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    engine = make_engine(url)
    drafts = [Draft(float(n), "ann", (action,)) for n, action in enumerate(OLD)]
    with engine.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(sa.insert(schema.journal), rows_of(0, GENESIS, drafts))
    engine.dispose()


OLD = ({"type": "DeployFirst", "version": 4}, {"type": "Abort", "rollout": "r1", "version": 5, "text": ""})


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ("UPDATE journal_subject SET rollout = 'r9' WHERE seq = 2", 2),
        ("DELETE FROM journal_subject WHERE seq = 1", 1),
        ("INSERT INTO journal_subject VALUES (2, 7, 'Promote', 'r1', 5)", 2),
        ("INSERT INTO journal_subject VALUES (9, 0, 'Promote', 'r1', 5)", 9),
    ],
)
def test_an_index_that_hides_a_decision_shows(path: Path, statement: str, broken: int) -> None:
    """Somebody wants an abort not to be found."""
    with SqlJournal(path) as journal:
        journal.append(0, [Draft(1.0, "ann", (action,)) for action in OLD])
    with sqlite3.connect(path) as connection:
        for verb in ("update", "delete"):
            connection.execute(f"DROP TRIGGER journal_subject_no_{verb}")
        connection.execute(statement)
    connection.close()
    with SqlJournal(path) as journal:
        assert journal.verify() == broken


def test_a_journal_of_more_than_a_page_verifies_to_its_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verification reads page by page."""
    monkeypatch.setattr(journals, "_PAGE", 7)
    with SqlJournal(path) as journal:
        journal.append(0, [DRAFT] * 30)
        assert journal.verify() is None
    tamper(path, "UPDATE journal SET actor = 'me' WHERE seq = 22")
    with SqlJournal(path) as journal:
        assert journal.verify() == 22


def test_persisted_names_are_golden() -> None:
    """A journal of today is read by every later version."""
    names = ["seq", "at", "actor", "cause", "actions", "reasons", "evidence", "previous", "digest"]
    assert (schema.journal.name, [column.name for column in schema.journal.columns]) == ("journal", names)
    about = ["seq", "place", "kind", "rollout", "version"]
    assert (schema.subject.name, [column.name for column in schema.subject.columns]) == ("journal_subject", about)
    assert schema.VERSION_TABLE == "journal_revision"


def test_a_journal_of_a_newer_trimtab_is_left_alone(path: Path) -> None:
    """An old console is pointed at an updated project."""
    SqlJournal(path).close()
    tamper(path, f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(ExternalError, match="newer"):
        SqlJournal(path)


def test_a_file_that_is_no_database_is_said(path: Path) -> None:
    """The wrong file is named in the settings."""
    path.write_text("name: flights\n" * 100)
    with pytest.raises(ExternalError, match=r"journal\.db: file is not a database"):
        SqlJournal(path)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ExternalError, match="cannot make the journal's folder"):
        SqlJournal(tmp_path / "file" / "journal.db")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("not a url", "cannot be read"),
        ("mysql://host/db", "names 'mysql'"),
        ("sqlite://", "cannot live in memory"),
        ("sqlite:///:memory:", "cannot live in memory"),
    ],
)
def test_bad_urls_are_refused_with_a_hint(url: str, message: str) -> None:
    """A setting was typed wrongly."""
    with pytest.raises(UserError, match=message):
        SqlJournal(url)


def test_passwords_are_not_in_errors() -> None:
    """A URL with a secret and a typo ends up in a log."""
    with pytest.raises(UserError) as raised:
        SqlJournal("postgresql+pg8000://ada:s3cret@host/db")
    assert "s3cret" not in str(raised.value)
    assert parse_url("postgres" + "ql://ada:s3cret@host/db").drivername == "postgresql+psycopg"


def test_a_writer_waits_for_the_lock_of_another(path: Path) -> None:
    """A backup holds the database for a moment."""
    with SqlJournal(path) as journal:
        holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        holder.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.3, holder.rollback)
        release.start()
        started = time.monotonic()
        journal.append(0, [DRAFT])
        assert time.monotonic() - started >= 0.2
        release.join()
        holder.close()


def test_a_long_journal_reads_back_whole(path: Path) -> None:
    """Years of decisions."""
    with SqlJournal(path) as journal:
        journal.append(0, [DRAFT] * 5_000)
        entries = journal.read()
        assert [entry.seq for entry in entries] == list(range(1, 5_001))
        assert journal.verify() is None


@pytest.mark.parametrize("content", [b"not a database at all" * 50, b"SQLite format 3\x00" + b"\xff" * 4096])
def test_a_damaged_journal_is_named_with_a_way_out(tmp_path: Path, content: bytes) -> None:
    """The disk lost a block, or an editor saved the wrong file there."""
    path = tmp_path / "journal.db"
    path.write_bytes(content)
    with pytest.raises(ExternalError, match=r"journal\.db: .*put a copy back") as caught:
        SqlJournal(path).read()
    assert "sqlite" not in str(caught.value)
