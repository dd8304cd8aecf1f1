"""Single-row requests against trimtab, its ceiling and its peers: same core, same model, same rows, rounds in turn.

    python benchmarks/serving/compare.py --quick                       trimtab, ceiling and FastAPI; a minute
    python benchmarks/serving/compare.py --json FILE --docs FILE       everything; about ten minutes

The server has one core and the load another (``--cores``). Logging of every prediction is on; ``trimtab-unlogged``
shows what it costs, ``ceiling`` is the same HTTP server that reads the body and answers a constant. Each server proves
first that it gives the model's own scores. Who is not measured sleeps (SIGSTOP), or is not started yet.
Rates mean something on a quiet machine only; processor time per request (``cpu us``) holds on a busy one too.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contenders import CONTENDERS, JSON, OURS, Contender
from environments import default_cache, python_of
from load import Figures, generator, load, settle, write_bodies
from prepare import prepare
from processes import NotReadyError, Server, cpu_s, end_tidily, free_port, memory_mb, post

QUICK = ("ceiling", "trimtab", "trimtab-unlogged", "fastapi")
MODELS = {"hgb": "HistGradientBoosting (100 iterations)", "forest": "random forest (100 trees, depth 10)"}
TOLERANCE = 1e-5
CHECKED = 32
WARM_S = 1.0


@dataclass(slots=True)
class Plan:
    """What is measured, and how long."""

    names: Sequence[str]
    connections: Sequence[int]
    rounds: int
    seconds: float
    server_core: int
    load_core: int
    cache: Path
    work: Path


@dataclass(slots=True)
class Running:
    """A contender while its model's rounds last."""

    contender: Contender
    bodies: Path
    server: Server
    port: int
    start_s: float
    found: dict[int, list[Figures]] = field(default_factory=dict)


def measure(plan: Plan, kind: str) -> dict[str, Any]:
    """All contenders with one model: medians over the rounds, by name."""
    work = prepare(plan.work / kind, kind)
    rows = json.loads((work / "rows.json").read_text())
    scores = json.loads((work / "scores.json").read_text())
    running: list[Running] = []
    try:
        for name in plan.names:
            contender = CONTENDERS[name]
            bodies = write_bodies(work / f"{name}.bodies", contender.bodies(rows))
            try:
                running.append(begin(plan, work, contender, bodies))
            except NotReadyError as error:
                if name in OURS:
                    raise
                print(f"{name} is left out: {error}")
                continue
            check(running[-1], scores)
            running[-1].server.sleep()
        for number in range(plan.rounds):
            for each in running:
                one_round(plan, each, number)
    finally:
        for each in running:
            each.server.stop()
    return {each.contender.name: summary(each) for each in running}


def begin(plan: Plan, work: Path, contender: Contender, bodies: Path) -> Running:
    """A started server that has answered once."""
    port = free_port()
    server = contender.start(work, plan.cache, port, plan.server_core)
    first = bodies.read_bytes().split(b"\n", 1)[0]
    try:
        seconds, _ = server.ready(port, contender.path, first, JSON)
    except NotReadyError:
        server.stop()
        raise
    return Running(contender, bodies, server, port, seconds)


def check(each: Running, scores: Sequence[float]) -> None:
    """The answers are the model's own.

    Raises:
        SystemExit: one is not.
    """
    contender = each.contender
    for body, want in list(zip(each.bodies.read_bytes().splitlines(), scores, strict=True))[:CHECKED]:
        status, answer = post(each.port, contender.path, body, JSON)
        got = contender.score(json.loads(answer)) if status == 200 else math.inf
        if abs(got - want) > TOLERANCE:
            raise SystemExit(f"{contender.name} answered {status} {answer[:300]!r}; the model's score is {want}")


def one_round(plan: Plan, each: Running, number: int) -> None:
    """Every number of connections once, the first time warmed up."""
    each.server.wake()
    contender = each.contender
    for connections in plan.connections:
        if number == 0:
            load(each.port, contender.path, each.bodies, JSON, connections, WARM_S, plan.load_core)
            settle()
        pids = each.server.pids()
        before = cpu_s(pids)
        found = load(each.port, contender.path, each.bodies, JSON, connections, plan.seconds, plan.load_core)
        if found["refused"] or found["broken"]:
            print(f"{contender.name}: {found['refused']} refused, {found['broken']} broken of {found['requests']}")
        found["cpu_us"] = (cpu_s(pids) - before) / max(found["requests"], 1) * 1e6
        found["rss_mb"], found["pss_mb"] = memory_mb(pids)
        found["processes"] = len(pids)
        each.found.setdefault(connections, []).append(found)
        print(
            f"round {number + 1} {contender.name:17} {connections:3} connections {found['rate']:9.0f} req/s  "
            f"p50 {found['p50_ms']:8.2f} p99 {found['p99_ms']:8.2f} ms  cpu {found['cpu_us']:8.1f} us",
            flush=True,
        )
        settle()
    each.server.sleep()


