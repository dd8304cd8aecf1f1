"""Requests per second of the server with logging on, beside the ceiling of its own HTTP: rounds in turn, medians.

    python benchmarks/serving/load.py DEPLOYMENT [--rounds 5] [--seconds 4] [--connections 8 32] [--json FILE]

Needs ``wrk``. The server is pinned to core 0, the load to core 1. ``cpu us``: the server's processor time per request.
On a machine that is busy with other things both figures are of little use (processor time per request of the same
server was seen to double): publish figures of a quiet machine only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def start(command: list[str]) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(["taskset", "-c", "0", *command], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://[^ :]+:\d+", line)
    if found is None:
        raise SystemExit(f"the server did not start: {line}")
    return process, found.group()


def wrk(url: str, body: Path, connections: int, seconds: int) -> dict[str, float]:
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    out = subprocess.run(
        [*command, "-s", str(HERE / "infer.lua"), url, "--", str(body)], capture_output=True, text=True, check=True
    ).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        raise SystemExit(out)
    requests = re.search(r"(\d+) requests in", out)
    rate, p50, p99 = (
        re.search(p, out) for p in (r"Requests/sec:\s+([\d.]+)", r"50%\s+([\d.]+\w+)", r"99%\s+([\d.]+\w+)")
    )
    assert requests
    assert rate
    assert p50
    assert p99
    return {
        "requests": int(requests[1]),
        "rate": float(rate[1]),
        "p50_ms": _ms(p50[1]),
        "p99_ms": _ms(p99[1]),
    }


def _ms(text: str) -> float:
    for unit, factor in (("us", 0.001), ("ms", 1.0), ("s", 1000.0)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise ValueError(text)


def measure(deployment: Path, connections: int, rounds: int, seconds: int) -> dict[str, Any]:
    body = deployment / "row.json"
    model = json.loads(next((deployment / "versions").glob("*/signature.json")).read_text())["model"]
    with tempfile.TemporaryDirectory() as logs:
        serving = ["-m", "trimtab.serving", "--deployment", str(deployment), "--logs", logs, "--port", "0"]
        servers = {
            "trimtab": start([sys.executable, *serving]),
            "ceiling": start([sys.executable, str(HERE / "constant.py")]),
        }
        results: dict[str, list[dict[str, float]]] = {name: [] for name in servers}
        try:
            for _ in range(rounds):
                for name, (process, base) in servers.items():
                    before = cpu_s(process.pid)
                    found = wrk(f"{base}/v2/models/{model}/infer", body, connections, seconds)
                    found["cpu_us"] = (cpu_s(process.pid) - before) / found["requests"] * 1e6
                    results[name].append(found)
                    time.sleep(0.2)
        finally:
            for process, _ in servers.values():
                process.terminate()
                process.wait(20)
    return {
        name: {key: statistics.median(one[key] for one in found) for key in found[0]} for name, found in results.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("deployment", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    out = {}
    for connections in given.connections:
        out[connections] = found = measure(given.deployment, connections, given.rounds, given.seconds)
        for name, one in found.items():
            print(
                f"{connections:3} connections  {name:8} {one['rate']:9.0f} req/s  p50 {one['p50_ms']:.2f} ms  "
                f"p99 {one['p99_ms']:.2f} ms  cpu {one['cpu_us']:.1f} us"
            )
        print(f"    of the ceiling, by processor time: {found['ceiling']['cpu_us'] / found['trimtab']['cpu_us']:.0%}")
    if given.json:
        given.json.write_text(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
