"""Trimtab's check of one Parquet file against a fitted baseline; beside it, in the same process, decoding the file, and
decoding it with a bare histogram of each column (``np.histogram`` with 128 equal bins, ``np.bincount`` of codes).

    trimtab_peer.py REFERENCE CURRENT [ROUNDS]
"""

from __future__ import annotations

import resource
import statistics
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
from clock import Clock

from trimtab.core.drift import check
from trimtab.core.profiles import Baseline, Categorical, Column
from trimtab.frames import batches, read

pa.set_cpu_count(1)
pa.set_io_thread_count(1)


def rows_of(path: Path, times: int) -> Iterator[dict[str, Column]]:
    """The file's batches, ``times`` over."""
    for _ in range(times):
        yield from batches(path)


def checked(baseline: Baseline, path: Path, times: int = 1) -> bool:
    total = baseline.empty()
    for batch in rows_of(path, times):
        total = total + baseline.profile(batch)
    return check(baseline, total, 0.01).drifted


def decoded(_baseline: Baseline, path: Path) -> None:
    for _ in batches(path):
        pass


def bare(_baseline: Baseline, path: Path) -> None:
    for batch in batches(path):
        for column in batch.values():
            if isinstance(column, Categorical):
                np.bincount(column.codes)
            else:
                np.histogram(column, 128)


def memory(stored: Path, path: Path, times: int) -> None:
    """A process of its own: what streaming adds to the memory after the first batch."""
    baseline = Baseline.from_bytes(stored.read_bytes())
    clock = Clock()
    first = next(iter(batches(path)))
    rows = len(next(iter(first.values())))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    clock.part("check", lambda: checked(baseline, path, times))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    clock.tell(batch_rows=rows, batch_mb=round(rows * 25 * 8 / 2**20, 1), added_mb=round(peak - before, 1))


def main() -> None:
    if sys.argv[1] == "--memory":
        memory(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
        return
    reference, current = Path(sys.argv[1]), Path(sys.argv[2])
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 9
    clock = Clock()
    columns = clock.part("read reference", lambda: read(reference))
    baseline = clock.part("fit", lambda: Baseline.fit(columns))
    if len(sys.argv) > 4:
        Path(sys.argv[4]).write_bytes(baseline.to_bytes())
    flagged = checked(baseline, current)
    jobs: dict[str, Callable[[Baseline, Path], object]] = {
        "check": checked,
        "decode": decoded,
        "decode and bare histogram": bare,
    }
    took: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            one = Clock()
            one.part(name, lambda job=job: job(baseline, current))
            took[name].append(one.parts[name]["cpu_s"])
    medians = {name: round(statistics.median(each), 4) for name, each in took.items()}
    pairs = [a / b for a, b in zip(took["check"], took["decode and bare histogram"], strict=True)]
    clock.parts["check"] = {"cpu_s": medians["check"], "wall_s": 0.0}
    ratio = round(statistics.median(pairs), 3)
    clock.tell(version=version("trimtab"), flagged=int(flagged), medians_s=medians, ratio_to_bare=ratio, all_s=took)


if __name__ == "__main__":
    main()
