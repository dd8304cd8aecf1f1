"""A PostgreSQL server for the tests: ``TRIMTAB_TEST_POSTGRES`` (a URL; tests make and drop schemas of their own there),
or one that is made in a temporary directory where ``initdb`` is installed. Where there is neither, these tests are
skipped and say so.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import pytest
import sqlalchemy as sa

from trimtab.adapters.sql.engine import parse_url

URL = os.environ.get("TRIMTAB_TEST_POSTGRES")
WITHOUT = "needs PostgreSQL: set TRIMTAB_TEST_POSTGRES to a URL, or install its server (initdb)"


def binaries() -> Path | None:
    """Where ``initdb`` and ``pg_ctl`` are: on the path, or where Debian puts them."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    return max((path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")), default=None)


def _owner() -> str | None:
    """PostgreSQL refuses to run as root: whom it runs as then."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        pytest.skip("PostgreSQL does not run as root, and there is no user 'postgres'")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a server."""
    if URL:
        yield URL
        return
    tools = binaries()
    if tools is None:
        pytest.skip(WITHOUT)
    owner = _owner()
    with tempfile.TemporaryDirectory(prefix="trimtab-pg-") as folder:  # short: a socket's path is limited
        if owner is not None:
            shutil.chown(folder, owner)
        data = f"{folder}/data"

        def call(tool: str, *words: str) -> None:
            subprocess.run([tools / tool, "-D", data, *words], check=True, capture_output=True, user=owner, cwd=folder)

        call("initdb", "-U", "trimtab", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale", "C")
        call("pg_ctl", "-w", "-l", f"{folder}/log", "-o", f"-k {folder} -c listen_addresses= -c fsync=off", "start")
        try:
            yield f"postgresql://trimtab@/postgres?host={folder}"
        finally:
            call("pg_ctl", "-m", "immediate", "stop")


@pytest.fixture
def postgresql(postgresql_server: str) -> Iterator[str]:
    """The URL of an empty schema."""
    name = f"test_{uuid4().hex[:12]}"
    engine = sa.create_engine(parse_url(postgresql_server))
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {name}")
    yield f"{postgresql_server}{'&' if '?' in postgresql_server else '?'}options={quote(f'-csearch_path={name}')}"
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP SCHEMA {name} CASCADE")
    engine.dispose()
