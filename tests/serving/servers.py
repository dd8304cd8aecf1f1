"""The real server in a process of its own, and the ways to talk to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from trimtab.logs import empty_labels, empty_predictions


@dataclass
class Server:
    """A running server and its directories."""

    process: subprocess.Popen[str]
    host: str
    port: int
    deployment: Path
    logs: Path

    def request(
        self, method: str, path: str, body: bytes | str | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        finally:
            connection.close()

    def get(self, path: str) -> tuple[int, Any]:
        status, _, body = self.request("GET", path)
        return status, json.loads(body)

    def post(self, path: str, value: Any) -> tuple[int, Any]:
        body = value if isinstance(value, bytes | str) else json.dumps(value)
        status, _, answer = self.request("POST", path, body, {"Content-Type": "application/json"})
        return status, json.loads(answer)

    def raw(self, data: bytes, wait_s: float = 10.0) -> bytes:
        """Everything that comes back until the server closes."""
        with socket.create_connection((self.host, self.port), timeout=wait_s) as sock:
            sock.sendall(data)
            return b"".join(iter(lambda: sock.recv(65536), b""))

    def status(self) -> Any:
        return self.get("/trimtab/status")[1]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def predictions(self) -> pa.Table:
        return read_log(self.logs / "predictions", empty_predictions())

    def labels(self) -> pa.Table:
        return read_log(self.logs / "labels", empty_labels())


def read_log(directory: Path, empty: pa.Table | None = None) -> pa.Table:
    """All rows of a log directory; ``empty`` where nothing was written yet."""
    files = [path for path in sorted(directory.rglob("*.parquet")) if not path.name.startswith((".", "_"))]
    tables = [pq.ParquetFile(path).read() for path in files]
    return (
        pa.concat_tables(tables, promote_options="permissive") if tables else (pa.table({}) if empty is None else empty)
    )


def write_routes(deployment: Path, generation: int, split: dict[int, int], **more: Any) -> None:
    """As the control plane does: aside, then renamed."""
    shares = [{"version": version, "weight": weight} for version, weight in split.items()]
    routes = {"generation": generation, "salt": "s", "split": shares, **more}
    aside = deployment / ".routes.json.tmp"
    aside.write_bytes(msgspec.json.encode(routes))
    aside.rename(deployment / "routes.json")


@contextlib.contextmanager
def start(
    directory: Path,
    versions: dict[int, Path],
    split: dict[int, int] | None = None,
    *more: str,
    program: Sequence[str] = ("-m", "trimtab.serving"),
    environment: dict[str, str] | None = None,
    **routes: Any,
) -> Iterator[Server]:
    """Serve these packages; the first gets all traffic unless ``split`` says otherwise."""
    deployment, logs = directory / "deployment", directory / "logs"
    (deployment / "versions").mkdir(parents=True, exist_ok=True)
    for version, package in versions.items():
        shutil.copytree(package, deployment / "versions" / str(version))
    if versions:
        write_routes(deployment, 1, split or {next(iter(versions)): 100}, **routes)
    command = [sys.executable, *program, "--deployment", str(deployment), "--logs", str(logs)]
    process = subprocess.Popen(
        [*command, "--port", "0", *more],
        stdout=subprocess.PIPE,
        stderr=(directory / "stderr.txt").open("w"),
        text=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("COV")} | (environment or {}),
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"https?://([\d.]+):(\d+)", line)
        assert found, f"no ready line: {line!r}\n{(directory / 'stderr.txt').read_text()}"
        yield Server(process, found[1], int(found[2]), deployment, logs)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        assert process.stdout is not None
        process.stdout.close()


def eventually(check: Callable[[], bool], wait_s: float = 20.0) -> None:
    """Wait until the check holds; fail when it does not come to hold."""
    until = time.monotonic() + wait_s
    while not check():
        assert time.monotonic() < until, "did not come to hold"
        time.sleep(0.02)


def row(*values: float | None, **more: Any) -> dict[str, Any]:
    """An infer request of one row of the plain model."""
    data = list(values or (0.1, 0.2, 0.3, 0.4))
    return {"inputs": [{"name": "x", "shape": [1, len(data)], "datatype": "FP64", "data": data}], **more}


INFER = "/v2/models/plain/infer"
