"""The deployment directory and the log directory: what a reader sees while things are written, and damage."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.adapters.packages import make_package
from tests.adapters.web import Receiver
from trimtab.adapters.atomic import write_aside
from trimtab.adapters.files import DirectoryTarget, ParquetLogReader
from trimtab.core.domain.errors import ExternalError, IntegrityError
from trimtab.core.domain.routes import Routes, Share
from trimtab.logs import empty_predictions

ROUTES = Routes(12, "r3", (Share(7, 95), Share(8, 5)), shadow=(7, 8), arms={7: "champion", 8: "challenger"})


@pytest.fixture
def deployment(tmp_path: Path) -> Path:
    return tmp_path / "deployment"


@pytest.fixture
def target(deployment: Path, tmp_path: Path) -> DirectoryTarget:
    target = DirectoryTarget(deployment)
    package = make_package(tmp_path / "package")
    for version in (7, 8):
        target.install(version, package)
    return target


def test_routes_json_is_what_the_contract_says(target: DirectoryTarget, deployment: Path) -> None:
    """Servers in any language read it (docs/formats.md)."""
    target.apply(ROUTES)
    assert json.loads((deployment / "routes.json").read_text()) == {
        "generation": 12,
        "salt": "r3",
        "split": [{"version": 7, "weight": 95}, {"version": 8, "weight": 5}],
        "shadow": [7, 8],
        "warm": [],
        "arms": {"7": "champion", "8": "challenger"},
    }
    assert sorted(path.name for path in deployment.iterdir()) == ["routes.json", "versions"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"generation": 1',
        b"[]",
        b'{"generation": 1, "salt": "a", "split": []}',
        b'{"generation": 1, "salt": "a", "split": [{"version": 1, "weight": 99}]}',
        b'{"generation": 1, "salt": "a", "split": [{"version": 1, "weight": 100}], "arms": {"x": "champion"}}',
    ],
)
def test_damaged_routes_are_named(target: DirectoryTarget, deployment: Path, content: bytes) -> None:
    """Somebody edited routes.json by hand."""
    (deployment / "routes.json").write_bytes(content)
    with pytest.raises(IntegrityError, match=r"routes\.json is not of the format"):
        target.routes()


def test_a_damaged_package_is_not_installed(target: DirectoryTarget, tmp_path: Path, deployment: Path) -> None:
    """The download was cut off."""
    package = make_package(tmp_path / "damaged")
    (package / "model.onnx").write_bytes(b"half")
    with pytest.raises(IntegrityError, match=r"was changed|bytes"):
        target.install(9, package)
    assert target.installed() == {7, 8}
    assert sorted(path.name for path in (deployment / "versions").iterdir()) == ["7", "8"]


def test_another_package_under_the_same_number_is_refused(target: DirectoryTarget, tmp_path: Path) -> None:
    """Two registries share a deployment directory by mistake."""
    with pytest.raises(IntegrityError, match="digest"):
        target.install(7, make_package(tmp_path / "other", b"other weights"))


def test_what_a_crash_left_is_not_taken_for_a_version(
    target: DirectoryTarget, deployment: Path, tmp_path: Path
) -> None:
    """The controller was killed while it copied one version and removed another."""
    (deployment / "versions" / ".9.abcdef").mkdir()
    (deployment / "versions" / ".retired-8").mkdir()
    (deployment / "versions" / ".retired-8" / "model.onnx").write_bytes(b"")
    assert target.installed() == {7, 8}
    target.retire(8)
    assert target.installed() == {7}
    target.install(9, tmp_path / "package")
    assert sorted(path.name for path in (deployment / "versions").iterdir()) == ["7", "9"]


def test_a_full_disk_leaves_the_old_routes(target: DirectoryTarget, deployment: Path) -> None:
    """Writing fails; the servers go on with what they have."""
    target.apply(ROUTES)
    (deployment / "routes.json").unlink()
    (deployment / "routes.json").mkdir()
    with pytest.raises(ExternalError, match=r"routes\.json"):
        target.apply(ROUTES)
    assert not [path for path in deployment.iterdir() if path.name.startswith(".")]


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """A write that fails leaves what stood there, and nothing beside it."""
    path = tmp_path / "state.json"
    write_aside(path, b"old")
    with pytest.raises(TypeError):
        write_aside(path, "text")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["state.json"]


# -- servers -------------------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def card(deployment: Path, name: str, pid: int, url: str, **fields: str) -> None:
    (deployment / "servers").mkdir(parents=True, exist_ok=True)
    (deployment / "servers" / f"{name}.json").write_text(json.dumps({"pid": pid, "url": url, **fields}))


def test_a_server_says_what_it_serves(deployment: Path, server: Receiver) -> None:
    """After a rollback the servers are asked which version answers."""
    refused = [{"version": 8, "reason": "the example gives other answers"}]
    status = {"ready": True, "generation": 12, "loaded": [7], "refused": refused, "log": {"written": 3}}
    server.pages["/trimtab/status"] = json.dumps(status).encode()
    card(deployment, "1", os.getpid(), f"http://127.0.0.1:{server.port}/", logs="/var/logs")
    (report,) = DirectoryTarget(deployment).servers()
    assert (report.ready, report.generation, report.loaded) == (True, 12, (7,))
    assert report.refused == ((8, "the example gives other answers"),)


def test_workers_are_asked_each_and_told_by_the_port_that_they_share(deployment: Path, server: Receiver) -> None:
    """People read the address in 'trimtab status': a worker's own port goes when it is replaced."""
    server.pages["/trimtab/status"] = json.dumps({"generation": 12, "loaded": [7]}).encode()
    own, shared = f"http://127.0.0.1:{server.port}", "http://127.0.0.1:8080"
    card(deployment, "1", os.getpid(), own, public=shared)
    assert [(report.url, report.ready) for report in DirectoryTarget(deployment).servers()] == [(shared, True)]


