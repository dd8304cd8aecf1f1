"""Gates of whole runs: a leak that was planted in the data, slices, groups, and what a person vouched for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.training.rows import START, frame, project, write
from trimtab.adapters.dvc import DvcStore
from trimtab.adapters.mlflow import MlflowRegistry
from trimtab.core.domain.times import DAY_S
from trimtab.training.guards import groups_of
from trimtab.training.pipeline import Services, run
from trimtab.training.spec import TrainSpec

NOW = START + 60 * DAY_S
QUICK = {"parameters": {"max_iter": 20}}


def train(root: Path, table: pd.DataFrame, job: str = "j", champion: int | None = None, **more: Any) -> dict[str, Any]:
    write(root, table)
    registry = MlflowRegistry(f"sqlite:///{root}/mlflow.db", root / "artifacts", "parcels", "parcels")
    services = Services(project(estimator=QUICK, **more), root, registry, DvcStore(root))
    result = run(TrainSpec(job, "demand", now=NOW, champion=champion), services)
    return {"outcome": result["outcome"], "version": result["version"]} | {g["gate"]: g for g in result["gates"]}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("project")


def test_a_column_filled_in_after_the_outcome_is_rejected(root: Path) -> None:
    """``refund`` is paid to those whose parcel was late."""
    table = frame(1500)
    table["refund"] = np.where(table["late"], 5.0, np.nan)
    result = train(root, table)
    assert result["outcome"] == "rejected"
    assert result["leakage"]["verdict"] == "failed"
    assert "refund alone tells late" in result["leakage"]["text"]


def test_a_person_may_vouch_and_slices_and_groups_are_judged(root: Path) -> None:
    """The scan of the sorting machine is nearly sure, and it is there before the prediction."""
    table = frame(2000, seed=1)
    flipped = np.random.default_rng(1).uniform(size=2000) < 0.015
    table["scan"] = np.where(table["late"] ^ flipped, 1.0, 0.0)
    gates = {"leakage": {"known": ["scan"]}, "fairness": {"columns": ["carrier"], "limit": 0.9}}
    first = train(root, table, "vouched", gates=gates, slices=["carrier", "fragile"])
    assert first["leakage"]["verdict"] == "successful"
    assert "vouched for: scan" in first["leakage"]["text"]
    assert "slices is shown" in first["slices"]["text"]
    assert first["fairness"]["verdict"] == "successful"
    assert first["memory"]["value"] > 20
    second = train(root, table, "next", champion=first["version"], gates=gates, slices=["carrier"])
    assert second["churn"]["text"].startswith("0.0 % of the rows were right with")


def test_events_that_were_logged_twice_are_found(root: Path) -> None:
    """The feed was replayed: the same parcels again ten days later, with another time and row number."""
    table = frame(1500, seed=2)
    again = table.iloc[:600].copy()
    again["sent_at"] += pd.Timedelta(days=30)
    again["row"] += 10_000
    result = train(root, pd.concat([table, again]), "twice")
    assert result["leakage"]["verdict"] == "failed"
    assert "of the evaluation rows are copies" in result["leakage"]["text"]


def test_numbers_of_many_values_are_quartered() -> None:
    """``data.slices: [distance]``."""
    values = pa.chunked_array([np.r_[np.arange(100.0), np.nan]])
    names = [name for name, _ in groups_of(values)]
    assert names == ["0 to 24.75", "24.75 to 49.5", "49.5 to 74.25", "74.25 to 99", "missing"]
    assert sum(rows.sum() for _, rows in groups_of(values)) == 101
