"""Several workers on one port."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.serving.servers import INFER, Server, eventually, row, start, write_routes


def workers_of(server: Server) -> dict[int, dict[str, Any]]:
    """The cards of those that live; one may end, and take its card away, while they are read."""
    found = {}
    for path in (server.deployment / "servers").glob("*.json"):
        with contextlib.suppress(FileNotFoundError):
            if alive(int(path.stem)):
                found[int(path.stem)] = json.loads(path.read_text())
    return found


def test_workers_share_a_port_and_are_replaced(packages: Path, tmp_path: Path) -> None:
    """The kernel's memory guard kills a worker: the others serve, another takes its place, all swap and drain."""
    with start(tmp_path, {1: packages / "plain-1", 2: packages / "plain-2"}, {1: 100}, "--workers", "2") as server:
        eventually(lambda: len(workers_of(server)) == 2)
        first = workers_of(server)
        assert len({one["url"] for one in first.values()}) == 2
        assert {one["public"] for one in first.values()} == {f"http://{server.host}:{server.port}"}
        assert all(server.post(INFER, row())[0] == 200 for _ in range(20))
        victim = next(iter(first))
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: len(set(workers_of(server)) - {victim}) == 2)
        write_routes(server.deployment, 2, {2: 100})
        eventually(lambda: {server.post(INFER, row())[1]["model_version"] for _ in range(8)} == {"2"})
        ids = [server.post(INFER, row())[1]["parameters"]["prediction_ids"][0] for _ in range(40)]
        assert server.stop() == 0
        logged = server.predictions().column("prediction_id").to_pylist()
        assert set(ids) <= set(logged)
        assert len(logged) == len(set(logged))


def test_workers_outlive_their_supervisor_and_the_next_one_relieves_them(packages: Path, tmp_path: Path) -> None:
    """kill -9 of the supervisor: the workers answer on; a new one takes port and sockets over, and no orphan stays."""
    with start(tmp_path, {1: packages / "plain-1"}, None, "--workers", "2") as server:
        eventually(lambda: len(workers_of(server)) == 2)
        orphans = set(workers_of(server))
        with Clients(server) as clients:
            server.process.kill()
            server.process.wait()
            eventually(lambda: clients.answered > 200)
            with again(server, tmp_path) as successor:
                eventually(lambda: not orphans & set(workers_of(server)))
                assert len(workers_of(server)) == 2
                assert {card["supervisor"] for card in workers_of(server).values()} == {successor.pid}
                clients.goes_on(100)
                eventually(lambda: not any(alive(pid) for pid in orphans))
                clients.stop()
        assert clients.failures == []
        assert sorted(path.suffix for path in (server.deployment / "servers").iterdir()) == []


def test_a_successor_with_more_and_with_fewer_workers(packages: Path, tmp_path: Path) -> None:
    """The number was changed before the restart: sockets without a worker of their own are looked after as well."""
    with start(tmp_path, {1: packages / "plain-1"}, None, "--workers", "2") as server, Clients(server) as clients:
        for count in (3, 1):
            os.kill(supervisor_of(server), signal.SIGKILL)
            with again(server, tmp_path, "--workers", str(count), "--supervised", stays=True) as successor:
                wanted = [successor.pid] * count
                eventually(lambda wanted=wanted: [c["supervisor"] for c in workers_of(server).values()] == wanted)
                clients.goes_on(100)
        assert clients.failures == []
        os.kill(supervisor_of(server), signal.SIGTERM)
        eventually(lambda: not workers_of(server))


def test_two_successors_at_once(packages: Path, tmp_path: Path) -> None:
    """A person and the service manager restart the server at the same moment: one of the two stays."""
    with start(tmp_path, {1: packages / "plain-1"}, None, "--workers", "2") as server, Clients(server) as clients:
        server.process.kill()
        server.process.wait()
        alone = ("--workers", "1", "--supervised")
        with again(server, tmp_path, *alone, stays=True) as one, again(server, tmp_path, *alone, stays=True) as other:
            eventually(lambda: not (alive(one.pid) and alive(other.pid)))
            eventually(lambda: len(workers_of(server)) == 1 and supervisor_of(server) in (one.pid, other.pid))
        clients.goes_on(100)
        clients.stop()
        assert clients.failures == []
        os.kill(supervisor_of(server), signal.SIGTERM)
        eventually(lambda: not workers_of(server))


