"""A notebook's two questions: is this table different, and what is wrong with it?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trimtab import api
from trimtab.core.domain.diagnosis import Kind, Remedy
from trimtab.core.domain.errors import DataError


def stream(seed: int, days: int, first: int = 0) -> pd.DataFrame:
    """Rows whose label depends on ``load`` and ``kind``; 150 a day."""
    rng = np.random.default_rng(seed)
    size = 150 * days
    load = np.repeat(rng.normal(0, 0.3, days), 150) + rng.normal(size=size)
    kind = rng.choice(["a", "b", "c"], size, p=[0.5, 0.3, 0.2])
    p = 1 / (1 + np.exp(-(1.5 * load + (kind == "b") - 0.5)))
    at = pd.Timestamp("2024-01-01") + pd.to_timedelta(first + np.arange(size) / 150, unit="D")
    return pd.DataFrame(
        {"at": at, "load": load, "kind": kind, "noise": rng.normal(size=size), "y": rng.random(size) < p}
    )


def test_drift_of_files_and_frames(tmp_path: Path) -> None:
    """Two Parquet files from a colleague; the second one's kinds are others."""
    reference, current = stream(1, 60), stream(2, 1, first=60)
    reference.to_parquet(tmp_path / "reference.parquet")
    assert not api.drift(tmp_path / "reference.parquet", current.drop(columns="y"), time="at", ignore=["y"]).drifted
    current["kind"] = np.where(np.arange(len(current)) % 2, "a", "z")
    result = api.drift(reference, iter([current[:70], current[70:]]), time="at", ignore=["y"])
    assert result.drifted
    assert result.calibrated
    assert result.rows == 150
    assert next(iter(result.features.values())).name == "kind"


def test_diagnose_two_tables() -> None:
    """The newest month, labels of the last days missing: a column went empty on day 10."""
    reference, current = stream(3, 60), stream(4, 20, first=60)
    current["y"] = current["y"].astype(object).where(np.arange(len(current)) < 150 * 17)
    clean = api.diagnose(reference, current, "y", "at", blocks=20)
    assert clean.diagnosis.kind in (Kind.NONE, Kind.HARMLESS_SHIFT)
    current.loc[current.index >= 1500, "load"] = np.nan
    found = api.diagnose(reference, current, "y", "at", blocks=20).diagnosis
    assert (found.kind, found.remedy, found.features) == (Kind.DATA_FAULT, Remedy.FIX_DATA, ("load",))
    onset = pd.Timestamp("2024-01-01") + pd.Timedelta(days=70)
    assert found.since is not None
    assert abs(found.since - onset.timestamp()) <= 86400


def test_a_changed_relation_with_the_users_own_model() -> None:
    """A model from elsewhere is handed over; for two of three kinds the relation turns round on day 10."""
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    reference, current = stream(5, 60), stream(6, 25, first=60)
    features = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["kind"]), ("passthrough", ["load", "noise"])
    )
    old = reference[: int(0.8 * len(reference))]
    model = make_pipeline(features, LogisticRegression()).fit(old[["load", "kind", "noise"]], old["y"])
    turned = (current.index >= 1500) & (current["kind"] != "a")
    current["y"] ^= turned
    found = api.diagnose(reference, current, "y", "at", model=model, blocks=25).diagnosis
    assert (found.kind, found.remedy) == (Kind.SUDDEN_DRIFT, Remedy.RETRAIN)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"target": "why"}, "column 'why' is not in the table; did you mean 'y'|it has"),
        ({"time": "kind"}, "must hold times"),
        ({"current": stream(1, 2)[["at", "y"]]}, "column 'load' is not in the table"),
        ({"current": stream(1, 2)[:0]}, "the current table has no rows"),
        ({"reference": stream(1, 2).assign(y=True)}, "only the value '1'"),
    ],
)
def test_bad_input_is_named(change: dict[str, object], match: str) -> None:
    """A typo in a notebook."""
    arguments = {"reference": stream(1, 2), "current": stream(2, 2), "target": "y", "time": "at", **change}
    with pytest.raises(DataError, match=match):
        api.diagnose(**arguments)  # type: ignore[arg-type]
