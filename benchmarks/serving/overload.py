"""More load than the server can carry: what is refused is refused at once, what is accepted stays quick.

    python benchmarks/serving/overload.py [--json FILE]

1. Open loop: requests come due at 0.5, 1, 2 and 5 times what the server reached at full load, over many connections,
   whether or not it answers; latency counts from when a request was due. The model is one that cannot be compiled and
   takes milliseconds, so that a generator in Python can outrun it many times.
2. Crowds: full load from more and more connections, with the boosted model.
3. Flood: one connection pipelines requests as fast as the server reads them, beside polite clients that send one at a
   time at a fixed rate; what the polite ones see, with and without it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client import Client, Tally
from contenders import CONTENDERS, JSON
from load import load, settle, write_bodies
from prepare import prepare
from processes import Server, cpu_s, end_tidily, free_port

TIMES = (0.5, 1.0, 2.0, 5.0)
CROWDS = (32, 256, 1024, 4000)
TRIMTAB = CONTENDERS["trimtab"]
FLOOD = Path(__file__).with_name("flood.py")


@dataclass(slots=True)
class Subject:
    """A server of one model, and what it is sent."""

    server: Server
    port: int
    bodies: list[bytes]
    file: Path


@contextlib.contextmanager
def serving(work: Path, core: int) -> Iterator[Subject]:
    bodies = TRIMTAB.bodies(json.loads((work / "rows.json").read_text()))
    port = free_port()
    server = Server(TRIMTAB.command(work, Path(), port), core, work / "log", work)
    try:
        server.ready(port, TRIMTAB.path, bodies[0], JSON)
        yield Subject(server, port, bodies, write_bodies(work / "bodies", bodies))
    finally:
        server.stop()


def open_loop(subject: Subject, seconds: float, connections: int) -> list[dict[str, Any]]:
    """What comes of each multiple of the capacity."""
    full = Client(subject.port, TRIMTAB.path, subject.bodies, JSON, 64)
    full.flat_out(1.0)
    full.tally = Tally()
    capacity = full.flat_out(seconds).count(200) / full.tally.seconds
    full.close()
    found: list[dict[str, Any]] = [{"times": None, "rate": capacity, **outcome(full.tally)}]
    print(line("full, 64 connections", found[0]), flush=True)
    for times in TIMES:
        settle(1.0)
        client = Client(subject.port, TRIMTAB.path, subject.bodies, JSON, connections)
        advised = without = 0

        def seen(status: int, answer: bytes, *_: object) -> None:
            nonlocal advised, without
            if status == 503:
                head = answer.split(b"\r\n\r\n", 1)[0].lower()
                advised, without = (advised + 1, without) if b"retry-after" in head else (advised, without + 1)

        client.seen = seen
        tally = client.at_rate(capacity * times, seconds)
        client.close()
        one = {"times": times, "rate": capacity * times, **outcome(tally), "without_retry_after": without}
        found.append(one)
        print(line(f"{times:g} x", one), flush=True)
    return found


def outcome(tally: Tally) -> dict[str, Any]:
    """Figures of one run."""
    other = {status: len(found) for status, found in tally.latencies.items() if status not in (200, 503)}
    return {
        "accepted": tally.count(200) / max(tally.seconds, 1e-9),
        "accepted_p50_ms": tally.quantile_ms(200, 0.5),
        "accepted_p99_ms": tally.quantile_ms(200, 0.99),
        "refused": tally.count(503) / max(tally.seconds, 1e-9),
        "refused_p50_ms": tally.quantile_ms(503, 0.5),
        "refused_p99_ms": tally.quantile_ms(503, 0.99),
        "other": other,
        "broken": tally.broken,
        "never_sent": tally.unsent,
    }


def line(name: str, one: dict[str, Any]) -> str:
    return (
        f"{name:24} due {one['rate']:7.0f}/s  accepted {one['accepted']:7.0f}/s p50 {one['accepted_p50_ms']:7.1f} "
        f"p99 {one['accepted_p99_ms']:7.1f} ms  503 {one['refused']:7.0f}/s p99 {one['refused_p99_ms']:7.1f} ms  "
        f"other {one['other']} broken {one['broken']} never sent {one['never_sent']}"
    )


def crowds(subject: Subject, seconds: float, core: int) -> list[dict[str, Any]]:
    """Full load from more and more connections."""
    found = []
    for connections in CROWDS:
        pids = subject.server.pids()
        before = cpu_s(pids)
        one = load(subject.port, TRIMTAB.path, subject.file, JSON, connections, seconds, core)
        one |= {"connections": connections, "cpu_us": (cpu_s(pids) - before) / max(one["requests"], 1) * 1e6}
        found.append(one)
        print(
            f"{connections:5} connections {one['rate']:8.0f}/s p50 {one['p50_ms']:7.1f} p99 {one['p99_ms']:7.1f} "
            f"longest {one['longest_ms']:8.1f} ms  refused {one['refused']} broken {one['broken']}",
            flush=True,
        )
        settle(0.5)
    return found


def flood(subject: Subject, seconds: float, rate: float) -> dict[str, Any]:
    """Polite clients without and with one that floods."""
    out: dict[str, Any] = {"rate": rate}
    for name in ("alone", "beside a flood"):
        flooder = None
        if name != "alone":
            command = [sys.executable, str(FLOOD), str(subject.port), TRIMTAB.path, str(subject.file), JSON]
            flooder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert flooder.stdout is not None
            flooder.stdout.readline()
        polite = Client(subject.port, TRIMTAB.path, subject.bodies, JSON, 8)
        tally = polite.at_rate(rate, seconds)
        polite.close()
        out[name] = {"rate": rate, **outcome(tally)}
        print(line(name, out[name]), flush=True)
        if flooder is not None:
            flooder.terminate()
            flooder.wait(10)
            out["flooder_answered"] = int(flooder.stdout.read()) if flooder.stdout else 0
            print(f"the flooding connection got {out['flooder_answered']} answers", flush=True)
    return out


def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=2000, help="of the open loop")
    parser.add_argument("--polite", type=float, default=2000.0, help="requests a second of the polite clients")
    parser.add_argument("--cores", type=int, nargs=2, default=[0, 1], metavar=("SERVER", "LOAD"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(words)
    end_tidily()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="trimtab-overload-") as folder:
        slow, quick = prepare(Path(folder, "slow"), "heavy", native=True), prepare(Path(folder, "quick"), "hgb")
        os.sched_setaffinity(0, {given.cores[1]})
        with serving(slow, given.cores[0]) as subject:
            results["open_loop"] = open_loop(subject, given.seconds, given.connections)
        with serving(quick, given.cores[0]) as subject:
            results["crowds"] = crowds(subject, given.seconds, given.cores[1])
            results["flood"] = flood(subject, given.seconds, given.polite)
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
