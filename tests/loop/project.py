"""A small real project: data with a known law, its trimtab.yaml, and the commands a person would type."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

START = 1_700_000_000.0
HOUR_S = 3600.0

SETTINGS = """\
name: parcels
task: classification
data:
  files: parcels.parquet
  time: sent_at
  target: late
  entity: customer
{extra_data}
estimator:
  parameters: {{max_iter: 30}}
gates: {{performance: {{tolerance: 0.05}}}}
rollout:
  strategy: canary
  steps: [20, 50, 100]
  bake: {bake}
  requests_min: 20
  labels_min: 100
  margin: 0.05
  watch: {watch}
monitoring: {{every: 0.2s, block: 1d}}
response: {{mode: automatic}}
serving: {{port: 0, flush: 0.2s}}
"""


def rows(count: int, seed: int = 0, start: float = START) -> dict[str, Any]:
    """Parcels that are late when it is far and windy: a law that trees learn from a few thousand rows."""
    rng = np.random.default_rng(seed)
    distance = rng.gamma(2.0, 200.0, count)
    wind = rng.normal(10, 4, count)
    carrier = rng.choice(["ant", "bee", "cat"], count)
    logit = 0.006 * (distance - 400) + 0.25 * (wind - 10) + np.where(carrier == "cat", 1.5, -0.5)
    late = rng.random(count) < 1 / (1 + np.exp(-logit))
    at = start + np.sort(rng.random(count)) * 30 * 24 * HOUR_S
    return {
        "sent_at": at,
        "distance": distance,
        "wind": wind,
        "carrier": carrier,
        "customer": np.array([f"c{n}" for n in rng.integers(0, 400, count)]),
        "late": late,
    }


def write_data(path: Path, count: int = 4000, seed: int = 0) -> None:
    """The labelled history as Parquet."""
    made = rows(count, seed)
    times = pa.array((made.pop("sent_at") * 1e6).astype("int64")).cast(pa.timestamp("us"))
    pq.write_table(pa.table({"sent_at": times, **{name: pa.array(column) for name, column in made.items()}}), path)


@dataclass
class Project:
    """A project folder and the command line in it."""

    root: Path

    def trimtab(self, *arguments: str, expect: int = 0, timeout: float = 180) -> str:
        """Run the real command; its output. Fails where the exit code is another."""
        done = subprocess.run(
            [sys.executable, "-m", "trimtab.cli.main", *arguments],
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=os.environ | {"NO_COLOR": "1", "COLUMNS": "200"},
        )
        assert done.returncode == expect, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout if expect == 0 else done.stdout + done.stderr

    def json(self, *arguments: str, expect: int = 0) -> Any:
        """The command's ``--json``."""
        return json.loads(self.trimtab(*arguments, "--json", expect=expect))

    def up(self) -> subprocess.Popen[bytes]:
        """Server and controller, in the background; output in ``up.log``."""
        with (self.root / "up.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "trimtab.cli.main", "up"], cwd=self.root, stdout=log, stderr=subprocess.STDOUT
            )

    def server_url(self, timeout: float = 30) -> str:
        """Where the model server answers, once it does."""

        def ready() -> str | None:
            for file in (self.root / ".trimtab/deployment/servers").glob("*.json"):
                try:
                    url = str(json.loads(file.read_text())["public"])
                    with urllib.request.urlopen(f"{url}/v2/health/ready", timeout=2):
                        return url
                except (urllib.error.URLError, OSError, ValueError):
                    continue
            return None

        return until(ready, timeout, "a server that is ready")


def until(ask: Callable[[], Any], timeout: float, what: str) -> Any:
    """The first answer that is true."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"waited {timeout} s for {what}")


def make_project(root: Path, bake: str = "2s", watch: str = "0s", extra_data: str = "", count: int = 4000) -> Project:
    """Data and project file; nothing trained yet."""
    root.mkdir(parents=True, exist_ok=True)
    write_data(root / "parcels.parquet", count)
    (root / "trimtab.yaml").write_text(SETTINGS.format(bake=bake, watch=watch, extra_data=extra_data))
    return Project(root)


def post(url: str, path: str, body: Any, timeout: float = 10) -> Any:
    """POST JSON; the answer's JSON."""
    request = urllib.request.Request(
        url + path, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        return json.loads(answer.read())