def test_a_second_server_where_one_lives_is_refused(packages: Path, tmp_path: Path) -> None:
    """Somebody starts the server twice, or another deployment's on the same port."""
    with start(tmp_path, {1: packages / "plain-1"}, None, "--workers", "2") as server:
        for deployment in (server.deployment, tmp_path / "other"):
            done = subprocess.run(
                [*command(deployment, tmp_path / "l", server.port), "--workers", "2"],
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            assert done.returncode == 1
            assert done.stderr.strip().endswith("Address already in use")
        assert server.post(INFER, row())[0] == 200


def test_kill_nine_of_workers_under_load_fails_no_request(packages: Path, tmp_path: Path) -> None:
    """The kernel's memory guard takes one worker after the other: who repeats a broken request once is answered."""
    with start(tmp_path, {1: packages / "plain-1"}, None, "--workers", "2", "--flush", "0.2") as server:
        with Clients(server) as clients:
            for _ in range(5):
                clients.goes_on(100)
                eventually(lambda: len(workers_of(server)) == 2)
                victim = max(workers_of(server))
                os.kill(victim, signal.SIGKILL)
                eventually(lambda victim=victim: not alive(victim))
        assert clients.failures == []
        assert server.stop() == 0
        logged = server.predictions().column("prediction_id").to_pylist()
        assert len(logged) == len(set(logged))
        assert len(set(clients.ids) - set(logged)) < len(clients.ids) / 2, "only what a killed worker had not flushed"


def test_a_lone_supervised_worker_is_replaced_without_a_refused_connection(packages: Path, tmp_path: Path) -> None:
    """A small machine has memory for one worker: requests wait for its replacement instead of failing."""
    with start(tmp_path, {1: packages / "plain-1"}, None, "--supervised") as server, Clients(server) as clients:
        eventually(lambda: clients.answered > 50)
        (victim,) = workers_of(server)
        os.kill(victim, signal.SIGKILL)
        clients.goes_on(50)
        assert clients.failures == []


def test_kill_nine_loses_no_record_with_sync(packages: Path, tmp_path: Path) -> None:
    """durability: sync is chosen because no prediction may go unrecorded: what was answered is on disk."""
    more = ("--workers", "2", "--flush", "5", "--durability", "sync")
    with start(tmp_path, {1: packages / "plain-1"}, None, *more) as server:
        with Clients(server) as clients:
            for _ in range(3):
                clients.goes_on(60)
                eventually(lambda: len(workers_of(server)) == 2)
                os.kill(min(workers_of(server)), signal.SIGKILL)
        assert clients.failures == []
        for pid in workers_of(server):
            os.kill(pid, signal.SIGKILL)
        logged = server.predictions().column("prediction_id").to_pylist()
        assert set(clients.ids) <= set(logged)
        assert len(logged) == len(set(logged))


def test_kill_nine_loses_at_most_the_stated_second(packages: Path, tmp_path: Path) -> None:
    """By default records are written every half second: what was answered a second before the kill is there."""
    with start(tmp_path, {1: packages / "plain-1"}, None, "--workers", "2") as server:
        with Clients(server) as clients:
            eventually(lambda: clients.answered > 300 and clients.times[-1] - clients.times[0] > 2)
        killed = time.time()
        for pid in (server.process.pid, *workers_of(server)):
            os.kill(pid, signal.SIGKILL)
        logged = set(server.predictions().column("prediction_id").to_pylist())
        lost = [at for identity, at in zip(clients.ids, clients.times, strict=True) if identity not in logged]
        assert all(killed - at <= 1.0 for at in lost), f"answered {killed - min(lost):.2f} s before the kill"


class Clients:
    """Keep-alive clients in threads; a request whose connection is closed is repeated once, on a new one."""

    def __init__(self, server: Server, count: int = 3) -> None:
        self.failures: list[str] = []
        self.ids: list[str] = []
        self.times: list[float] = []
        """When each answer came."""
        self.retries = 0
        self._server = server
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]

    @property
    def answered(self) -> int:
        return len(self.ids)

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def goes_on(self, count: int) -> None:
        """Wait for so many more answers."""
        more = self.answered + count
        eventually(lambda: self.answered >= more)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self) -> None:
        connection = self._connection()
        while not self._stop.wait(0.002):
            try:
                try:
                    status, body = self._ask(connection)
                except (OSError, http.client.HTTPException):
                    self.retries += 1
                    connection.close()
                    status, body = self._ask(connection)
                if status != 200:
                    self.failures.append(f"{status}: {body}")
                    continue
                with self._lock:
                    self.ids.append(body["parameters"]["prediction_ids"][0])
                    self.times.append(time.time())
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
        connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._server.host, self._server.port, timeout=20)

    def _ask(self, connection: http.client.HTTPConnection) -> tuple[int, Any]:
        connection.request("POST", INFER, json.dumps(row()), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def command(deployment: Path, logs: Path, port: int) -> list[str]:
    where = ["--deployment", str(deployment), "--logs", str(logs), "--port", str(port)]
    return [sys.executable, "-m", "trimtab.serving", *where]


@contextlib.contextmanager
def again(server: Server, directory: Path, *more: str, stays: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """A new server of the same deployment on the same port."""
    words = [*command(server.deployment, server.logs, server.port), *(more or ("--workers", "2"))]
    with (directory / "again.txt").open("a") as output:
        process = subprocess.Popen(words, stdout=output, stderr=output)
    try:
        yield process
    finally:
        if not stays:
            process.terminate()
            assert process.wait(30) == 0
        else:
            threading.Thread(target=process.wait, daemon=True).start()


def supervisor_of(server: Server) -> int:
    return int(next(iter(workers_of(server).values()))["supervisor"])


def alive(pid: int) -> bool:
    """Whether the process runs; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
