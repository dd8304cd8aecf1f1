"""kill -9 of any process at random moments of real rollouts, under traffic: does each end as it would have without?

    python benchmarks/rollout/kills.py --kills 200 --seed 1 --json kills.json

Two small real projects (tests/loop/project.py), one by canary, one by shadow and then canary. Each goes through
trainings by the calendar, each of which becomes a rollout, and through rollouts that a person asks for: of a good
version (must be promoted) and of a bad one (must be aborted). Meanwhile, after random whiles, one of its processes is
killed: the controller (`trimtab up`), the server's supervisor, one of the two workers, the training job, or the command
that a person typed. Only what nobody else restarts is restarted here: `trimtab up`, as a service manager would, and the
person's command. The last living process of the server is spared: with it the port itself would be gone.

Held against it: the outcome of every rollout and training; one champion at every look; no request failed but those that
were in flight in a killed worker, which the client repeats once, as proxies and HTTP libraries do; every answer is that
of the version that it names; no prediction is logged twice, and none is missing that was answered more than a second
before a kill of a worker; the journal verifies; nothing runs afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.rollout.clients import Clients
from benchmarks.rollout.judge import judge
from tests.loop.project import Project, make_project, until

from trimtab.controller import commands
from trimtab.wiring import Workspace, open_workspace

GOOD, BAD = 1, 2
WEIGHTS = {"controller": 20, "supervisor": 25, "worker": 35, "training": 10, "command": 10}
LONGEST_PAUSE_S = 3.0
PATIENCE_S = 10.0
SCHEDULE = "{on: [schedule], every: 45s, cooldown: 45s, budget: 1000, breaker: 100}"


def main() -> int:
    """Run the campaign; prints one JSON object. Exit code 1 where a rule was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--strategies", nargs="+", default=["canary", "shadow-then-canary"])
    parser.add_argument("--minutes", type=float, default=1e6, help="kill no longer than this, each strategy")
    parser.add_argument("--keep", type=Path, help="leave the projects there")
    parser.add_argument("--json", type=Path, help="write the result there too")
    options = parser.parse_args()
    results = []
    with contextlib.ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trimtab-kills-")))
        for number, strategy in enumerate(options.strategies):
            chance = random.Random(options.seed + number)
            share = options.kills // len(options.strategies) + (number < options.kills % len(options.strategies))
            project = prepared(folder / strategy, strategy)
            results.append({"strategy": strategy, **Campaign(project, chance).run(share, options.minutes)})
    whole = {"seed": options.seed, "kills": sum(result["kills"] for result in results), "campaigns": results}
    text = json.dumps(whole, indent=2)
    print(text)
    if options.json is not None:
        options.json.write_text(text + "\n")
    return 1 if any(result["wrong"] for result in results) else 0


def prepared(root: Path, strategy: str) -> Project:
    """Version 1 is good and serves; version 2 has learned nothing, and a person let it pass its gates."""
    project = make_project(root, bake="1s", watch="0s", extra_data="  collect: false")
    path = root / "trimtab.yaml"
    written = path.read_text().replace("strategy: canary", f"strategy: {strategy}")
    written = written.replace("  margin: 0.05", "  margin: 0.05\n  guardrails: {p95_ms: 2000}")
    path.write_text(written + "console: {port: 0}\n")
    project.trimtab("train")
    path.write_text(path.read_text().replace("{max_iter: 30}", "{max_iter: 1, learning_rate: 0.01}"))
    project.trimtab("train", "--no-deploy", expect=3)
    project.trimtab("override", str(BAD), "--reason", "to see it fail")
    path.write_text(path.read_text().replace("{max_iter: 1, learning_rate: 0.01}", "{max_iter: 30}"))
    path.write_text(path.read_text() + f"retraining: {SCHEDULE}\n")
    return project