def summary(each: Running) -> dict[str, Any]:
    """Medians, and every round's rate."""
    out: dict[str, Any] = {"start_s": each.start_s}
    for connections, found in each.found.items():
        medians = {key: statistics.median(one[key] for one in found) for key in found[0]}
        out[str(connections)] = {**medians, "rates": [one["rate"] for one in found]}
    return out


def ratios(models: dict[str, Any]) -> list[dict[str, Any]]:
    """What is claimed, from the medians: against each peer, the ceiling, and without the log."""
    out = []
    for kind, servers in models.items():
        for connections in [key for key in servers["trimtab"] if key != "start_s"]:
            ours = servers["trimtab"][connections]
            one: dict[str, Any] = {"model": kind, "connections": int(connections)}
            for name, theirs in servers.items():
                if name != "trimtab":
                    one[name] = ours["rate"] / theirs[connections]["rate"]
                    one[f"{name}, processor"] = theirs[connections]["cpu_us"] / ours["cpu_us"]
            out.append(one)
    return out


def table(results: dict[str, Any]) -> str:
    """Markdown."""
    lines = []
    for kind, servers in results["models"].items():
        lines += [f"### {MODELS[kind]}", ""]
        counts = [key for key in servers["trimtab"] if key != "start_s"]
        head = ["server", *(f"{n} connections: req/s | p50 / p99 ms | CPU µs" for n in counts), "start s", "memory MB"]
        lines += ["| " + " | ".join(head) + " |", "|---" + "|---:" * (3 * len(counts) + 2) + "|"]
        for name, found in servers.items():
            version = results["versions"].get(name)
            cells = [f"{name} {version}" if version else name]
            for count in counts:
                one = found[count]
                cells += [f"{one['rate']:,.0f}", f"{one['p50_ms']:.2f} / {one['p99_ms']:.2f}", f"{one['cpu_us']:,.1f}"]
            cells += [f"{found['start_s']:.2f}", f"{found[counts[-1]]['pss_mb']:.0f}"]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join([*lines, *_ratio_lines(results["ratios"])])


def _ratio_lines(found: Sequence[dict[str, Any]]) -> list[str]:
    lines = ["trimtab with its log on, times the other's requests per second (in brackets: by processor time):", ""]
    keys = dict.fromkeys(key for one in found for key in one)
    names = [key for key in keys if key not in ("model", "connections") and not key.endswith("processor")]
    lines += ["| model, connections | " + " | ".join(names) + " |", "|---" + "|---:" * len(names) + "|"]
    for one in found:
        cells = [
            f"{_figure(one[name])} ({_figure(one[f'{name}, processor'])})" if name in one else "did not start"
            for name in names
        ]
        lines.append(f"| {one['model']}, {one['connections']} | " + " | ".join(cells) + " |")
    return lines


def _figure(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 3 else f"{ratio:.0f}"


def machine() -> dict[str, Any]:
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ": ?")
    return {
        "cpu": cpu.split(":", 1)[1].strip(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
    }


def write_docs(page: Path, results: dict[str, Any]) -> None:
    """Between the page's markers."""
    text = page.read_text()
    begin, end = "<!-- results -->", "<!-- /results -->"
    before, after = text.split(begin, 1)[0], text.split(end, 1)[1]
    where = results["machine"]
    note = f"{results['date']}, {where['cpu']}, Python {where['python']}, load by {results['generator']}, medians of "
    note += f"{results['rounds']} rounds of {results['seconds']:g} s."
    page.write_text(f"{before}{begin}\n{note}\n\n{table(results)}\n{end}{after}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="trimtab, ceiling and FastAPI, boosting only, two rounds")
    parser.add_argument("--only", nargs="+", choices=sorted(CONTENDERS), help="these servers (trimtab is always there)")
    parser.add_argument("--without", nargs="+", default=[], choices=sorted(CONTENDERS))
    parser.add_argument("--models", nargs="+", choices=sorted(MODELS), help="default: both")
    parser.add_argument("--connections", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--rounds", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--cores", type=int, nargs=2, default=[0, 1], metavar=("SERVER", "LOAD"))
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where the peers' environments are")
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--docs", type=Path, help="put the tables between the markers of this page")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    end_tidily()
    wanted = given.only or (QUICK if given.quick else tuple(CONTENDERS))
    names = [name for name in CONTENDERS if name == "trimtab" or (name in wanted and name not in given.without)]
    for name in names:
        if name not in OURS:
            python_of(name, given.cache)
    models = given.models or (["hgb"] if given.quick else list(MODELS))
    rounds = given.rounds or (2 if given.quick else 3)
    began = time.monotonic()
    where = machine()
    with tempfile.TemporaryDirectory(prefix="trimtab-benchmark-") as work:
        plan = Plan(names, given.connections, rounds, given.seconds, *given.cores, given.cache, Path(work))
        found = {kind: measure(plan, kind) for kind in models}
    results = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": where,
        "generator": generator(),
        "rounds": rounds,
        "seconds": given.seconds,
        "took_s": round(time.monotonic() - began),
        "versions": {name: CONTENDERS[name].version(given.cache) for name in names},
        "models": found,
        "ratios": ratios(found),
    }
    print(table(results))
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n")
    if given.docs:
        write_docs(given.docs, results)


if __name__ == "__main__":
    main()
