"""Batch scoring of a Parquet file beside decoding it and calling the compiled model directly.

    python benchmarks/serving/files.py [--rows 500000] [--json FILE]

``direct`` decodes batches, turns the columns into arrays, calls the model and throws the answers away. ``one thread``
is ``trimtab score``'s own function on one thread, writing its output, ``score`` the same as the command runs it: one
thread for each core. Rounds in turn, medians. Processor time holds on a busy machine too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from prepare import ESTIMATORS
from runtimes import data

from trimtab.serving.batch.score import Scoring, score_file
from trimtab.serving.runtimes import Model, load
from trimtab.training.compile import build_package
from trimtab.training.estimators import default_estimator

SUBJECTS: dict[str, tuple[int, Callable[[Any], Any]]] = {
    "HistGradientBoosting, 30 numbers": (0, lambda _frame: ESTIMATORS["hgb"]()),
    "random forest 100x10, 30 numbers": (0, lambda _frame: ESTIMATORS["forest"]()),
    "default, 25 numbers + 5 texts": (5, lambda frame: default_estimator("classification", {}, frame)),
}


def packaged(name: str, at: Path) -> Model:
    texts, make = SUBJECTS[name]
    frame, y = data(6000, texts, 0)
    build_package(
        at, estimator=make(frame).fit(frame.iloc[:4000], y[:4000]), task="classification", model="bench", target="y",
        time=None, entity=None, features=frame.iloc[4000:], classes=[False, True], positive=True, baseline=b"none",
        requirements="",
    )  # fmt: skip
    return load(at)


def write_rows(path: Path, texts: int, rows: int) -> Path:
    frame, _ = data(rows, texts, 1)
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path, row_group_size=131_072)
    return path


def direct(path: Path, model: Model) -> None:
    for batch in pq.ParquetFile(path).iter_batches():
        columns = {
            name: np.asarray(batch.column(name).to_numpy(zero_copy_only=False)) for name in model.signature.names
        }
        model.predict(columns)


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """(seconds, processor seconds)."""
    before, began = os.times(), time.perf_counter()
    call()
    after = os.times()
    cpu = after.user + after.system - before.user - before.system
    return time.perf_counter() - began, cpu


def measure(name: str, rows: int, rounds: int, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    model = packaged(name, folder / "package")
    path = write_rows(folder / "rows.parquet", SUBJECTS[name][0], rows)

    def score(threads: int | None) -> None:
        score_file(Scoring(path, folder / "out.parquet", keep=(), overwrite=True, threads=threads), model)

    ways: dict[str, Callable[[], object]] = {
        "direct": lambda: direct(path, model),
        "one thread": lambda: score(1),
        "score": lambda: score(None),
    }
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, call in ways.items():
            found[way].append(timed(call))
    out: dict[str, Any] = {"model": name, "runtime": model.signature.runtime.name, "rows": rows}
    for way, times in found.items():
        wall, cpu = (statistics.median(one[index] for one in times) for index in (0, 1))
        out[way] = {"rows_per_s": rows / wall, "us_per_row": wall / rows * 1e6, "cpu_us_per_row": cpu / rows * 1e6}
    out["ratio"] = out["score"]["rows_per_s"] / out["direct"]["rows_per_s"]
    out["ratio_one_thread"] = out["one thread"]["rows_per_s"] / out["direct"]["rows_per_s"]
    out["ratio_processor"] = out["direct"]["cpu_us_per_row"] / out["one thread"]["cpu_us_per_row"]
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory(prefix="trimtab-files-") as folder:
        for index, name in enumerate(SUBJECTS):
            one = measure(name, given.rows, given.rounds, Path(folder, str(index)))
            results.append(one)
            print(
                f"{name:34} {one['runtime']:8} direct {one['direct']['rows_per_s']:9,.0f} rows/s  score "
                f"{one['score']['rows_per_s']:9,.0f} ({one['ratio']:.0%})  one thread {one['ratio_one_thread']:.0%}, "
                f"by processor time {one['ratio_processor']:.0%}",
                flush=True,
            )
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
