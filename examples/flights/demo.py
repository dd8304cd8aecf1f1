"""`make demo`: a year of real flights through the whole loop, in about two minutes.

Version 1 is trained on eight weeks. Then the year is played through the real model server in event time, every request
and every label, with the real controller deciding. On the way a weather column arrives empty for three weeks, and a
colleague releases a version that is better offline and worse online. What is shown was measured in this run.

    python examples/flights/demo.py        writes demo/ (a fresh project), demo/report.html, demo/summary.json
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

# Training on one thread: the same sums on every machine, and a core left for serving.
os.environ.setdefault("OMP_NUM_THREADS", "1")  # noqa: TID251  an example is a program of its own

import prepare
import pyarrow as pa
import report
import results
import world
from telling import Teller

from trimtab.controller.loop import Loop
from trimtab.controller.runner import seen
from trimtab.core.domain.errors import ExternalError, TrimtabError
from trimtab.ports import JobPhase
from trimtab.replay.stream import Columns, Stream, play_steps
from trimtab.wiring import Workspace, open_workspace

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1] / "demo"
DAY_S, HOUR_S = 86400.0, 3600.0
READY_S, JOB_S = 60.0, 300.0
LOOKS_MAX = 40
"""Ticks at one checkpoint: one change of traffic each, far more than there can be."""


class Demo:
    """One run of the story."""

    def __init__(self, root: Path, year: pa.Table, teller: Teller) -> None:
        self.root = root
        self.year = year
        self.teller = teller
        self.desk: Workspace = open_workspace(root)
        self.loop: Loop = self.desk.loop()
        self.problems: list[str] = []
        self.played: results.Played = results.Played()
        self._known = 0
        self._outside: list[tuple[float, Callable[[float], bool]]] = [
            (world.FAULT_FROM, self._fault_begins),
            (world.FAULT_UNTIL, self._fault_ends),
            (world.RELEASE_AT, self._release),
        ]

    def train(self, *options: str) -> None:
        """`trimtab train`, as a person types it.

        Raises:
            ExternalError: it failed.
        """
        command = [sys.executable, "-m", "trimtab.cli.main", "train", "--by", "a colleague", *options]
        with self.played.timed("training"):
            done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ExternalError(f"`trimtab train {' '.join(options)}` ended with {done.returncode}:\n{done.stderr}")

    def play(self) -> None:
        """Serve, play the year, tick, and tell."""
        requests = world.requests(self.year)
        columns = Columns(
            time="departed_at",
            target="late",
            label_time="landed_at",
            entity="tailnum",
            inputs=tuple(name for name in requests.column_names if name not in world.NOT_INPUTS),
        )
        with self.desk.server() as server:
            url = self._ready()
            with Stream(requests, columns, url, self.desk.name, prefix="flight") as stream:
                self.played.tally = stream.tally
                self._play(stream)
        self.played.restarts = server.restarts

    def _play(self, stream: Stream) -> None:
        """From checkpoint to checkpoint; what happens outside happens at one."""
        self.look(world.HISTORY_UNTIL)
        with self.teller.progress(world.HISTORY_UNTIL, world.END):
            for now in play_steps(stream, world.HISTORY_UNTIL, world.END, self._pace):
                self.look(now)
                while self._outside and now >= self._outside[0][0] and self._outside[0][1](now):
                    self._outside.pop(0)
                    self.look(now)

    def _pace(self, now: float) -> float:
        """Look every eight hours while a rollout is under way, at midnight (UTC) otherwise, and where things happen."""
        status = self.loop.status
        busy = status.rollout is not None or status.waiting is not None
        stops = [8 * HOUR_S if busy else DAY_S - now % DAY_S]
        return min(stops + [at - now for at, _ in self._outside if at > now])

    def look(self, now: float) -> None:
        """Tick until nothing is left to decide; training runs as a process of its own while the clock stands."""
        for _ in range(LOOKS_MAX):
            self._show(now)
            with self.played.timed("deciding"):
                tick = self.loop.tick()
                self.desk.view.save(seen(tick))
            self._tell()
            self.problems += tick.problems
            self._served()
            if tick.status.training is not None:
                with self.played.timed("training"):
                    self._trained(tick.status.training.spec.job, now)
            elif not tick.entries:
                return
        raise ExternalError(f"the loop did not come to rest within {LOOKS_MAX} ticks")

    def _tell(self) -> None:
        for entry in self.desk.journal.read(self._known):
            self.teller.entry(entry)
            self._known = entry.seq

    def _trained(self, job: str, now: float) -> None:
        """Wait for a training process to end: the same storyline on every machine."""
        until = time.monotonic() + JOB_S
        while self.desk.jobs.poll(job).phase in (JobPhase.RUNNING, JobPhase.MISSING):
            self._show(now, f"training {job}")
            if time.monotonic() > until:
                raise ExternalError(f"training {job} did not end within {JOB_S:g} s; see .trimtab/jobs/{job}")
            time.sleep(0.05)

    def _served(self) -> None:
        """Wait until the servers serve the routes that were decided."""
        routes = self.desk.target.routes()
        until = time.monotonic() + READY_S
        while routes is not None and any(s.generation != routes.generation for s in self.desk.target.servers()):
            if time.monotonic() > until:
                raise ExternalError(
                    f"the server does not serve generation {routes.generation}; see .trimtab/server.log"
                )
            time.sleep(0.01)

    def _ready(self) -> str:
        until = time.monotonic() + READY_S
        while time.monotonic() < until:
            ready = [server for server in self.desk.target.servers() if server.ready]
            if ready:
                return ready[0].url
            time.sleep(0.05)
        raise ExternalError("the model server did not become ready; see .trimtab/server.log")

    def _show(self, now: float, doing: str = "") -> None:
        tally, status = self.played.tally, self.loop.status
        rate = tally.requests / tally.seconds if tally.seconds else 0.0
        note = (
            f"version {status.champion} · {tally.requests:,} requests, {tally.failed} failed · {rate:,.0f}/s  {doing}"
        )
        self.teller.at(now - world.HISTORY_UNTIL, now, note)

    # --- what happens outside -----------------------------------------------------------------------------------------

    def _fault_begins(self, _now: float) -> bool:
        self.teller.world(world.FAULT_FROM, f"the weather feed stops sending {world.FAULT_COLUMN}")
        return True

    def _fault_ends(self, _now: float) -> bool:
        self.teller.world(world.FAULT_UNTIL, f"the weather feed sends {world.FAULT_COLUMN} again")
        return True

    def _release(self, now: float) -> bool:
        """A colleague trains and releases, unless another version is on its way: then they wait. Whether they did."""
        status = self.loop.catch_up()
        if status.rollout is not None or status.training is not None or status.waiting is not None:
            return False
        self.teller.world(
            now,
            f"a colleague releases a version with the feature {world.NEW_FEATURE}; "
            f"its online store was never filled and answers {world.UNFILLED:g}",
        )
        world.write(world.warehouse(self.year, now), self.root / "data" / "warehouse.parquet")
        self.train("--project", "release.yaml")
        self.played.released_at = now
        return True


def end_leftovers(root: Path) -> None:
    """End the server and the training that an interrupted demo left running in ``root``; they outlive their starter.

    Raises:
        ExternalError: one of them does not end.
    """
    marks = [str(root / ".trimtab" / "deployment").encode(), str(root / "trimtab.yaml").encode()]
    until = time.monotonic() + READY_S
    while pids := [pid for pid in _processes() if any(mark in _words(pid) for mark in marks)]:
        if time.monotonic() > until:
            raise ExternalError(f"processes {pids} of an earlier demo do not end; end them first")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):  # it ended between the two looks
                os.kill(pid, signal.SIGTERM)
        time.sleep(0.2)


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _words(pid: int) -> list[bytes]:
    """The command line of a process of ours; empty when it is gone or another's."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []
    return words if b"trimtab.serving" in words or b"trimtab.cli.job" in words else []


