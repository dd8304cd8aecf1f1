"""Score `trimtab.diagnose` on incidents put into hosts.

    python benchmarks/incidents/run.py [--data FOLDER] [--hosts known|held-out|all|a,b] [--levels middle]
        [--scenarios all|a,b] [--orders shuffled,real] [--seeds 2] [--out results.json] [--export FOLDER]

Beside it, ADWIN on the losses of the same rows. `--export` keeps the incidents as files, for `peers.py`.

One process. Prints a line per miss and tables at the end. Hosts that need the folder are left out without it.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from hosts import LISTED, PACKAGED, TARGET, TIME, Host, host, shuffled
from report import tables

from incidents import LEVELS, QUIET, REFERENCE, SCENARIOS, Incident, NotHereError, make
from trimtab import api
from trimtab.core.profiles.scorecard import row_losses
from trimtab.offline import Delay, Live, OfflineModel
from trimtab.replay.backtest.adwin import Adwin


def ranked(found: Host, fitted: OfflineModel) -> list[str]:
    """Features by what shuffling them costs the model on the newest fifth of the reference."""
    rows = np.arange(fitted.cut, len(fitted.times))[:2500]
    frame = fitted.frame(
        {
            name: column[rows] if isinstance(column, np.ndarray) else column.take(rows)
            for name, column in fitted.features.items()
        }
    )
    rng, labels = np.random.default_rng(0), fitted.labels[rows]
    cost = {}
    for name in found.features:
        mixed = frame.copy()
        mixed[name] = (
            frame[name].to_numpy()[rng.permutation(len(frame))]
            if frame[name].dtype != "category"
            else frame[name].iloc[rng.permutation(len(frame))].to_numpy()
        )
        if frame[name].dtype == "category":
            mixed[name] = pd.Categorical(mixed[name], categories=frame[name].cat.categories)
        cost[name] = _loss(fitted, mixed, labels)
    return sorted(cost, key=lambda name: -cost[name])


def _loss(fitted: OfflineModel, frame: pd.DataFrame, labels: np.ndarray) -> float:
    if not fitted.classes:
        return float(np.nanmean(np.abs(fitted.fitted.predict(frame) - labels)))
    p = fitted.fitted.predict_proba(frame)
    return float(np.nanmean((p[:, 1] - labels) ** 2))


class World:
    """A host in one order, with a model that is fitted once."""

    def __init__(self, found: Host) -> None:
        self.host = found
        reference = found.frame.iloc[: int(REFERENCE * len(found.frame))]
        self.model = OfflineModel.fit(reference, TARGET, TIME, (), None, Delay())
        self.top = ranked(found, self.model)


def score(world: World, incident: Incident) -> dict[str, Any]:
    """What the diagnosis said, and whether it was right."""
    began = perf_counter()
    same = incident.scenario != "segment"
    found = api.diagnose(
        incident.reference, incident.current, TARGET, TIME, model=world.model.fitted if same else None
    ).diagnosis
    action, times = found.remedy.value, incident.current[TIME]
    out: dict[str, Any] = {
        "host": world.host.name,
        "held_out": world.host.held_out,
        "scenario": incident.scenario,
        "level": incident.level,
        "recipe": incident.recipe,
        "kind": found.kind.value,
        "action": action,
        "right": action in incident.right,
        "seconds": round(perf_counter() - began, 2),
        "reasons": [f"{each.code}: {each.text}" for each in found.reasons[:3]],
        "alternatives": {each.kind.value: round(float(each.weight), 3) for each in found.alternatives},
    }
    if incident.columns:
        out["columns"] = set(found.features) == incident.columns
        out["named"], out["truth"] = sorted(found.features), sorted(incident.columns)
    if incident.onset is not None and action not in QUIET and found.since is not None:
        span = (times.max() - times.min()).total_seconds()
        since = pd.Timestamp(found.since, unit="s").tz_localize(None)
        rows = abs(int((times < since).sum()) - int((times < incident.onset).sum())) / len(times)
        out["off"] = round(min(abs((since - incident.onset).total_seconds()) / span, rows), 4)
    return out


def adwin(world: World, incident: Incident) -> bool:
    """Whether ADWIN (0.002) on the losses of the model, reference tail first, cuts with a higher mean in current."""
    held = None if incident.scenario == "segment" else world.model.fitted
    model = OfflineModel.fit(incident.reference, TARGET, TIME, (), held, Delay())
    live = Live.of(model, incident.current, ())
    tail = model.labels[len(model.labels) - len(model.tail_scores()) :]
    known, new = row_losses(model.tail_scores(), tail), row_losses(live.scores, live.labels)
    known, new = known[np.isfinite(known)], new[np.isfinite(new)]
    top = float(np.quantile(known, 0.99)) or 1.0
    detector = Adwin()
    detector.add_all(np.clip(known / top, 0, 1))
    return any((cut := detector.add_all(part)) is not None and cut[1] > cut[0] for part in _parts(new / top))


def _parts(values: np.ndarray) -> list[np.ndarray]:
    return [np.clip(part, 0, 1) for part in np.array_split(values, max(len(values) // 32, 1))]


def keep(folder: Path, row: dict[str, Any], incident: Incident, right: list[str]) -> None:
    """Both tables and what is right, for tools in environments of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    name = "-".join(str(row[key]) for key in ("host", "order", "scenario", "level", "seed"))
    for part, frame in (("reference", incident.reference), ("current", incident.current)):
        plain = frame.assign(**{TARGET: pd.to_numeric(frame[TARGET], errors="coerce")})
        texts = [c for c in plain.columns if plain[c].dtype == object]
        plain.astype(dict.fromkeys(texts, "string")).to_parquet(folder / f"{name}.{part}.parquet")
    (folder / f"{name}.json").write_text(json.dumps({**row, "right_actions": right}))


