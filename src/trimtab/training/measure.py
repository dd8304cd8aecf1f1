"""Latency as a caller sees it: a real server process on a deployment of one package, single-row requests over HTTP."""

from __future__ import annotations

import http.client
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
import numpy as np

from trimtab.core.domain.errors import ExternalError
from trimtab.serving.package import read_signature

if TYPE_CHECKING:
    import pyarrow as pa

WARM_UP = 20
REQUESTS = 400
ROWS = 100
MEASURE_S = 1.5
START_S = 20.0
TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Timed:
    """What the requests took."""

    samples_ms: tuple[float, ...]
    """From the first byte sent to the last byte read, one connection, one request at a time."""
    failures: int
    """Requests with another answer than 200, and those that were cut off."""
    first_failure: str = ""


class PackageServer:
    """A server of one package, for as long as the ``with`` block. Starts at once; other work can go on beside."""

    def __init__(self, package: Path, scratch: Path) -> None:
        """``package`` is copied to a deployment directory under ``scratch``.

        Raises:
            ExternalError: the process cannot be started.
        """
        self._deployment = scratch / "deployment"
        self._output = scratch / "server.log"
        shutil.copytree(package, self._deployment / "versions" / "1")
        routes = {"generation": 1, "salt": "", "split": [{"version": 1, "weight": 100}], "shadow": []}
        (self._deployment / "routes.json").write_bytes(msgspec.json.encode(routes | {"arms": {"1": "champion"}}))
        command = [sys.executable, "-m", "trimtab.serving", "--deployment", str(self._deployment)]
        command += ["--logs", str(scratch / "server-logs"), "--port", "0", "--no-environment"]
        try:
            with self._output.open("wb") as output:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=scratch
                )
        except OSError as error:
            raise ExternalError(f"the server cannot be started: {error.strerror or error}") from error

    def __enter__(self) -> PackageServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def url(self) -> str:
        """Wait until it is ready.

        Raises:
            ExternalError: it ended, or did not become ready in time; with its last words.
        """
        announced = self._deployment / "servers" / f"{self._process.pid}.json"
        deadline = perf_counter() + START_S
        while not announced.exists():
            if self._process.poll() is not None:
                raise ExternalError(f"the server ended with code {self._process.returncode}: {self._last_words()}")
            if perf_counter() > deadline:
                raise ExternalError(f"the server was not ready within {START_S:g} s: {self._last_words()}")
            sleep(0.01)
        return str(msgspec.json.decode(announced.read_bytes())["url"])

    def peak_mb(self) -> float:
        """The most memory that the server's processes have taken so far, megabytes (10^6 bytes).

        Raises:
            ExternalError: the system does not tell.
        """
        return sum(_peak_bytes(process) for process in _family(self._process.pid)) / 1e6

    def _last_words(self) -> str:
        lines = self._output.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def measure(self, rows: pa.Table) -> Timed:
        """Send evaluation rows one by one after a warm-up, 400 of them or for 1.5 seconds.

        Raises:
            ExternalError: the server cannot be reached.
        """
        names = read_signature(self._deployment / "versions" / "1").names
        bodies = request_bodies(rows, names)
        place = urlsplit(self.url())
        connection = http.client.HTTPConnection(place.hostname or "127.0.0.1", place.port, timeout=TIMEOUT_S)
        try:
            connection.connect()
            samples, failures, first = _send(connection, bodies)
        except (OSError, http.client.HTTPException) as error:
            raise ExternalError(f"the server does not answer: {error}; {self._last_words()}") from error
        finally:
            connection.close()
        return Timed(tuple(samples), failures, first)


def _family(process: int) -> list[int]:
    """The process and its descendants."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        parents.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = [process]
    for each in found:
        found += parents.get(each, [])
    return found


def _peak_bytes(process: int) -> float:
    """Largest resident size so far, by Linux's ``VmHWM``; elsewhere the present one, by ``ps``."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
        return float(status.partition("VmHWM:")[2].split()[0]) * 1024
    except (OSError, IndexError):
        command = ["ps", "-o", "rss=", "-p", str(process)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
        return float(done.stdout) * 1024
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise ExternalError(f"the system does not tell the memory of process {process}: {error}") from error


def _send(connection: http.client.HTTPConnection, bodies: Sequence[bytes]) -> tuple[list[float], int, str]:
    samples, failures, first = [], 0, ""
    end = perf_counter() + MEASURE_S
    for number in range(WARM_UP + REQUESTS):
        start = perf_counter()
        if start > end:
            break
        connection.request("POST", "/invocations", bodies[number % len(bodies)], {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        took = 1e3 * (perf_counter() - start)
        if answer.status != 200:
            failures += 1
            first = first or f"{answer.status} {content[:200].decode(errors='replace')}"
        elif number >= WARM_UP:
            samples.append(took)
    return samples, failures, first


def request_bodies(rows: pa.Table, names: Sequence[str]) -> list[bytes]:
    """Bodies of single-row requests from at most 100 evenly spread rows."""
    picked = np.unique(np.linspace(0, rows.num_rows - 1, min(rows.num_rows, ROWS)).astype(int))
    records: list[dict[str, Any]] = rows.select(list(names)).take(picked).to_pylist()
    return [msgspec.json.encode({"dataframe_records": [record]}) for record in records]