def test_workers_that_share_a_port_are_all_heard(deployment: Path, server: Receiver) -> None:
    """Two workers on one port answer by lot; one has not seen the new routes yet."""
    pids = os.getpid(), os.getppid()
    old, new = ({"pid": pid, "generation": 11 + n, "loaded": [7]} for n, pid in enumerate(pids))
    server.turns["/trimtab/status"] = [json.dumps(page).encode() for page in (old, old, old, new)]
    for pid in pids:
        card(deployment, str(pid), pid, f"http://127.0.0.1:{server.port}")
    assert [report.generation for report in DirectoryTarget(deployment).servers()] == [11, 12]


def test_a_worker_that_is_never_heard_is_not_ready(deployment: Path, server: Receiver) -> None:
    """One of two workers hangs: nobody may conclude that all have the new routes."""
    server.pages["/trimtab/status"] = json.dumps({"pid": os.getpid(), "generation": 12}).encode()
    for pid in (os.getpid(), os.getppid()):
        card(deployment, str(pid), pid, f"http://127.0.0.1:{server.port}")
    assert [report.ready for report in DirectoryTarget(deployment).servers()] == [True, False]


def test_a_process_of_another_machine_is_asked(deployment: Path, server: Receiver) -> None:
    """The directory is shared; the number of a process says nothing here."""
    server.pages["/trimtab/status"] = b'{"pid": 4194303, "generation": 3}'
    card(deployment, "4194303", 4194303, f"http://127.0.0.1:{server.port}", host="elsewhere")
    assert [report.generation for report in DirectoryTarget(deployment).servers()] == [3]


def test_the_card_of_a_dead_server_is_ignored(deployment: Path) -> None:
    """A server was killed and could not take its card away."""
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait()
    card(deployment, "1", gone.pid, "http://127.0.0.1:9")
    assert DirectoryTarget(deployment).servers() == []


@pytest.mark.parametrize("page", [None, b"not json", b'{"generation": "new"}', b'{"ready": false}'])
def test_a_server_that_does_not_answer_in_form_is_not_ready(
    deployment: Path, server: Receiver, page: bytes | None
) -> None:
    """It hangs, is something else, or does not know its routes yet."""
    if page is None:
        url = f"http://127.0.0.1:{server.port}/elsewhere"
    else:
        server.pages["/trimtab/status"] = page
        url = f"http://127.0.0.1:{server.port}"
    card(deployment, "1", os.getpid(), url)
    (report,) = DirectoryTarget(deployment).servers()
    assert (report.ready, report.generation) == (False, None)


def test_a_refused_connection_is_not_ready(deployment: Path) -> None:
    """The process lives and does not listen any more."""
    with Receiver() as closed:
        port = closed.port
    card(deployment, "1", os.getpid(), f"http://127.0.0.1:{port}")
    assert [report.ready for report in DirectoryTarget(deployment, timeout_s=0.5).servers()] == [False]


def test_a_card_that_is_none_is_named(deployment: Path) -> None:
    """Somebody put a file there."""
    (deployment / "servers").mkdir(parents=True)
    (deployment / "servers" / "x.json").write_text("{}")
    with pytest.raises(ExternalError, match=r"x\.json is no server's card"):
        DirectoryTarget(deployment).servers()


# -- logs ------------------------------------------------------------------------------------------------------------


def test_files_that_are_being_written_are_not_read(tmp_path: Path) -> None:
    """A server flushes while the controller reads."""
    folder = tmp_path / "predictions" / "date=2026-11-22" / "hour=05"
    folder.mkdir(parents=True)
    for name in (".a-1.parquet", "_a-1.parquet", "a-1.parquet.tmp", "notes.txt"):
        (folder / name).write_bytes(b"PAR1")
    (tmp_path / "predictions" / "_old").mkdir()
    (tmp_path / "predictions" / "_old" / "a-1.parquet").write_bytes(b"PAR1")
    found = ParquetLogReader(tmp_path).read(frozenset())
    assert (found.cursor, found.predictions.num_rows) == (frozenset(), 0)


def test_the_folders_are_not_columns(tmp_path: Path) -> None:
    """date= and hour= are for people and for pruning; the rows have their own times."""
    folder = tmp_path / "predictions" / "date=2026-11-22" / "hour=05"
    folder.mkdir(parents=True)
    pq.write_table(empty_predictions(), folder / "a-1.parquet")
    table = ParquetLogReader(tmp_path).read(frozenset()).predictions
    assert not {"date", "hour"} & set(table.column_names)


def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    """A disk error; nothing is skipped in silence."""
    folder = tmp_path / "labels" / "date=2026-11-22" / "hour=05"
    folder.mkdir(parents=True)
    (folder / "a-1.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(ExternalError, match=r"a-1\.parquet cannot be read: .*; if it is damaged, move it"):
        ParquetLogReader(tmp_path).read(frozenset())
