"""Several workers on one port."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from tests.serving.servers import INFER, Server, eventually, row, start, write_routes


def workers_of(server: Server) -> dict[int, dict[str, Any]]:
    files = (server.deployment / "servers").glob("*.json")
    return {int(path.stem): json.loads(path.read_text()) for path in files}


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


def test_workers_end_when_their_supervisor_is_killed(packages: Path, tmp_path: Path) -> None:
    """kill -9 of the supervisor: no orphan may keep the port and answer with old routes for ever."""
    with start(tmp_path, {1: packages / "plain-1"}, None, "--workers", "2") as server:
        eventually(lambda: len(workers_of(server)) == 2)
        server.process.kill()
        server.process.wait()
        eventually(lambda: not workers_of(server))
