"""The real command, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


def trimtab(*words: str, cwd: Path, timeout_s: float = 120) -> Done:
    """What ``trimtab WORDS`` does in a directory."""
    done = subprocess.run(
        [sys.executable, "-m", "trimtab.cli.main", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


MINIMAL = "name: flights\ntask: classification\ndata:\n  files: data.parquet\n  time: departed_at\n  target: late\n"
