"""The model server beside the controller: the controller dies, is started twice, or the server cannot start."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.loop.project import until
from trimtab.adapters.process.server import ServerProcess
from trimtab.adapters.process.single import only_one
from trimtab.core.domain.errors import RefusedError


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def server(folder: Path, port: int) -> ServerProcess:
    return ServerProcess(folder / "deployment", folder / "logs", port=port, output=folder / "server.log")


def cards(folder: Path) -> list[Path]:
    return list((folder / "deployment" / "servers").glob("*.json"))


def test_a_server_whose_controller_was_killed_is_taken_over(tmp_path: Path) -> None:
    """kill -9 of 'trimtab up' on its default port: the orphan holds the port and goes on answering."""
    port = free_port()
    first = server(tmp_path, port)
    first.__enter__()  # never left: its process was killed
    try:
        until(lambda: cards(tmp_path), 30, "the server")
        second = server(tmp_path, port)
        assert second.takes_over()
        with second:
            assert second.pid == first.pid
        until(lambda: not server(tmp_path, port).takes_over(), 30, "its end")
    finally:
        first.end()


def test_a_server_on_another_port_is_not_taken_for_ours(tmp_path: Path) -> None:
    """'trimtab up --port 9000' after a kill: what is greeted with must be where it answers."""
    first = server(tmp_path, free_port())
    first.__enter__()
    try:
        until(lambda: cards(tmp_path), 30, "the server")
        with server(tmp_path, free_port()) as other:
            assert other.pid != first.pid
            assert first._process is not None
            assert first._process.wait(30) == 0, "two servers of one deployment would be one too many"
    finally:
        first.end()


def test_a_server_that_dies_is_told_with_its_last_words(tmp_path: Path) -> None:
    """The kernel takes the server when memory runs out: who reads the controller's output learns it there."""
    with server(tmp_path, free_port()) as ours:
        until(lambda: cards(tmp_path), 30, "the server")
        assert ours.ensure() is None
        assert ours.pid is not None
        os.kill(ours.pid, signal.SIGKILL)
        told = until(ours.ensure, 30, "the news")
        assert told.startswith("the model server ended (signal 9), it is started again")
        assert "server.log says: " in told


def test_workers_whose_supervisor_was_killed_are_taken_over_on_their_port(tmp_path: Path) -> None:
    """kill -9 of the controller and of the supervisor: the workers still hold the port when they are started again."""
    port = free_port()
    first = server(tmp_path, port)
    first.__enter__()
    until(lambda: cards(tmp_path), 30, "the server")
    (orphan,) = (int(path.stem) for path in cards(tmp_path))
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    assert first._process is not None
    first._process.wait()
    second = server(tmp_path, port)
    assert second.takes_over(), "the port is not taken by a stranger"
    with second:
        until(lambda: [int(path.stem) for path in cards(tmp_path)] not in ([], [orphan]), 30, "a worker of its own")
        until(lambda: len(cards(tmp_path)) == 1, 30, "the orphan's end")
    assert cards(tmp_path) == []


def test_orphans_do_not_outlive_the_end_of_the_controller(tmp_path: Path) -> None:
    """The supervisor is killed a moment before Ctrl-C."""
    with server(tmp_path, free_port()) as ours:
        until(lambda: cards(tmp_path), 30, "the server")
        assert ours.pid is not None
        os.kill(ours.pid, signal.SIGKILL)
    assert cards(tmp_path) == []


def test_a_server_that_was_just_started_by_a_killed_controller_is_not_started_twice(tmp_path: Path) -> None:
    """kill -9 of 'trimtab up' before its server had said where it is; with 'port: 0' no port would have told."""
    first = server(tmp_path, 0)
    first.ensure()
    second = server(tmp_path, 0)
    second.ensure()
    assert (second.pid, cards(tmp_path)) == (None, [])
    until(lambda: cards(tmp_path), 30, "the server")
    second.ensure()
    assert second.pid == first.pid
    second.end()
    assert cards(tmp_path) == []


HOLDER = """
import sys, time
from pathlib import Path
from trimtab.adapters.process.single import only_one
with only_one(Path(sys.argv[1]), "trimtab up"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_controller_is_refused_and_a_killed_one_frees_the_place(tmp_path: Path) -> None:
    """Somebody types 'trimtab up' in a second terminal; later the first is killed."""
    path = tmp_path / "state" / "up.lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        with (
            pytest.raises(RefusedError, match=rf"'trimtab up' runs .* process {holder.pid}"),
            only_one(path, "trimtab up"),
        ):
            pass
    finally:
        holder.kill()
        holder.wait()
    with only_one(path, "trimtab up"):
        assert path.read_text() == f"{os.getpid()}\n"
