"""False alarms and power of the drift check on rows that can be exchanged.

    python benchmarks/drift/alarms.py [--runs 400] [--big 20] [--out FOLDER]

One process; half an hour with the defaults. Every run draws a new reference and new current rows.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from benchmarks.drift.rows import five_levels, mixed

from trimtab.core.drift import check
from trimtab.core.profiles import Baseline, Column

SEED, ALPHA = 20131122, 0.01
SIZES = (
    (50, 50), (500, 50), (5_000, 50), (1_000_000, 50),
    (50, 500), (500, 500), (5_000, 500), (5_000, 5_000),
    (500, 100_000), (100_000, 100_000), (50, 1_000_000), (1_000_000, 1_000_000),
)  # fmt: skip
"""(reference, current)"""
FEATURES = (5, 20, 200)
CELLS_BIG = 5_000_000
"""Values of one run (reference and current) from which only ``--big`` runs are made; ten times as many: a tenth."""


def false_alarms(runs: int, big: int) -> list[dict[str, float]]:
    """Share of unchanged rows that alarm, at alpha 0.01."""
    rng, out = np.random.default_rng(SEED), []
    for features in FEATURES:
        for reference, current in SIZES:
            cells = features * (reference + current)
            count = runs if cells < CELLS_BIG else big if cells < 10 * CELLS_BIG else max(big // 10, 1)
            alarms = 0
            for _ in range(count):
                baseline = Baseline.fit(mixed(rng, reference, features))
                alarms += check(baseline, baseline.profile(mixed(rng, current, features)), ALPHA).drifted
            out.append(
                {"features": features, "reference": reference, "current": current, "runs": count, "alarms": alarms}
            )
            print(out[-1], flush=True)
    return out


def power(runs: int) -> list[dict[str, float | str]]:
    """Share found: 5,000 reference rows and 500 current ones, one of 20 features changed."""
    rng, out = np.random.default_rng(SEED), []
    changes: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "shift .5 sd": lambda x: x + 0.5,
        "shift .3 sd": lambda x: x + 0.3,
        "spread x 1.25": lambda x: 1.25 * x,
        "heavier tails (t, 3 degrees, same sd)": lambda x: rng.standard_t(3, x.size) / np.sqrt(3),
        "5 % at +4 sd": lambda x: np.where(rng.random(x.size) < 0.05, x + 4, x),
        "5 % stuck": lambda x: np.where(rng.random(x.size) < 0.05, 0.123, x),
        "missing 0 -> 2 %": lambda x: np.where(rng.random(x.size) < 0.02, np.nan, x),
        "category .1 -> .2": lambda x: x,
    }
    for name, change in changes.items():
        found = named = 0
        for _ in range(runs):
            then: dict[str, Column] = {f"x{at}": rng.normal(size=5_000) for at in range(19)}
            now: dict[str, Column] = {f"x{at}": rng.normal(size=500) for at in range(19)}
            shares = (0.2, 0.25, 0.25, 0.2, 0.1) if name.startswith("category") else (0.1, 0.3, 0.3, 0.2, 0.1)
            then["c"] = five_levels(rng, 5_000, (0.1, 0.3, 0.3, 0.2, 0.1))
            now["c"] = five_levels(rng, 500, shares)
            now["x7"] = change(now["x7"])
            baseline = Baseline.fit(then)
            result = check(baseline, baseline.profile(now), ALPHA)
            found += result.drifted
            moved = "c" if name.startswith("category") else "x7"
            named += [each.name for each in result.features.values() if each.alarm] == [moved]
        out.append({"change": name, "runs": runs, "found": found / runs, "named_alone": named / runs})
        print(out[-1], flush=True)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--big", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    asked = parser.parse_args()
    result = {
        "seed": SEED,
        "alpha": ALPHA,
        "power": power(asked.runs),
        "false_alarms": false_alarms(asked.runs, asked.big),
    }
    (asked.out / "alarms.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
