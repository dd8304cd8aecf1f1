"""The model server as a child process: started, waited for, started again when it dies, and asked to end."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from trimtab.core.domain.errors import ExternalError

_END_S = 30.0


@dataclass(slots=True)
class ServerProcess:
    """``python -m trimtab.serving`` over a deployment directory. A context manager: leaving it drains and ends the
    server.
    """

    deployment: Path
    logs: Path
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    flush_s: float = 0.5
    durability: str = "batch"
    output: Path | None = None
    """Where its output goes; None: where ours goes."""
    restarts: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def __enter__(self) -> ServerProcess:
        self.ensure()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def ensure(self) -> None:
        """Start it unless it runs.

        Raises:
            ExternalError: the command cannot be started.
        """
        if self._process is not None:
            if self._process.poll() is None:
                return
            self.restarts += 1
        self.deployment.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        try:
            if self.output is None:
                self._process = subprocess.Popen(self._command())
            else:
                with self.output.open("ab") as output:
                    self._process = subprocess.Popen(self._command(), stdout=output, stderr=subprocess.STDOUT)
        except OSError as error:
            raise ExternalError(f"the model server cannot be started: {error}") from error

    def end(self) -> None:
        """Ask it to drain and wait; kill it only if it does not."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _command(self) -> list[str]:
        return [
            sys.executable,
            "-m",
            "trimtab.serving",
            *("--deployment", str(self.deployment)),
            *("--logs", str(self.logs)),
            *("--host", self.host),
            *("--port", str(self.port)),
            *("--workers", str(self.workers)),
            *("--flush", str(self.flush_s)),
            *("--durability", self.durability),
        ]
