"""How soon the alarm on losses sounds, and how often in vain; how near estimated performance comes; whether a bad slice
is seen: on real streams.

    python benchmarks/performance/measure.py DATA [alarms] [clean] [estimates] [slices]

DATA holds <name>/<name>.parquet with event_time and target. Results go to results.json beside this file.
"""

from __future__ import annotations

import json
import sys
import time
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
from streams import CLUSTERED, EXCHANGEABLE, NEVER, Stream, shuffled, stream

from trimtab.core.performance import (
    calibration_of,
    estimate_from_baseline,
    estimate_from_scores,
    figures_of,
    judge_slices,
)
from trimtab.core.performance.slices import SliceRows
from trimtab.core.profiles import Baseline, Evaluation, score_rows
from trimtab.replay.backtest.adwin import Adwin
from trimtab.stats import LossAlarm

RUNS, ROWS, ONSET = 20, 6000, 3000
RESULTS = Path(__file__).with_name("results.json")
BLOCK = 1000


def alarms(folder: Path) -> dict[str, object]:
    """The recipe: 20 shuffled streams a host, half of the feature space flips at row 3,000; each of three columns is
    the one that is cut in half, heaviest first."""
    out: dict[str, object] = {}
    for name in EXCHANGEABLE:
        found = stream(folder, name)
        clean = [_ours(shuffled(found, ROWS, None, 0.0, seed)) for seed in range(3 * RUNS)]
        clean_adwin = [_adwin(shuffled(found, ROWS, None, 0.0, seed)) for seed in range(3 * RUNS)]
        host: dict[str, object] = {
            "clean": _counts(clean, 3 * RUNS),
            "clean_adwin": _counts([(each, "") for each in clean_adwin], 3 * RUNS),
        }
        for strength, p in (("strong", 0.7), ("mild", 0.2)):
            for column in range(3):
                seeds = range(column, 3 * RUNS, 3)
                losses = [shuffled(found, ROWS, ONSET, p, seed) for seed in seeds]
                ours, theirs = [_ours(each) for each in losses], [_adwin(each) for each in losses]
                host[f"{strength}, {list(found.weights)[column]}"] = {
                    "rows to alarm (median)": _median([at for at, _ in ours]),
                    "found": sum(at is not None and at > ONSET for at, _ in ours),
                    "early": sum(at is not None and at <= ONSET for at, _ in ours),
                    "adwin": _median(theirs),
                    "adwin found": sum(at is not None and at > ONSET for at in theirs),
                    "adwin early": sum(at is not None and at <= ONSET for at in theirs),
                }
        out[name] = host
    return out


def _counts(runs: list[tuple[int | None, str]], size: int) -> dict[str, object]:
    return {
        "runs": size,
        "false alarms": sum(at is not None for at, _ in runs),
        "taken as clustered": sum(unit == "blocks" for _, unit in runs),
    }


def _ours(losses: np.ndarray) -> tuple[int | None, str]:
    alarm = LossAlarm()
    alarm.update(losses)
    return (alarm.change.at_row if alarm.change else None), alarm.unit


def _adwin(losses: np.ndarray) -> int | None:
    detector = Adwin()
    for start in range(0, len(losses), 32):
        found = detector.add_all(losses[start : start + 32])
        if found is not None and found[1] > found[0]:
            return start + 32
    return None


def _median(found: list[int | None]) -> float | None:
    """None: more than half were not found."""
    middle = float(np.median([np.inf if at is None else at - ONSET for at in found]))
    return middle if np.isfinite(middle) else None


def clean(folder: Path) -> dict[str, object]:
    """Every stream in its real order, nothing put in; after an alarm the detector begins anew. Where the model really
    got worse (levels before and after are given) an alarm is right."""
    out: dict[str, object] = {}
    for name in NEVER:
        found = stream(folder, name)
        losses = (found.scores - found.labels) ** 2
        host: dict[str, object] = {"rows": len(found), "clustered": name in CLUSTERED}
        for how, times in (("rows alone", None), ("with times", found.times)):
            alarm, raised, began, at = LossAlarm(), [], time.process_time(), 0
            while at < len(losses):
                end = min(at + 50, len(losses))
                alarm.update(losses[at:end], None if times is None else times[at:end])
                at = end
                if alarm.change is not None:
                    raised.append({"row": at, "before": alarm.change.before, "after": alarm.change.after})
                    alarm.reset()
            micros = (time.process_time() - began) / len(losses) * 1e6
            host[how] = {"alarms": raised, "unit": alarm.unit, "microseconds a row": round(micros, 1)}
        fall = 0
        detector = Adwin()
        for start in range(0, len(losses), 32):
            means = detector.add_all(losses[start : start + 32])
            fall += means is not None and means[1] > means[0]
        host["adwin"] = fall
        out[name] = host
    return out