def set_up(root: Path, year: pa.Table) -> None:
    """A fresh project under ``root``.

    Raises:
        ExternalError: something stands there that is not an earlier demo.
    """
    if root.exists():
        if any(root.iterdir()) and not (root / "trimtab.yaml").exists():
            raise ExternalError(f"{root} holds something else than an earlier demo; move it away first")
        end_leftovers(root)
        shutil.rmtree(root)
    (root / "data").mkdir(parents=True)
    for name in ("trimtab.yaml", "release.yaml", "estimator.py"):
        shutil.copy(HERE / name, root / name)
    world.write(world.history(year), root / "data" / "history.parquet")


def run(root: Path, teller: Teller) -> bool:
    """The whole story; whether it ended as it must."""
    started = time.perf_counter()
    data = HERE / "data" / "flights.parquet"
    if not data.exists():
        made = prepare.prepare(data.parent)
        teller.say(f"prepared {made.rows:,} flights of 2013", "dim")
    year = world.read(data)
    set_up(root, year)
    teller.say("A year of flights out of New York: which will land 15 minutes late or more?", "bold")
    demo = Demo(root, year, teller)
    teller.say("trimtab train: version 1 from the first eight weeks", "dim")
    demo.train()
    demo.play()
    demo.played.spent["requests and labels"] = demo.played.tally.seconds
    demo.played.seconds = time.perf_counter() - started
    summary = results.summarise(demo.desk, demo.played) | {"problems": demo.problems}
    results.write(summary, root / "summary.json")
    report.write(summary, root / "report.html")
    return teller.ending(summary, results.missed(summary))


def main() -> int:
    teller = Teller()
    try:
        return 0 if run(ROOT, teller) else 1
    except TrimtabError as error:
        teller.say(f"the demo failed: {error}", "bold red")
        return 1


if __name__ == "__main__":
    sys.exit(main())