def plan(args: argparse.Namespace) -> Iterator[tuple[World, str, str, int, str]]:
    names = [*PACKAGED, *(LISTED if args.data else {})]
    held = {**PACKAGED, **{name: each[0] for name, each in LISTED.items()}}
    if args.hosts in ("known", "held-out"):
        names = [name for name in names if held[name] == (args.hosts == "held-out")]
    elif args.hosts != "all":
        names = args.hosts.split(",")
    scenarios = list(SCENARIOS) if args.scenarios == "all" else args.scenarios.split(",")
    for name in names:
        real = host(name, args.data, args.rows)
        for order in args.orders.split(","):
            world = World(
                shuffled(real, np.random.default_rng(zlib.crc32(name.encode()))) if order == "shuffled" else real
            )
            for scenario in scenarios:
                for level in args.levels.split(","):
                    for seed in range(args.first_seed, args.first_seed + args.seeds):
                        yield world, scenario, level, seed, order


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--hosts", default="known")
    parser.add_argument("--scenarios", default="all")
    parser.add_argument("--levels", default="middle", help=",".join(LEVELS))
    parser.add_argument("--orders", default="shuffled")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--export", type=Path, default=None)
    args = parser.parse_args()
    done: list[dict[str, Any]] = []
    for world, scenario, level, seed, order in plan(args):
        rng = np.random.default_rng(zlib.crc32(f"{world.host.name} {scenario} {level} {seed}".encode()))
        late, retimed = bool(rng.random() < 0.3), bool(rng.random() < 0.5)
        try:
            incident = make(world.host, scenario, level, rng, world.top, retimed=retimed, late=late)
        except NotHereError:
            continue
        row = {**score(world, incident), "seed": seed, "order": order, "late": late, "retimed": retimed}
        row["adwin"] = adwin(world, incident)
        if args.export:
            keep(args.export, row, incident, sorted(incident.right))
        done.append(row)
        if not row["right"] or row.get("columns") is False or row.get("off", 0.0) > 0.05:
            print(_line(row), flush=True)
    print(tables(done))
    if args.out:
        args.out.write_text(json.dumps(done, indent=1, ensure_ascii=False) + "\n")


def _line(row: dict[str, Any]) -> str:
    columns = "" if row.get("columns", True) else f" named {row['named']} not {row['truth']}"
    late = " late" if row["late"] else ""
    return (
        f"{row['host']:<18} {row['order']:<8} {row['level']:<6} {row['scenario']:<9} {row['seed']} "
        f"{'ok ' if row['right'] else 'NO '} {row['action']} ({row['kind']}) off {row.get('off')}{columns}{late} | "
        f"{row['recipe'][:60]} | {'; '.join(row['reasons'])[:150]}"
    )


if __name__ == "__main__":
    main()
