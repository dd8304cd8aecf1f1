"""Hot swaps under full load: nothing fails, nothing is answered by a version that was not routed to, or by two.

    python benchmarks/serving/swaps.py [--swaps 200] [--json FILE]

Each swap installs a new version (a copy of one of four models, so that it is really loaded, verified and proved) and
moves all traffic to it. ``wrk`` keeps the server at its limit; beside it a client checks every answer it gets: its
version must have been routed to at some moment between the request's start and its end, and its score must be that
version's score for that row.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from client import Client

Route = Callable[[int, int], None]
"""(generation, version): all traffic to the version."""
KEPT = 4
"""Versions left installed behind the one that serves."""


@dataclass(frozen=True, slots=True)
class Swap:
    """Traffic moved to ``version``: not before ``begun``, and its predecessor answers no request after ``settled``."""

    generation: int
    version: int
    begun: float
    settled: float


@dataclass(slots=True)
class Answer:
    """What the checking client got."""

    status: int
    body: bytes
    row: int
    due: float
    at: float


@dataclass(slots=True)
class Verdict:
    """What came of a campaign."""

    answered: int = 0
    versions: int = 0
    """Different versions among the answers."""
    failed: list[str] = field(default_factory=list)
    misrouted: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    """Answers whose score is not that of the version they name."""

    @property
    def clean(self) -> bool:
        return not (self.failed or self.misrouted or self.mixed)


def campaign(
    client: Client,
    deployment: Path,
    packages: Sequence[Path],
    route: Route,
    generation: Callable[[], int],
    swaps: int,
    first: Swap,
    pause_s: float = 0.0,
) -> tuple[list[Swap], list[Answer]]:
    """Swap so many times while the client sends; swap ``k`` installs version ``first.version + k``, a copy of
    ``packages[(first.version + k) % len(packages)]``."""
    answers: list[Answer] = []
    client.seen = lambda status, body, row, due, at: answers.append(Answer(status, body, row, due, at))
    done: list[Swap] = [first]
    problems: list[BaseException] = []

    def work() -> None:
        try:
            for number in range(1, swaps + 1):
                version = first.version + number
                install(deployment, packages[version % len(packages)], version)
                done.append(swap(route, generation, first.generation + number, version))
                shutil.rmtree(deployment / "versions" / str(version - KEPT), ignore_errors=True)
                time.sleep(pause_s)
        except BaseException as error:  # noqa: BLE001  of a thread: raised again where the campaign is asked for
            problems.append(error)

    swapper = threading.Thread(target=work)
    swapper.start()
    client.flat_out(600.0, stop=lambda: not swapper.is_alive())
    swapper.join()
    if problems:
        raise problems[0]
    return done, answers


def install(deployment: Path, package: Path, version: int) -> None:
    """As the control plane does it: aside, then renamed."""
    aside = deployment / "versions" / f".{version}.tmp"
    shutil.copytree(package, aside)
    aside.rename(aside.with_name(str(version)))


def swap(route: Route, generation: Callable[[], int], number: int, version: int, wait_s: float = 30.0) -> Swap:
    """Move all traffic and wait until the server says that it serves it."""
    begun = time.perf_counter()
    route(number, version)
    until = time.monotonic() + wait_s
    while generation() != number:
        if time.monotonic() > until:
            raise TimeoutError(f"the server did not come to generation {number} within {wait_s:g} s")
        time.sleep(0.002)
    return Swap(number, version, begun, time.perf_counter())


def judge(swaps: Sequence[Swap], answers: Sequence[Answer], broken: int, score: Callable[[int, int], float]) -> Verdict:
    """Hold every answer against the timeline and the models. ``score(version, row)``: what that version must say."""
    found = Verdict(failed=[f"{broken} connections broke"] if broken else [])
    begun = {each.version: each.begun for each in swaps}
    replaced = {each.version: after.settled for each, after in itertools.pairwise(swaps)}
    versions = set()
    for each in answers:
        if each.status != 200:
            found.failed.append(f"{each.status} {each.body[-300:]!r}")
            continue
        answer = json.loads(each.body.split(b"\r\n\r\n", 1)[1])
        version, given = int(answer["model_version"]), score_of(answer)
        versions.add(version)
        found.answered += 1
        if version not in begun or each.at < begun[version] or each.due > replaced.get(version, each.due):
            found.misrouted.append(f"version {version} answered a request of {each.due:.4f} to {each.at:.4f}")
        elif abs(given - score(version, each.row)) > 1e-9:
            found.mixed.append(f"version {version} gave {given}, its score is {score(version, each.row)}")
    found.versions = len(versions)
    return found


def score_of(answer: dict[str, Any]) -> float:
    """The positive class's probability."""
    return float(answer["outputs"][1]["data"][1])


