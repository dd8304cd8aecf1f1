"""A server under measurement: pinned, found again with all its processes, put to sleep while others are measured.

Every process of a server inherits a mark in its environment, so that the ones that detach themselves (supervisors,
worker pools, Ray's daemons) are counted and ended too.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
MARK = "TRIMTAB_BENCHMARK"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class NotReadyError(Exception):
    """A server that did not start, with the end of its output."""


def end_tidily() -> None:
    """Let SIGTERM end this process as an error would: servers that it started are stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


class Server:
    """Started at once; ``ready`` waits for its first right answer."""

    def __init__(
        self, command: Sequence[str], core: int, output: Path, directory: Path, more: dict[str, str] | None = None
    ) -> None:
        self.mark = uuid.uuid4().hex
        environment = {**os.environ, **ONE_THREAD, **(more or {}), MARK: self.mark}
        self.output = output
        self.started = time.perf_counter()
        with output.open("ab") as log:
            self.process = subprocess.Popen(
                ["taskset", "-c", str(core), *command],
                stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=directory, env=environment,
                start_new_session=True,
            )  # fmt: skip

    def ready(self, port: int, path: str, body: bytes, media: str, wait_s: float = 120.0) -> tuple[float, bytes]:
        """Seconds from the start to the first 200, and that answer.

        Raises:
            NotReadyError: it ended, or gave none in time.
        """
        until = time.monotonic() + wait_s
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise NotReadyError(f"the server ended with {self.process.returncode}:\n{self.said()}")
            try:
                status, answer = post(port, path, body, media)
            except (OSError, http.client.HTTPException):
                time.sleep(0.005)
                continue
            if status == 200:
                return time.perf_counter() - self.started, answer
            time.sleep(0.02)
        raise NotReadyError(f"the server gave no answer within {wait_s:g} s:\n{self.said()}")

    def said(self) -> str:
        """The end of its output."""
        return self.output.read_text(errors="replace")[-3000:]

    def pids(self) -> list[int]:
        """Of all living processes that carry the mark."""
        wanted = f"{MARK}={self.mark}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if wanted in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
        return found

    def signal(self, number: signal.Signals) -> None:
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def sleep(self) -> None:
        """No processor time while others are measured."""
        self.signal(signal.SIGSTOP)

    def wake(self) -> None:
        self.signal(signal.SIGCONT)

    def stop(self, wait_s: float = 8.0) -> None:
        """Ask, wait, then end what is left."""
        self.wake()
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        until = time.monotonic() + wait_s
        while time.monotonic() < until and (self.process.poll() is None or self.pids()):
            if time.monotonic() > until - wait_s / 2:
                self.signal(signal.SIGTERM)
            time.sleep(0.05)
        self.signal(signal.SIGKILL)
        self.process.wait(10)


def cpu_s(pids: Sequence[int]) -> float:
    """Processor time (user and system) that these processes have taken so far."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def memory_mb(pids: Sequence[int]) -> tuple[float, float]:
    """(resident memory of the largest process, of all with what they share counted once)."""
    largest = together = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
            largest, together = max(largest, sizes["Rss"]), together + sizes["Pss"]
    return largest / 1024, together / 1024


def post(port: int, path: str, body: bytes, media: str) -> tuple[int, bytes]:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", path, body, {"Content-Type": media})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
