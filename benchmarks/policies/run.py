"""The policy benchmark: streams x retrain costs x label delays, one default configuration for all.

    python benchmarks/policies/run.py DATA --out results.json --table results.md

``DATA`` has a folder per stream (``streams.py``). Models are fitted once for each stream and kept in ``--cache``, so
that it can be stopped and started again. ``--rows`` takes an evenly spread part of long streams.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parent))
from streams import DEVELOPED, LABEL_TIME, TARGET, TIME, Stream, streams_in

from trimtab.replay.backtest.catalogue import parse
from trimtab.replay.backtest.compare import baseline, play
from trimtab.replay.backtest.fits import Fits
from trimtab.replay.backtest.history import History, Question, load
from trimtab.replay.backtest.labels import schedule
from trimtab.replay.backtest.world import Bench, default_metric

COSTS = (0.02, 0.1, 0.5)
DELAYS = ("0", "2", "4", "real")
PERIODS = (1, 2, 3, 4, 6, 8, 11, 16)
PERIODIC = tuple(f"every:{n}{window}" for n in PERIODS for window in ("", ":window"))
OTHERS = ("never", "error:0.05", "error:0.1", "error:0.2", "drift:psi0.2", "adwin", "cara", "trimtab:single", "trimtab")


def main() -> None:
    options = _options()
    results: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    for stream in streams_in(options.data, tuple(options.only)):
        started = perf_counter()
        for delay, history in _histories(stream, options.rows):
            if f"{stream.name}|{delay}" in results:
                continue
            with Fits(history, schedule(history), options.jobs, cache=options.cache) as fits:
                results[f"{stream.name}|{delay}"] = _play(history, fits)
            options.out.write_text(json.dumps(results, indent=1))
            print(f"{stream.name} {delay}: {perf_counter() - started:.0f} s", flush=True)
    options.table.write_text(table(results))


def _histories(stream: Stream, rows: int) -> list[tuple[str, History]]:
    whole = pq.read_table(stream.path)
    if rows and whole.num_rows > rows:
        whole = whole.take(pa.array(np.linspace(0, whole.num_rows - 1, rows).astype(int)))
    ignore = stream.ignore + ((LABEL_TIME,) if stream.label_time else ())
    base = Question(target=TARGET, time=TIME, ignore=ignore)
    found = [(delay, load(whole, replace(base, label_batches=int(delay)))) for delay in DELAYS if delay != "real"]
    if stream.label_time:
        found.append(("real", load(whole, replace(base, ignore=stream.ignore, label_time=LABEL_TIME))))
    return found


def _play(history: History, fits: Fits) -> dict[str, dict[str, dict[str, float]]]:
    """Cost to policy to figures."""
    bench = Bench(history, fits.schedule, fits, default_metric(history, None))
    found: dict[str, dict[str, dict[str, float]]] = {}
    for price in COSTS:
        never, charge, floor = baseline(bench, price)
        rows = {"oracle": {"cost": floor, "runs": 0.0, "versions": 1.0}}
        for name in (*PERIODIC, *OTHERS):
            done = play(parse(name, price), bench, charge, never, floor)
            rows[name] = {"cost": done.cost, "runs": done.retrains, "versions": done.versions}
        found[f"{price:g}"] = rows
    return found


def table(results: dict[str, Any]) -> str:
    """Markdown: one table for each delay and cost, and the figures that are asked of the policy."""
    parts = []
    for delay in DELAYS:
        for price in COSTS:
            chosen = {
                key.split("|")[0]: found[f"{price:g}"] for key, found in results.items() if key.endswith(f"|{delay}")
            }
            if chosen:
                late = "labels at their real times" if delay == "real" else f"labels {delay} batches late"
                parts.append(f"### A run costs {price:g}, {late}\n\n{_one(chosen)}\n\n{_summary(chosen)}\n")
    return "\n".join(parts)


def _one(chosen: dict[str, Any]) -> str:
    names = (
        "oracle",
        "best periodic in hindsight",
        "error:0.1",
        "drift:psi0.2",
        "adwin",
        "cara",
        "trimtab:single",
        "trimtab",
    )
    lines = ["| stream | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for stream, found in chosen.items():
        best = min(PERIODIC, key=lambda name: found[name]["cost"])
        cells = []
        for name in names:
            figures = found[best] if name.startswith("best") else found[name]
            runs = f" ({figures['runs']:.0f})" if name != "oracle" else ""
            extra = f" {best}" if name.startswith("best") else ""
            cells.append(f"{figures['cost']:.3f}{runs}{extra}")
        mark = "" if stream in DEVELOPED else " (second half)"
        lines.append(f"| {stream}{mark} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _summary(chosen: dict[str, Any]) -> str:
    lines = []
    halves = {"all": list(chosen), "first half": [s for s in chosen if s in DEVELOPED]}
    halves["second half"] = [s for s in chosen if s not in DEVELOPED]
    for half, streams in halves.items():
        if not streams:
            continue
        costs = {
            name: np.array([chosen[s][name]["cost"] for s in streams])
            for name in (*PERIODIC, "trimtab", "trimtab:single")
        }
        hindsight = np.min([costs[name] for name in PERIODIC], axis=0)
        fixed = min(PERIODIC, key=lambda name: float(costs[name].mean()))
        runs = np.mean([chosen[s]["trimtab"]["runs"] for s in streams])
        versions = np.mean([chosen[s]["trimtab"]["versions"] for s in streams])
        ours = costs["trimtab"]
        alone = costs["trimtab:single"]
        reached = [int((found <= hindsight + 0.005).sum()) for found in (ours, alone)]
        lines.append(
            f"- {half}: trimtab {ours.mean():.3f} (one version: {alone.mean():.3f}), best periodic in hindsight "
            f"{hindsight.mean():.3f}, best fixed periodic ({fixed}) {costs[fixed].mean():.3f}; at or below hindsight "
            f"+ .005 on {reached[0]} of {len(streams)} (one version: {reached[1]}); worst {ours.max():.3f}; "
            f"{runs:.1f} runs; {versions:.1f} versions per request"
        )
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("results.json"))
    parser.add_argument("--table", type=Path, default=Path("results.md"))
    parser.add_argument("--cache", type=Path, help="folder for fitted answers")
    parser.add_argument("--rows", type=int, default=0, help="at most so many of each stream, evenly spread; 0: all")
    parser.add_argument("--only", nargs="*", default=[], help="names of streams")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if options.cache is not None:
        options.cache.mkdir(parents=True, exist_ok=True)
    return options


if __name__ == "__main__":
    main()
