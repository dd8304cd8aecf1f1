"""A small labelled history, and the log that a server would have written of its later part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from trimtab.core.domain.times import DAY_S, HOUR_S
from trimtab.project.settings import Project

START = 1_700_000_000.0
PROJECT = {
    "name": "parcels",
    "task": "classification",
    "data": {"files": "data/*.parquet", "time": "sent_at", "target": "late", "entity": "customer", "ignore": ["row"]},
}


def frame(rows: int = 3000, seed: int = 0, start: float = START, days: float = 30.0) -> pd.DataFrame:
    """Parcels: late more often by some carriers, from afar and in rain."""
    rng = np.random.default_rng(seed)
    distance = rng.gamma(2.0, 200.0, rows)
    rain = np.where(rng.random(rows) < 0.05, np.nan, rng.gamma(1.0, 2.0, rows))
    carrier = rng.choice(np.array(["north", "south", "west"], dtype=object), rows)
    logit = -2.0 + distance / 400 + np.nan_to_num(rain) / 3 + (carrier == "south") * 1.5
    at = np.sort(rng.uniform(start, start + days * DAY_S, rows)).round(3)
    return pd.DataFrame(
        {
            "sent_at": pd.to_datetime((at * 1e6).round().astype("int64"), unit="us", utc=True),
            "row": np.arange(rows),
            "customer": [f"c{i}" for i in rng.integers(0, 500, rows)],
            "carrier": carrier,
            "distance": distance,
            "rain": rain,
            "pieces": rng.integers(1, 6, rows),
            "fragile": rng.random(rows) < 0.2,
            "late": rng.random(rows) < 1 / (1 + np.exp(-logit)),
        }
    )


def project(**data: object) -> Project:
    """The settings, with some of ``data`` changed; sections by their names."""
    sections = {name: data.pop(name) for name in ("estimator", "gates", "retraining", "task") if name in data}
    return Project.model_validate(PROJECT | sections | {"data": {**PROJECT["data"], **data}})


def write(root: Path, table: pd.DataFrame, name: str = "history.parquet") -> Path:
    """Put a file under ``data/``."""
    path = root / "data" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".csv"):
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path)
    return path


def write_log(
    logs: Path,
    table: pd.DataFrame,
    name: str,
    *,
    shadow: bool = False,
    error: str | None = None,
    arrived: float = START,
) -> list[str]:
    """One file of predictions as docs/formats.md says; their ids."""
    ids = [f"{name}-{i:05d}" for i in range(len(table))]
    stamp = pa.timestamp("us", tz="UTC")
    when = [int((arrived + i) * 1e6) for i in range(len(table))]
    columns = {
        "prediction_id": pa.array(ids),
        "time": pa.array(when, stamp),
        "event_time": pa.array(table["sent_at"], stamp),
        "version": pa.array([1] * len(table), pa.int32()),
        "arm": pa.array(["champion"] * len(table)),
        "shadow": pa.array([shadow] * len(table)),
        "entity": pa.array(table["customer"].tolist(), pa.string()),
        "generation": pa.array([1] * len(table), pa.int32()),
        "latency_ms": pa.array([1.0] * len(table), pa.float32()),
        "error": pa.array([error] * len(table), pa.string()),
        "y.prediction": pa.array(["false"] * len(table)),
    }
    for feature in ("carrier", "distance", "rain", "pieces", "fragile"):
        columns[f"x.{feature}"] = pa.Array.from_pandas(table[feature])
    _put(logs / "predictions", name, pa.table(columns))
    return ids


def write_labels(
    logs: Path, ids: list[str], labels: list[str], known: list[float], name: str, arrived: float = START
) -> None:
    """One file of labels."""
    stamp = pa.timestamp("us", tz="UTC")
    columns = {
        "prediction_id": pa.array(ids),
        "label": pa.array(labels),
        "label_time": pa.array([int(at * 1e6) for at in known], stamp),
        "time": pa.array([int(arrived * 1e6)] * len(ids), stamp),
    }
    _put(logs / "labels", name, pa.table(columns))


def _put(folder: Path, name: str, table: pa.Table) -> None:
    path = folder / "date=2026-01-01" / "hour=00" / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def texts(table: pd.DataFrame) -> list[str]:
    """The labels as their text in the log."""
    return [str(bool(value)).lower() for value in table["late"]]


def soon(table: pd.DataFrame) -> list[float]:
    """Labels known two hours after the event."""
    return [at.timestamp() + 2 * HOUR_S for at in table["sent_at"]]
