"""False verdicts of the agreement metrics where rows of a day resemble each other, with and without the correction.

    python benchmarks/rollout/agreement.py [--runs 200] [--seed 1]

Four weeks of 1,000 compared rows a day, a look every twelve hours. Each day has its own share of disagreement and its
own shift of scores; their spread is such that means of days vary ``spread`` times more than independent rows would. The
long-run mean is exactly at the limit (A/A: any 'failed' or 'successful' is false), or clearly on one side (power).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import Any

import numpy as np

from trimtab.core.domain.verdict import Verdict
from trimtab.core.profiles.pairs import shift_weights
from trimtab.core.rollout.agreement import disagreement_metric, score_shift_metric
from trimtab.core.rollout.facts import Look
from trimtab.core.rollout.plan import RolloutPlan

DAY_S = 86_400.0
DAYS, LOOKS, ROWS = 28, 4, 250
ALPHA = 0.05
PLAN = RolloutPlan()
LIMIT, SHIFT = PLAN.disagreement_max or 0.2, PLAN.score_shift_max or 0.1
NOISE = 0.15


def main() -> None:
    """Print the figures as JSON."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--runs", type=int, default=200)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    out = []
    for spread in (1.0, 4.0, 20.0):
        for differ, shift, kind in ((LIMIT, SHIFT, "A/A"), (0.35, 0.2, "harm"), (0.08, 0.02, "agrees")):
            chance = np.random.Generator(np.random.PCG64((given.seed, int(spread), round(1000 * differ))))
            out.append({"what": kind, "spread": spread, **share(chance, given.runs, differ, shift, spread)})
    print(json.dumps({"runs": given.runs, "alpha": ALPHA, "figures": out}, indent=2))


def share(chance: np.random.Generator, runs: int, differ: float, shift: float, spread: float) -> dict[str, Any]:
    """Shares of runs that are ever failed, or ever successful, and the median day of the first such look."""
    counts: dict[str, list[float]] = {}
    for _ in range(runs):
        looks = month(chance, differ, shift, spread)
        for name, plan in (("corrected", PLAN), ("rows as independent", replace(PLAN, block_s=0.0))):
            for metric in (disagreement_metric, score_shift_metric):
                verdicts = [metric(plan, looks[:n], ALPHA).verdict for n in range(2, len(looks) + 1, 2)]
                for verdict in (Verdict.FAILED, Verdict.SUCCESSFUL):
                    key = f"{metric.__name__.removesuffix('_metric')}, {name}: {verdict}"
                    when = 2 * (verdicts.index(verdict) + 1) / LOOKS if verdict in verdicts else np.nan
                    counts.setdefault(key, []).append(when)
    return {key: told(np.array(days)) for key, days in counts.items()}


def told(days: np.ndarray) -> str:
    """``61.0 % of runs, median day 3.5``."""
    seen = days[np.isfinite(days)]
    when = f", median day {np.median(seen):.1f}" if seen.size else ""
    return f"{100 * seen.size / days.size:.1f} %{when}"


def month(chance: np.random.Generator, differ: float, shift: float, spread: float) -> tuple[Look, ...]:
    """The looks of four weeks."""
    rows = LOOKS * ROWS
    extra = spread - 1.0
    variance = max(extra * differ * (1 - differ) / rows, 1e-12)
    weight = differ * (1 - differ) / variance - 1.0
    out = []
    for day in range(DAYS):
        today = chance.beta(differ * weight, (1 - differ) * weight) if extra else differ
        moved = shift + (chance.normal(0.0, NOISE * np.sqrt(extra / rows)) if extra else 0.0)
        for part in range(LOOKS):
            differences = np.clip(chance.normal(moved, NOISE, ROWS), -1.0, 1.0)
            out.append(
                Look(
                    at_s=day * DAY_S + (part + 0.5) * DAY_S / LOOKS,
                    compared=ROWS,
                    disagreed=int(chance.binomial(ROWS, today)),
                    score_shift=shift_weights(differences),
                )
            )
    return tuple(out)


if __name__ == "__main__":
    main()