class Campaign:
    """One project, its processes, and who kills them."""

    def __init__(self, project: Project, chance: random.Random) -> None:
        self.project = project
        self.desk: Workspace = open_workspace(project.root)
        self.chance = chance
        self.kills: list[tuple[float, str]] = []
        self.wrong: list[str] = []
        self.looks = 0
        self._controller: subprocess.Popen[bytes] | None = None
        self._command: tuple[int, subprocess.Popen[bytes]] | None = None
        self._asked = 0
        self._jobs_killed: set[str] = set()
        self._job_delay: dict[str, float] = {}
        self._stop = threading.Event()

    def run(self, kills: int, minutes: float) -> dict[str, Any]:
        """Kill so often, or so long, let everything come to its end, and judge."""
        self._controller = self.project.up()
        watcher = threading.Thread(target=self._watch_routes, daemon=True)
        try:
            with Clients(self.project.server_url(60)) as clients:
                until(lambda: clients.requests > 20, 60, "traffic")
                watcher.start()
                last = time.monotonic() + 60 * minutes
                while len(self.kills) < kills and time.monotonic() < last:
                    time.sleep(self.chance.uniform(0.0, LONGEST_PAUSE_S))
                    self._ask_for_a_rollout()
                    self._kill_one()
                    self._say(clients)
                until(self._at_rest, 300, "the end of what was under way")
            self._stop.set()
            watcher.join(10)
        finally:
            self._end()
        return {**self._figures(clients), **judge(self.project, self.desk, clients, self.kills, self.wrong)}

    # --- who lives ----------------------------------------------------------------------------------------------------

    def _living(self) -> dict[str, list[int]]:
        cards = []
        for path in (self.project.root / ".trimtab/deployment/servers").glob("*.json"):
            with contextlib.suppress(OSError, ValueError):
                cards.append(json.loads(path.read_text()))
        living = {
            "controller": [self._controller.pid] if self._controller is not None else [],
            "supervisor": sorted({card["supervisor"] for card in cards if alive(card["supervisor"])}),
            "worker": sorted(card["pid"] for card in cards if alive(card["pid"])),
            "training": self._training(),
            "command": [self._command[1].pid] if self._command and self._command[1].poll() is None else [],
        }
        holders = living["supervisor"] + living["worker"]
        if len(holders) == 1:  # the last process of the server is the server: with it the port is gone
            living["supervisor"], living["worker"] = [], []
        return {kind: pids for kind, pids in living.items() if pids}

    def _training(self) -> list[int]:
        """The training job, from a random moment of its life on, and only once: its second death would end it."""
        training = commands.current(self.desk).training
        if training is None or training.spec.job in self._jobs_killed:
            return []
        path = self.project.root / ".trimtab/jobs" / training.spec.job / "pid"
        delay_s = self._job_delay.setdefault(training.spec.job, self.chance.uniform(0.0, 8.0))
        with contextlib.suppress(OSError, ValueError):
            pid = int(path.read_text())
            if alive(pid) and time.time() - path.stat().st_mtime >= delay_s:
                return [pid]
        return []

    def _kill_one(self) -> None:
        kind, living = self._chosen()
        pid = self.chance.choice(living[kind])
        if kind == "training":
            training = commands.current(self.desk).training
            if training is None:
                return
            self._jobs_killed.add(training.spec.job)
        self.kills.append((time.time(), kind))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        if kind == "controller" and self._controller is not None:
            self._controller.wait()
            self._controller = self.project.up()

    def _chosen(self) -> tuple[str, dict[str, list[int]]]:
        """By weight, so that each kind gets its share: one that is not there now (a server that is being started again)
        is waited for, for a while.
        """
        kind = self.chance.choices(sorted(WEIGHTS), [WEIGHTS[kind] for kind in sorted(WEIGHTS)])[0]
        until_s = time.monotonic() + PATIENCE_S
        while kind not in (living := self._living()) and time.monotonic() < until_s:
            self._ask_for_a_rollout()
            time.sleep(self.chance.uniform(0.0, 0.3))
        return (kind if kind in living else self.chance.choice(sorted(living))), living

    # --- what people and service managers do --------------------------------------------------------------------------

    def _ask_for_a_rollout(self) -> None:
        """When nothing is under way: a good and a bad version in turn. A command that was killed is typed again."""
        if self._controller is not None and self._controller.poll() is not None:
            self.wrong.append(f"'trimtab up' ended by itself with {self._controller.returncode}")
            self._controller = self.project.up()
        status = commands.current(self.desk)
        if self._command is not None:
            version, process = self._command
            code = process.poll()
            if code is None:
                return
            self._command = None
            if code == -signal.SIGKILL and status.rollout is None and status.champion != version:
                self._type(version)
            return
        if status.rollout is None and status.waiting is None:
            good = sorted(set(status.versions) - {BAD, status.champion})
            self._asked += 1
            self._type(BAD if self._asked % 2 or not good else good[0])

    def _type(self, version: int) -> None:
        words = [sys.executable, "-m", "trimtab.cli.main", "deploy", str(version), "--by", "campaign"]
        with (self.project.root / "commands.log").open("ab") as log:
            self._command = version, subprocess.Popen(words, cwd=self.project.root, stdout=log, stderr=log)

    def _at_rest(self) -> bool:
        status = commands.current(self.desk)
        busy = status.rollout is not None or status.waiting is not None or status.training is not None
        return not busy and (self._command is None or self._command[1].poll() is not None)

    def _watch_routes(self) -> None:
        """What the servers are told is whole and has one champion, at every look."""
        path = self.project.root / ".trimtab/deployment/routes.json"
        while not self._stop.wait(0.02):
            routes = json.loads(path.read_text())
            arms = list(routes["arms"].values())
            if arms.count("champion") != 1 or sum(share["weight"] for share in routes["split"]) != 100:
                self.wrong.append(f"routes {routes}")
            self.looks += 1

    def _end(self) -> None:
        self._stop.set()
        if self._controller is not None:
            self._controller.send_signal(signal.SIGTERM)
            self._controller.wait(60)

    # --- what is told -------------------------------------------------------------------------------------------------

    def _say(self, clients: Clients) -> None:
        if len(self.kills) % 10 == 0:
            told = f"{len(self.kills)} kills, {clients.requests} requests, {clients.repeated} repeated"
            print(f"{told}, {len(clients.failures)} failed", file=sys.stderr, flush=True)

    def _figures(self, clients: Clients) -> dict[str, Any]:
        return {
            "kills": len(self.kills),
            "killed": dict(sorted(Counter(kind for _, kind in self.kills).items())),
            "requests": clients.requests,
            "failed_with_one_repetition": len(clients.failures),
            "failed_without_repetition": clients.repeated + len(clients.failures),
            "idle_connections_closed": clients.closed_idle,
            "slowest_request_s": round(clients.slowest_s, 3),
            "looks_at_routes": self.looks,
        }


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
