"""A full disk, a folder that cannot be written, a slow disk: answers go on, the loss is counted and told."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.serving.servers import INFER, Server, eventually, row, start

SLOW_DISK = """
import os, sys, time
from trimtab.serving.record import health as log_health
from trimtab.serving.__main__ import main
real, log_health.SLOW_S = os.fsync, 0.5
def slow(descriptor):
    time.sleep(1.0)
    real(descriptor)
os.fsync = slow
sys.exit(main())
"""


SMALL_QUEUE = """
import dataclasses, sys
from trimtab.serving import __main__ as program
from trimtab.serving.process.supervisor import run_server
from trimtab.serving.settings import Limits
settings = program.arguments()
run_server(dataclasses.replace(settings, limits=Limits(log_rows=100)))
"""


def ask(server: Server, count: int) -> list[str]:
    """Prediction ids of so many answers."""
    answers = [server.post(INFER, row()) for _ in range(count)]
    assert {status for status, _ in answers} == {200}
    return [answer["parameters"]["prediction_ids"][0] for _, answer in answers]


def metric(server: Server, name: str) -> float:
    text = server.request("GET", "/metrics")[2].decode()
    return float(next(line.split()[1] for line in text.splitlines() if line.startswith(name + " ")))


def may_mount(directory: Path) -> bool:
    """Whether this process may mount a small file system (root of a real machine or of CI)."""
    directory.mkdir()
    tried = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(directory)], capture_output=True)
    return tried.returncode == 0


@contextlib.contextmanager
def full_disk(server: Server, ballast: Path) -> Iterator[tuple[int, Callable[[], None]]]:
    """The disk under the logs has no room left; where no file system may be mounted, the kernel refuses the server's
    writes by its limit on file sizes. Yields the error number and what makes room again."""
    if os.path.ismount(server.logs):
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        yield errno.ENOSPC, ballast.unlink
    else:
        before = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        yield errno.EFBIG, lambda: resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, before) and None


def test_a_full_disk_stops_nothing_and_loses_nothing_that_fits_in_memory(packages: Path, tmp_path: Path) -> None:
    """Somebody's dump fills the volume of the logs; an hour later there is room again."""
    mounted = may_mount(tmp_path / "logs")
    try:
        with start(tmp_path, {1: packages / "plain-1"}, None, "--flush", "0.05") as server:
            before = ask(server, 5)
            eventually(lambda: server.status()["log"]["written"] == 5)
            with full_disk(server, tmp_path / "logs" / "ballast") as (number, make_room):
                during = ask(server, 50)
                eventually(lambda: server.status()["log"]["alarm"] is not None)
                log = server.status()["log"]
                assert os.strerror(number) in log["error"]
                assert os.strerror(number) in log["alarm"]
                assert log["waiting"] == 50
                assert metric(server, "trimtab_log_alarm") == 1
                assert metric(server, "trimtab_log_write_errors_total") > 1
                assert metric(server, "trimtab_log_rows_lost_total") == 0
                assert not list(server.logs.rglob("*.tmp"))
                make_room()
            eventually(lambda: server.status()["log"]["waiting"] == 0)
            assert server.status()["log"]["error"] is None
            assert sorted(server.predictions().column("prediction_id").to_pylist()) == sorted(before + during)
    finally:
        if mounted:
            subprocess.run(["umount", str(tmp_path / "logs")], check=True)


def test_a_folder_that_cannot_be_written(packages: Path, tmp_path: Path) -> None:
    """The volume of the logs comes up read-only after a crash of the storage."""
    mounted = may_mount(tmp_path / "logs")
    logs = tmp_path / "logs"

    def writable(yes: bool) -> None:
        if mounted:
            mode = "rw" if yes else "ro"
            subprocess.run(["mount", "-o", f"remount,{mode},size=4m", str(logs)], check=True)
        else:
            logs.chmod(0o755 if yes else 0o555)

    try:
        writable(False)
        with start(tmp_path, {1: packages / "plain-1"}, None, "--flush", "0.05") as server:
            ids = ask(server, 5)
            eventually(lambda: server.status()["log"]["alarm"] is not None)
            assert ("Read-only" if mounted else "Permission denied") in server.status()["log"]["alarm"]
            status, answer = server.post("/labels", {"prediction_id": ids[0], "label": True})
            assert (status, answer["accepted"]) == (200, 1)
            writable(True)
            eventually(lambda: server.status()["log"]["waiting"] == 0)
            assert sorted(server.predictions().column("prediction_id").to_pylist()) == sorted(ids)
            assert server.labels().column("prediction_id").to_pylist() == [ids[0]]
    finally:
        if mounted:
            subprocess.run(["umount", str(logs)], check=True)


def test_a_slow_disk_delays_no_answer(packages: Path, tmp_path: Path) -> None:
    """A network volume takes a second for each write: answers do not wait for it, and people are told."""
    with start(tmp_path, {1: packages / "plain-1"}, None, "--flush", "0.05", program=["-c", SLOW_DISK]) as server:
        first = ask(server, 1)
        eventually(lambda: server.status()["log"]["waiting"] == 1)
        ids = first + ask(server, 200)
        assert server.status()["log"]["written"] == 0, "200 answers took less time than a single write"
        eventually(lambda: "the disk is slow" in (server.status()["log"]["alarm"] or ""))
        assert server.stop() == 0
        assert sorted(server.predictions().column("prediction_id").to_pylist()) == sorted(ids)


def test_a_bounded_queue_drops_counts_and_tells(packages: Path, tmp_path: Path) -> None:
    """The disk stays full until memory's share is used up: what is lost is counted to the row."""
    with start(tmp_path, {1: packages / "plain-1"}, None, "--flush", "0.05", program=["-c", SMALL_QUEUE]) as server:
        server.logs.write_text("a file where the directory should be")
        ids = ask(server, 300)
        eventually(lambda: server.status()["log"]["dropped"] == 200)
        assert metric(server, "trimtab_log_rows_lost_total") == 200
        assert "200 rows lost, 100 wait" in server.status()["log"]["alarm"]
        server.logs.unlink()
        eventually(lambda: server.status()["log"]["waiting"] == 0)
        assert sorted(server.predictions().column("prediction_id").to_pylist()) == sorted(ids[:100])
