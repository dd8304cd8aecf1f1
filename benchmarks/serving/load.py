"""The load: ``wrk`` where it is installed (apt-get install wrk), else a generator in Python.

Both keep a number of connections open, send the next request of a list as soon as the last was answered, and report
rate, latency and errors alike. The one in Python reaches some 20,000 to 30,000 requests a second; where it is the
bottleneck the rate is its own, and only processor time per request says something about the server.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
Figures = dict[str, Any]


def generator() -> str:
    """Which one will be used: ``wrk`` or ``python``."""
    return "wrk" if shutil.which("wrk") else "python"


def load(port: int, path: str, bodies: Path, media: str, connections: int, seconds: float, core: int) -> Figures:
    """Full load for so long (wrk: whole seconds), from this core.

    Args:
        bodies: one request body a line, sent in turn.

    Returns:
        requests, seconds, rate, p50_ms, p90_ms, p99_ms, longest_ms, refused (status other than 2xx or 3xx), broken.
    """
    url = f"http://127.0.0.1:{port}{path}"
    if generator() == "wrk":
        command = ["wrk", "-t1", f"-c{connections}", f"-d{math.ceil(seconds)}s", "-s", str(HERE / "rotate.lua"), url]
        command += ["--", str(bodies), media]
    else:
        command = [sys.executable, str(HERE / "client.py"), str(port), path, str(bodies), media]
        command += [str(connections), str(seconds)]
    done = subprocess.run(["taskset", "-c", str(core), *command], capture_output=True, text=True, check=False)
    line = next((line for line in done.stdout.splitlines() if line.startswith("JSON ")), None)
    if line is None:
        raise SystemExit(f"{command[0]} failed: {done.stdout}{done.stderr}")
    found: Figures = json.loads(line[5:])
    found["rate"] = found["requests"] / found["seconds"]
    return found


def write_bodies(path: Path, bodies: Sequence[bytes]) -> Path:
    """One a line."""
    if any(b"\n" in body for body in bodies):
        raise ValueError("a body must be one line")
    path.write_bytes(b"\n".join(bodies) + b"\n")
    return path


def settle(seconds: float = 0.2) -> None:
    """Let the last run's connections close."""
    time.sleep(seconds)
