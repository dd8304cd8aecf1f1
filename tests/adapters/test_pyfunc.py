"""A real model, registered, loaded by people who know MLflow and not Trimtab."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.adapters.packages import make_run
from trimtab.adapters.mlflow import MlflowRegistry
from trimtab.core.domain.errors import DataError
from trimtab.serving import package as packages


@pytest.fixture
def frame() -> pd.DataFrame:
    times = pd.date_range("2013-01-01", periods=40, freq="h", tz="UTC")
    return pd.DataFrame({"distance": np.linspace(0, 1, 40), "stops": [0, 1] * 20, "departed_at": times})


@pytest.fixture
def package(tmp_path: Path, frame: pd.DataFrame) -> Path:
    """A logistic regression on three types of columns, stored natively."""
    from sklearn.linear_model import LogisticRegression
    from skops import io

    numbers = frame.assign(departed_at=frame["departed_at"].astype("int64") / 1e15, stops=frame["stops"].astype(float))
    model = LogisticRegression().fit(numbers.rename(columns=str), frame["distance"] > 0.5)
    folder = tmp_path / "package"
    folder.mkdir()
    io.dump(model, folder / "model.skops")
    settings: dict[str, Any] = {"columns": {name: {"dtype": "float64"} for name in numbers.columns}}
    signature = packages.Signature(
        model="flights",
        task="classification",
        target="late",
        inputs=(
            packages.InputSpec("distance", "float64", nullable=False),
            packages.InputSpec("stops", "int64", nullable=False),
            packages.InputSpec("departed_at", "float64"),
        ),
        classes=(False, True),
        runtime=packages.RuntimeSpec("native", ("model.skops",), settings=settings),
    )
    packages.write_signature(folder, signature)
    rows = numbers.head(2).to_dict("records")
    scores = model.predict_proba(numbers.head(2))
    outputs = [packages.ExampleOutput(bool(pair[1] > 0.5), (float(pair[0]), float(pair[1]))) for pair in scores]
    packages.write_example(folder, [{**row, "stops": int(row["stops"])} for row in rows], outputs)
    packages.seal(folder)
    return folder


def test_load_model_by_alias(
    package: Path, tmp_path: Path, mlflow_uri: str, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook asks for the champion and scores a frame with it."""
    registry = MlflowRegistry(mlflow_uri, tmp_path / "artifacts", "flights", "flights")
    registry.register(make_run(package))
    registry.set_alias("champion", 1)
    import mlflow

    monkeypatch.chdir(tmp_path)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(mlflow_uri)
    try:
        model = mlflow.pyfunc.load_model("models:/flights@champion")
    finally:
        mlflow.set_tracking_uri(before)
    rows = frame.assign(departed_at=frame["departed_at"].astype("int64") / 1e15)
    predicted = model.predict(rows)
    assert predicted.dtype == np.bool_
    assert predicted.tolist() == (frame["distance"] > 0.5).tolist()
    scored = model.predict(rows.tail(3), params={"scores": True})
    assert list(scored.columns) == ["prediction", "score.false", "score.true"]
    assert list(scored.index) == [37, 38, 39]
    assert np.allclose(scored["score.false"] + scored["score.true"], 1)
    with pytest.raises(mlflow.exceptions.MlflowException, match="distance"):
        model.predict(rows.drop(columns="distance"))


def test_columns_reach_the_model_in_its_own_form() -> None:
    """Frames of all kinds: nullable types, times with and without a zone, None, columns left out."""
    from trimtab.adapters.mlflow.pyfunc import _column
    from trimtab.serving.package import InputSpec

    data = pd.DataFrame(
        {
            "whole": pd.array([1, None], "Int64"),
            "flag": pd.array([True, None], "boolean"),
            "when": pd.to_datetime(["1970-01-01 00:00:01.5", None]),
            "carrier": pd.Series(["AA", None], dtype="string"),
            "code": pd.Series(["AA", "B7"], dtype="category"),
        }
    )
    np.testing.assert_array_equal(_column(data, InputSpec("whole", "int64")), [1.0, np.nan])
    np.testing.assert_array_equal(_column(data, InputSpec("flag", "bool")), [1.0, np.nan])
    np.testing.assert_array_equal(_column(data, InputSpec("when", "datetime")), [1.5, np.nan])
    assert _column(data, InputSpec("carrier", "string")).tolist() == ["AA", None]
    assert _column(data, InputSpec("code", "string")).tolist() == ["AA", "B7"]
    assert _column(data, InputSpec("gone", "string")).tolist() == [None, None]
    assert np.isnan(_column(data, InputSpec("gone", "float64")).astype(float)).all()
    with pytest.raises(DataError, match="column 'gone' is missing; found whole, flag"):
        _column(data, InputSpec("gone", "float64", nullable=False))
    with pytest.raises(DataError, match="column 'carrier' must be float64"):
        _column(data, InputSpec("carrier", "float64"))
