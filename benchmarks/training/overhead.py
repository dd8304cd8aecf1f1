"""What a whole training run costs beyond the bare fit, in processor time.

    python benchmarks/training/overhead.py [--rows 100000,1000000] [--columns 20] [--profile] [--out results.json]

A made-up table (three quarters numbers, the rest categories, two classes) is trained on by the whole pipeline: read,
deduplicate, choose, snapshot into DVC's cache, fit, evaluate, baseline, package, gates, register with MLflow (SQLite).
Each step's seconds are processor time of this process, all its threads; the wall time of a busy machine says nothing.
Overhead = all steps but the fit itself and the latency measurement (which takes its second of requests by design).
The first run of a process also pays for importing scikit-learn, MLflow and the compilers; a small run before takes that
out, and its price is told too.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import resource
import shutil
import tempfile
from pathlib import Path
from time import process_time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trimtab.training import pipeline
from trimtab.training.spec import TrainSpec
from trimtab.wiring import initialise_data_versions, open_workspace

PROJECT = """\
name: overhead
task: classification
data:
  files: data/*.parquet
  time: at
  target: y
"""
APART = ("fit", "latency")


def table(rows: int, columns: int) -> pa.Table:
    rng = np.random.default_rng(0)
    numbers = columns * 3 // 4
    values = {f"n{i}": rng.normal(size=rows) for i in range(numbers)}
    logit = values["n0"] + 0.5 * values["n1"] - 0.7 * values["n2"] * values["n3"]
    for i in range(columns - numbers):
        levels = np.array([f"level-{i}-{k}" for k in range(4 + 12 * i)])
        code = rng.integers(0, len(levels), rows)
        values[f"c{i}"] = pa.array(levels[code])
        logit = logit + 0.3 * (code % 2)
    at = 1.7e15 + np.sort(rng.uniform(0, 90 * 86400e6, rows))
    values["at"] = pa.array(at.astype(np.int64), pa.timestamp("us", tz="UTC"))
    values["y"] = rng.random(rows) < 1 / (1 + np.exp(-logit))
    return pa.table(values)


def measure(rows: int, columns: int, scratch: Path, profile: bool) -> dict[str, object]:
    root = scratch / f"rows-{rows}"
    (root / "data").mkdir(parents=True)
    (root / "trimtab.yaml").write_text(PROJECT)
    data = table(rows, columns)
    pq.write_table(data, root / "data" / "history.parquet")
    initialise_data_versions(root)
    desk = open_workspace(root)
    spec = TrainSpec("t1", "manual", 1.8e9)
    before = process_time()
    profiler = cProfile.Profile(process_time)
    if profile:
        profiler.enable()
    result = pipeline.run(spec, desk.services())
    profiler.disable()
    whole = process_time() - before
    if profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(45)
    seconds = result["seconds"]
    shutil.rmtree(root)
    return {
        "rows": rows,
        "columns": columns,
        "outcome": result["outcome"],
        "fit": seconds["fit"],
        "overhead": round(whole - sum(seconds[name] for name in APART), 2),
        "steps": seconds,
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="100000,1000000")
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--scratch", type=Path, default=None, help="folder for tables and projects")
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    pipeline.perf_counter = process_time  # the stopwatch of the steps counts processor time
    done = []
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        for rows in (2000, *(int(each) for each in args.rows.split(","))):
            found = measure(rows, args.columns, Path(scratch), args.profile and rows > 2000)
            done.append(found)
            steps = " ".join(f"{name} {value:.2f}" for name, value in found["steps"].items())
            print(f"{rows:>9,} rows: fit {found['fit']:.2f} s, overhead {found['overhead']:.2f} s ({steps})")
            print(f"{'':>15} peak {found['peak_mb']:,} MB, {found['outcome']}", flush=True)
    if args.out:
        args.out.write_text(json.dumps(done, indent=1) + "\n")


if __name__ == "__main__":
    main()
