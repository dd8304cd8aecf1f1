"""False alarms and power of the drift check on real rows in time: shuffled in blocks, and in their real order.

    python benchmarks/drift/ordered.py --data FOLDER [--blocks 10 20 40 100] [--runs 200] [--out FOLDER]

FOLDER holds one folder for each set with a Parquet file that has ``event_time``, ``target`` and features.
*shuffled*: the set is cut into B + 1 blocks of equal numbers of rows whose order is drawn anew in each run, so that
blocks are as unlike as in life but nothing drifts; B are the reference, the last one is current. *real*: block after
block, the B before each are its reference.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from trimtab.core.drift import check
from trimtab.core.profiles import Baseline, Categorical, Column, Profile, take_rows
from trimtab.core.profiles.blocks import BlockTable
from trimtab.frames import read

SEED, ALPHA = 20131122, 0.01
NEVER = ("target", "label_time")


def table_of(folder: Path) -> tuple[dict[str, Column], np.ndarray]:
    """Features in order of time, and the times."""
    columns = read(next(folder.glob("*.parquet")))
    time = columns.pop("event_time")
    assert not isinstance(time, Categorical)
    order = np.argsort(time, kind="stable")
    kept = {
        name: column.take(order) if isinstance(column, Categorical) else column[order]
        for name, column in columns.items()
        if name not in NEVER
    }
    return kept, time[order]


def block_profiles(columns: dict[str, Column], blocks: int) -> Baseline:
    """A baseline over all rows, cut into ``blocks`` of equal numbers of rows."""
    rows = len(next(iter(columns.values())))
    place = np.floor(np.arange(rows) * blocks / rows)
    return Baseline.fit(columns, time=place, block_s=1.0)


def one(whole: Baseline, reference: np.ndarray, current: int) -> tuple[bool, bool]:
    """(alarm, calibrated) of one block against others; the edges are those of all rows."""
    table = whole.blocks
    total = _sum(whole, reference)
    blocks = BlockTable(
        np.arange(len(reference), dtype=np.float64),
        *(getattr(table, name)[reference] for name in ("rows", "counts", "stats", "low", "high")),
    )
    baseline = replace(whole, total=total, blocks=blocks)
    result = check(baseline, _sum(whole, np.array([current])), ALPHA, span_s=1.0)
    return result.drifted, result.calibrated


def _sum(whole: Baseline, chosen: np.ndarray) -> Profile:
    table = whole.blocks
    return Profile(
        whole.layout.digest,
        int(table.rows[chosen].sum()),
        table.counts[chosen].sum(axis=0, dtype=np.int64),
        table.stats[chosen].sum(axis=0),
        table.low[chosen].min(axis=0),
        table.high[chosen].max(axis=0),
        whole.total.names,
    )


def shifted(whole: Baseline, columns: dict[str, Column], rng: np.random.Generator, blocks: int, runs: int) -> float:
    """Share of single blocks found in which one number moved by half a standard deviation."""
    numbers = [
        name
        for name, column in columns.items()
        if not isinstance(column, Categorical) and len(np.unique(column[:20_000])) > 100
    ]
    if not numbers:
        return float("nan")
    rows, found = len(next(iter(columns.values()))), 0
    bounds = np.ceil(np.arange(len(whole.blocks) + 1) * rows / len(whole.blocks)).astype(int)
    for _ in range(runs):
        order = rng.permutation(len(whole.blocks))
        reference, current = np.sort(order[:blocks]), int(order[blocks])
        part = take_rows(columns, slice(bounds[current], bounds[current + 1]))
        name = numbers[int(rng.integers(len(numbers)))]
        column = columns[name]
        assert not isinstance(column, Categorical)
        part[name] = part[name] + 0.5 * np.nanstd(column)
        table = whole.blocks
        inner = BlockTable(
            np.arange(blocks, dtype=np.float64),
            *(getattr(table, each)[reference] for each in ("rows", "counts", "stats", "low", "high")),
        )
        baseline = replace(whole, total=_sum(whole, reference), blocks=inner)
        found += check(baseline, baseline.profile(part), ALPHA, span_s=1.0).drifted
    return found / runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--blocks", type=int, nargs="+", default=[10, 20, 40, 100])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    asked = parser.parse_args()
    out = []
    for folder in sorted(each for each in asked.data.iterdir() if each.is_dir()):
        columns, _ = table_of(folder)
        for blocks in asked.blocks:
            rng = np.random.default_rng(SEED)
            whole = block_profiles(columns, blocks + 1)
            alarms = 0
            calibrated = False
            for _ in range(asked.runs):
                order = rng.permutation(blocks + 1)
                alarm, calibrated = one(whole, order[:blocks], int(order[blocks]))
                alarms += alarm
            fine = block_profiles(columns, 2 * blocks)
            real = [one(fine, np.arange(at - blocks, at), at)[0] for at in range(blocks, 2 * blocks)]
            found = shifted(whole, columns, rng, blocks, min(asked.runs, 50))
            out.append(
                {
                    "set": folder.name,
                    "blocks": blocks,
                    "rows_per_block": round(whole.total.rows / (blocks + 1)),
                    "calibrated": bool(calibrated),
                    "runs": asked.runs,
                    "shuffled_alarms": int(alarms),
                    "real_looks": len(real),
                    "real_alarms": int(sum(real)),
                    "found_half_sd": found,
                }
            )
            print(out[-1], flush=True)
    for blocks in asked.blocks:
        rows = [each for each in out if each["blocks"] == blocks]
        alarms, runs = sum(each["shuffled_alarms"] for each in rows), sum(each["runs"] for each in rows)
        print(f"B = {blocks}: {alarms} of {runs} shuffled ({alarms / runs:.3f})")
    (asked.out / "ordered.json").write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
