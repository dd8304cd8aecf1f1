"""Real streams of losses: a model trained on the oldest rows of a table, its scores on all later ones."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

TIME, TARGET = "event_time", "target"
NEVER: dict[str, list[str]] = {
    "acs_employment_ma": ["year"],
    "chicago_taxi": ["tips"],
    "lending_club": ["label_time"],
    "nyc_flights": ["label_time", "dep_delay", "arr_delay"],
    "elec2": ["date", "nswprice"],
    "hotel_bookings": [
        "label_time",
        "arrival_date",
        "country",
        "booking_changes",
        "days_in_waiting_list",
        "required_car_parking_spaces",
    ],
    "car_loan_dq": ["id", "y_pred", "y_pred_proba"],
    "card_fraud_sim": ["label_time", "fraud_scenario"],
}
"""Columns that are never features."""
CLUSTERED = ("nyc_flights", "elec2")
EXCHANGEABLE = ("acs_employment_ma", "chicago_taxi", "lending_club")


@dataclass(frozen=True)
class Stream:
    """The rows that a model did not learn from, oldest first."""

    name: str
    features: pd.DataFrame
    times: np.ndarray
    """(n,) seconds since the epoch."""
    labels: np.ndarray
    """(n,) 0 or 1."""
    scores: np.ndarray
    """(n,) the model's score of 1."""
    weights: dict[str, float]
    """What shuffling a feature costs in Brier score, largest first."""

    def __len__(self) -> int:
        return len(self.labels)


def table(folder: Path, name: str) -> pd.DataFrame:
    """The table in order of time, without the columns that are never features; text as categories."""
    frame = pd.read_parquet(folder / name / f"{name}.parquet").sort_values(TIME, kind="stable").reset_index(drop=True)
    frame = frame.drop(columns=[each for each in NEVER[name] if each in frame])
    for column in frame.columns.difference([TIME, TARGET]):
        numeric = pd.api.types.is_numeric_dtype(frame[column])
        if numeric:
            frame[column] = frame[column].astype(float)
        else:
            kept = frame[column].value_counts().index[:200]
            frame[column] = frame[column].where(frame[column].isin(kept)).astype("category")
    return frame


def stream(folder: Path, name: str, share: float = 0.15) -> Stream:
    """Trained on the oldest ``share`` of the rows (at least 2,000), scored on all others."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    frame = table(folder, name)
    cut = max(int(share * len(frame)), 2000)
    features = frame.drop(columns=[TIME, TARGET])
    labels = frame[TARGET].to_numpy().astype(int)
    model = HistGradientBoostingClassifier(
        max_iter=100, learning_rate=0.1, categorical_features="from_dtype", random_state=0
    )
    model.fit(features[:cut], labels[:cut])
    later = features[cut:].reset_index(drop=True)
    scores = model.predict_proba(later)[:, 1]
    times = frame[TIME].to_numpy().astype("datetime64[us]").astype(np.int64)[cut:] / 1e6
    return Stream(name, later, times, labels[cut:], scores, _weights(model, later[:3000], labels[cut:][:3000]))


def _weights(model: object, rows: pd.DataFrame, labels: np.ndarray) -> dict[str, float]:
    rng = np.random.default_rng(0)
    usual = float(np.mean((model.predict_proba(rows)[:, 1] - labels) ** 2))  # type: ignore[attr-defined]
    out = {}
    for column in rows.columns:
        mixed = rows.assign(**{column: rows[column].iloc[rng.permutation(len(rows))].to_numpy()})
        mixed[column] = mixed[column].astype(rows[column].dtype)
        out[column] = float(np.mean((model.predict_proba(mixed)[:, 1] - labels) ** 2)) - usual  # type: ignore[attr-defined]
    return dict(sorted(out.items(), key=lambda item: -item[1]))


def shuffled(found: Stream, rows: int, onset: int | None, p: float, seed: int) -> np.ndarray:
    """(rows,) Brier losses in chance order; from ``onset`` on the labels of half of the feature space flip with ``p``.

    Half: the upper half of a column, one of the three heaviest, chosen by the seed (the more frequent levels of text).
    """
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(found), rows, replace=rows > len(found))
    labels = found.labels[chosen].copy()
    if onset is not None:
        column = list(found.weights)[seed % 3]
        side = _half(found.features[column]).to_numpy()[chosen]
        hit = side & (np.arange(rows) >= onset) & (rng.random(rows) < p)
        labels[hit] = 1 - labels[hit]
    return (found.scores[chosen] - labels) ** 2


def _half(values: pd.Series) -> pd.Series:
    if values.dtype.kind == "f":
        return values > values.median()
    counts = values.value_counts(normalize=True)
    share, kept = 0.0, []
    for level, each in counts.items():
        if kept and share + each > 0.6:
            continue
        kept.append(level)
        share += each
        if share >= 0.5:
            break
    return values.isin(kept)


def _write(folder: Path, out: Path) -> None:
    """Labels and scores of every stream, for tools that live in an environment of their own."""
    out.mkdir(parents=True, exist_ok=True)
    for name in NEVER:
        found = stream(folder, name)
        np.savez(out / f"{name}.npz", y=found.labels, s=found.scores)


if __name__ == "__main__":
    _write(Path(sys.argv[1]), Path(sys.argv[2]))