# --- as a script ------------------------------------------------------------------------------------------------------


def main() -> None:
    from contenders import CONTENDERS
    from load import write_bodies
    from prepare import prepare, route
    from processes import Server, end_tidily, free_port

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swaps", type=int, default=200)
    parser.add_argument("--connections", type=int, default=32, help="of the full load; the checking client has 8")
    parser.add_argument("--cores", type=int, nargs=2, default=[0, 1], metavar=("SERVER", "LOAD"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    end_tidily()
    with tempfile.TemporaryDirectory(prefix="trimtab-swaps-") as folder:
        work = prepare(Path(folder), "hgb", versions=4)
        packages = [(work / "packages" / name) for name in "0123"]
        shutil.copytree(work / "deployment" / "versions", work / "packages")
        for version in (1, 2, 3, 4):
            if version > 1:
                shutil.rmtree(work / "deployment" / "versions" / str(version))
            (work / "packages" / str(version)).rename(packages[version % 4])
        rows = json.loads((work / "rows.json").read_text())
        scores = json.loads((work / "scores-by-version.json").read_text())
        trimtab = CONTENDERS["trimtab"]
        bodies = write_bodies(work / "bodies", trimtab.bodies(rows))
        port = free_port()
        server = Server(trimtab.command(work, Path(), port), given.cores[0], work / "log", work)
        try:
            server.ready(port, trimtab.path, trimtab.bodies(rows)[0], "application/json")
            os.sched_setaffinity(0, {given.cores[1]})
            client = Client(port, trimtab.path, trimtab.bodies(rows), "application/json", 8)
            first = Swap(1, 1, 0.0, time.perf_counter())
            with background_load(port, trimtab.path, bodies, given.connections, given.cores[1]) as load:
                began = time.perf_counter()
                done, answers = campaign(
                    client, work / "deployment", packages, lambda g, v: route(work / "deployment", g, v),
                    lambda: generation_at(port), given.swaps, first,
                )  # fmt: skip
                seconds = time.perf_counter() - began
            verdict = judge(done, answers, client.tally.broken, lambda v, row: scores[(v - 1) % 4][row])
        finally:
            server.stop()
    results = {
        "swaps": len(done) - 1, "seconds": round(seconds, 1), "checked": verdict.answered,
        "versions": verdict.versions, "failed": len(verdict.failed), "misrouted": len(verdict.misrouted),
        "mixed": len(verdict.mixed), "load": load,
        "swap_ms_median": round(sorted(each.settled - each.begun for each in done)[len(done) // 2] * 1000, 1),
    }  # fmt: skip
    print(json.dumps(results, indent=1))
    for problem in [*verdict.failed[:5], *verdict.misrouted[:5], *verdict.mixed[:5]]:
        print(problem)
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n")
    sys.exit(0 if verdict.clean and not load.get("refused") and not load.get("broken") else 1)


def generation_at(port: int) -> int:
    """What the server says it serves; -1 before it says so."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/trimtab/status")
        found = json.loads(connection.getresponse().read())["generation"]
        return -1 if found is None else int(found)
    finally:
        connection.close()


@contextlib.contextmanager
def background_load(port: int, path: str, bodies: Path, connections: int, core: int) -> Any:
    """Full load beside the checking client, in pieces of five seconds; the dictionary is filled as they end."""
    from load import load

    total: dict[str, Any] = {"requests": 0, "refused": 0, "broken": 0}
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            found = load(port, path, bodies, "application/json", connections, 5, core)
            for key in total:
                total[key] += found[key]

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield total
    finally:
        stop.set()
        thread.join()


if __name__ == "__main__":
    main()