def estimates(folder: Path) -> dict[str, object]:
    """The first quarter calibrates; each later block of 1,000 rows is estimated and then compared with its labels."""
    out: dict[str, object] = {}
    for name in NEVER:
        found = stream(folder, name)
        out[name] = _estimated(found)
    return out


def _estimated(found: Stream) -> dict[str, object]:
    scores, labels = np.column_stack([1 - found.scores, found.scores]), found.labels.astype(float)
    size, quarter = len(found), len(found) // 4
    blocks = [slice(at, at + BLOCK) for at in range(0, size - BLOCK + 1, BLOCK)]
    cards = [score_rows(scores[rows], labels[rows]) for rows in blocks]
    known = [card for card, rows in zip(cards, blocks, strict=True) if rows.stop <= quarter]
    calibration = calibration_of(reduce(add, known), known)
    order = np.arange(quarter, dtype=float)
    baseline = Baseline.fit(
        {"row": np.zeros(quarter)},
        time=order,
        block_s=BLOCK,
        evaluation=Evaluation(scores[:quarter], labels[:quarter], order, ("0", "1")),
    )
    usual = figures_of(known)
    sums: dict[str, dict[str, list[float]]] = {"from scores": {}, "from profiles": {}, "as it was": {}}
    covered: dict[str, dict[str, list[float]]] = {"from scores": {}, "from profiles": {}}
    for card, rows in zip(cards, blocks, strict=True):
        if rows.stop <= quarter or calibration is None:
            continue
        real = figures_of([card])
        profile = baseline.profile({"row": np.zeros(BLOCK)}, scores[rows])
        for how, estimate in (
            ("from scores", estimate_from_scores(calibration, found.scores[rows])),
            ("from profiles", estimate_from_baseline(baseline, profile)),
        ):
            for metric in ("accuracy", "auroc", "f1", "brier"):
                value = real[metric].value
                if estimate is None or metric not in estimate.metrics or not np.isfinite(value):
                    continue
                guess, low, high = estimate.metrics[metric]
                sums[how].setdefault(metric, []).append(abs(guess - value))
                covered[how].setdefault(metric, []).append(low <= value <= high)
                if how == "from scores":
                    sums["as it was"].setdefault(metric, []).append(abs(usual[metric].value - value))
    return {
        "blocks": len(blocks) - len(known),
        "mean absolute error": {
            how: {m: round(float(np.mean(v)), 4) for m, v in each.items()} for how, each in sums.items()
        },
        "interval holds": {
            how: {m: round(float(np.mean(v)), 3) for m, v in each.items()} for how, each in covered.items()
        },
    }


def slices(_folder: Path) -> dict[str, object]:
    """92 % overall and 70 % in one hospital; and hospitals that are all alike, looked at a hundred times."""
    out: dict[str, object] = {}
    for hospitals in (10, 50, 200):
        harmed, after, cried = 0, [], 0
        for seed in range(200):
            rng = np.random.default_rng([hospitals, seed])
            sizes = rng.dirichlet(np.full(hospitals, 0.7))
            for bad in (True, False):
                first = _looked(rng, sizes, bad)
                if bad and first is not None:
                    harmed += 1
                    after.append(first)
                cried += (not bad) and first is not None
        out[f"{hospitals} hospitals"] = {
            "runs": 200,
            "bad hospital found": harmed,
            "rows of that hospital until then (median)": float(np.median(after)) if after else None,
            "false alarms in runs where all are alike": cried,
        }
    return out


def _looked(rng: np.random.Generator, sizes: np.ndarray, bad: bool) -> int | None:
    """A hundred looks, 500 rows apart. Error 8 % everywhere; in one hospital of middle size 30 %."""
    chosen = int(np.argsort(sizes)[len(sizes) // 2])
    rates = np.full(len(sizes), 0.08)
    rates[chosen] = 0.3 if bad else 0.08
    rows, wrong = np.zeros(len(sizes), dtype=int), np.zeros(len(sizes), dtype=int)
    for _ in range(100):
        new = rng.multinomial(500, sizes)
        rows, wrong = rows + new, wrong + rng.binomial(new, rates)
        listed = [
            SliceRows(str(at), int(n), int(k), int(rows.sum() - n), int(wrong.sum() - k))
            for at, (n, k) in enumerate(zip(rows, wrong, strict=True))
        ]
        raised = [each for each in judge_slices(listed) if each.alarm]
        if raised:
            return int(rows[chosen])
    return None


PARTS = {"alarms": alarms, "clean": clean, "estimates": estimates, "slices": slices}


def main(words: list[str]) -> None:
    """Measure the parts that are named, or all."""
    folder, wanted = Path(words[0]), words[1:] or list(PARTS)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for part in wanted:
        results[part] = PARTS[part](folder)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        print(part, json.dumps(results[part], indent=1), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
