"""How long does ``trimtab rollback`` take, from the command's start to the last answer of the bad version?

    python benchmarks/rollout/rollback.py --rounds 15

A small real project (tests/loop/project.py) with four versions, server and controller running, under traffic. Each
round
promotes a version, then rolls back, and notes: when the last answer of the bad version came in, and when the command
ended. Start-up of the command counts. Prints one JSON object; exit code 1 where the median is 2 s or more, or a request
failed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import http.client

from tests.loop.project import Project, make_project, rows, until

VERSIONS = 4


class Asking:
    """One client that asks all the time and notes which version answered when."""

    def __init__(self, url: str) -> None:
        self.answers: list[tuple[float, str]] = []
        self.failures: list[str] = []
        self._host = url.removeprefix("http://")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        made, place = rows(500, seed=9), 0
        connection = http.client.HTTPConnection(self._host, timeout=10)
        while not self._stop.wait(0.01):
            place = (place + 1) % 500
            names = ("distance", "wind", "carrier")
            inputs = [
                {
                    "name": name,
                    "shape": [1],
                    "datatype": "BYTES" if name == "carrier" else "FP64",
                    "data": [str(made[name][place]) if name == "carrier" else float(made[name][place])],
                }
                for name in names
            ]
            connection.request("POST", "/v2/models/parcels/infer", json.dumps({"inputs": inputs}))
            answer = connection.getresponse()
            body = json.loads(answer.read())
            if answer.status == http.client.OK:
                self.answers.append((time.monotonic(), str(body["model_version"])))
            else:
                self.failures.append(str(body))

    def last_of(self, version: str, since: float) -> float:
        """When the version answered last; ``since`` where it did not after that."""
        return max([at for at, who in list(self.answers) if who == version and at >= since], default=since)

    def answered_by(self, version: str) -> bool:
        """Whether the newest answer came from it."""
        return bool(self.answers) and self.answers[-1][1] == version


def main() -> int:
    """Measure; prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--project", type=Path, help="Reuse or make the project here.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trimtab-rollback-") as folder:
        result = measure(options.project or Path(folder) / "parcels", options.rounds)
    print(json.dumps(result, indent=2))
    return 0 if result["to_last_bad_answer_s"]["median"] < 2 and not result["failed_requests"] else 1


def measure(root: Path, rounds: int) -> dict[str, object]:
    """Promote, roll back, and again."""
    project = Project(root) if (root / "trimtab.yaml").exists() else prepared(root)
    controller = project.up()
    times: list[tuple[float, float, float]] = []
    try:
        with Asking(project.server_url()) as asking:
            times.extend(one_round(project, asking) for _ in range(rounds))
    finally:
        controller.terminate()
        controller.wait(30)
    moved, ended, used = (list(column) for column in zip(*times, strict=True))
    return {
        "rounds": rounds,
        "to_last_bad_answer_s": summary(moved),
        "to_end_of_command_s": summary(ended),
        "cpu_of_command_s": summary(used),
        "load_average": os.getloadavg()[0],
        "cores": os.cpu_count(),
        "answers": len(asking.answers),
        "failed_requests": len(asking.failures),
    }


def prepared(root: Path) -> Project:
    """A project whose versions were all champion once."""
    project = make_project(root, bake="1h", watch="0s")
    project.trimtab("train")
    for version in range(2, VERSIONS + 1):
        project.trimtab("train", "--no-deploy")
        project.trimtab("deploy", str(version))
        project.trimtab("promote")
    return project


def one_round(project: Project, asking: Asking) -> tuple[float, float, float]:
    """Seconds from the command's start to the last answer of the bad version, to its end, and of CPU."""
    champion = project.json("status")["champion"]
    bad = VERSIONS if champion != VERSIONS else VERSIONS - 1
    project.trimtab("deploy", str(bad))
    project.trimtab("promote")
    until(lambda: asking.answered_by(str(bad)), 20, "the new version")
    begun, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run(
        [sys.executable, "-m", "trimtab.cli.main", "rollback"], cwd=project.root, capture_output=True, text=True
    )
    ended, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - used
    if done.returncode:
        raise SystemExit(f"rollback failed: {done.stdout}{done.stderr}")
    time.sleep(0.5)
    return asking.last_of(str(bad), begun) - begun, ended - begun, used


def summary(seconds: list[float]) -> dict[str, float]:
    """Median and largest."""
    return {"median": round(statistics.median(seconds), 3), "max": round(max(seconds), 3)}


if __name__ == "__main__":
    sys.exit(main())
