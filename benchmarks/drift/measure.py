"""False alarms, power and speed of the drift check. One process; `python benchmarks/drift/measure.py [runs]`
(default 60: some minutes).

Rows are simulated under a seed that is printed: numbers are normal, log-normal, whole (Poisson) and zero-inflated
in turn, every fifth
feature is a category of 3 to 40 levels.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trimtab.core.drift import check
from trimtab.core.profiles import Baseline, Categorical, Column
from trimtab.frames import batches, columns_of

SEED = 20131122
ALPHA = 0.01


def table(rng: np.random.Generator, rows: int, features: int) -> dict[str, Column]:
    out: dict[str, Column] = {}
    for at in range(features):
        if at % 5 == 4:
            levels = 3 + at % 38
            weights = 1 / np.arange(1, levels + 1)
            codes = rng.choice(levels, rows, p=weights / weights.sum()).astype(np.int32)
            out[f"c{at}"] = Categorical(codes, tuple(f"level {level}" for level in range(levels)))
            continue
        x = rng.normal(size=rows)
        shapes = (lambda v: v, np.exp, lambda v: np.floor(np.exp(v)), lambda v: np.where(v < 0.8, 0.0, v))
        out[f"x{at}"] = np.asarray(shapes[at % 5](x), dtype=np.float64)
    return out


def false_alarms(runs: int) -> list[dict[str, float]]:
    """Share of unchanged samples that alarm, at alpha 0.01."""
    rng, out = np.random.default_rng(SEED), []
    for features in (5, 20, 200):
        for rows in (50, 500, 5_000, 100_000):
            count = max(10, runs // (1 + features * rows // 2_000_000))
            alarms = 0
            for _ in range(count):
                baseline = Baseline.fit(table(rng, 5_000, features))
                alarms += check(baseline, baseline.profile(table(rng, rows, features)), ALPHA).drifted
            out.append({"features": features, "rows": rows, "runs": count, "alarms": alarms})
            print(out[-1], flush=True)
    return out


def power(runs: int) -> list[dict[str, float | str]]:
    """Share found, 5,000 reference rows and 500 current ones, one of 20 normal features changed."""
    rng, out = np.random.default_rng(SEED), []
    changes = {
        "shift .5 sd": lambda x: x + 0.5,
        "shift .3 sd": lambda x: x + 0.3,
        "spread x 1.25": lambda x: 1.25 * x,
        "5 % at +4 sd": lambda x: np.where(rng.random(x.size) < 0.05, x + 4, x),
        "5 % stuck": lambda x: np.where(rng.random(x.size) < 0.05, 0.123, x),
        "2 % missing": lambda x: np.where(rng.random(x.size) < 0.02, np.nan, x),
    }
    for name, change in changes.items():
        found = named = 0
        for _ in range(runs):
            baseline = Baseline.fit({f"x{at}": rng.normal(size=5_000) for at in range(20)})
            current = {f"x{at}": rng.normal(size=500) for at in range(20)}
            current["x7"] = change(current["x7"])
            result = check(baseline, baseline.profile(current), ALPHA)
            found += result.drifted
            named += [each.name for each in result.features.values() if each.alarm] == ["x7"]
        out.append({"change": name, "runs": runs, "found": found / runs, "named_alone": named / runs})
        print(out[-1], flush=True)
    return out


def speed(rows: int = 1_000_000) -> dict[str, float]:
    """Seconds for 20 numbers and 5 categories in Parquet: a check, decoding alone, decoding and a bare histogram of
    each column.
    """
    rng = np.random.default_rng(SEED)
    columns = {f"x{at}": pa.array(rng.normal(size=rows)) for at in range(20)}
    words = pa.array([f"level {level}" for level in range(30)])
    for at in range(5):
        columns[f"c{at}"] = pa.DictionaryArray.from_arrays(pa.array(rng.integers(0, 30, rows), pa.int32()), words)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        pq.write_table(pa.table(columns), path)
        baseline = Baseline.fit(columns_of(pa.table(columns).slice(0, 100_000)))
        best: dict[str, float] = {}
        for _ in range(3):
            for name, job in (("check", _check), ("decode", _decode), ("decode_and_histogram", _histogram)):
                began = time.perf_counter()
                job(path, baseline)
                best[name] = min(best.get(name, np.inf), time.perf_counter() - began)
    print(best, flush=True)
    return best


def _check(path: Path, baseline: Baseline) -> None:
    total = baseline.empty()
    for batch in batches(path):
        total = total + baseline.profile(batch)
    check(baseline, total, ALPHA)


def _decode(path: Path, _baseline: Baseline) -> None:
    for _ in batches(path):
        pass


def _histogram(path: Path, _baseline: Baseline) -> None:
    for batch in batches(path):
        for column in batch.values():
            if isinstance(column, Categorical):
                np.bincount(column.codes)
            else:
                np.histogram(column, 128)


if __name__ == "__main__":
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    result = {
        "seed": SEED,
        "alpha": ALPHA,
        "speed_s": speed(),
        "power": power(runs),
        "false_alarms": false_alarms(runs),
    }
    Path(__file__).with_name("results.json").write_text(json.dumps(result, indent=1) + "\n")
