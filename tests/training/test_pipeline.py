"""Whole training runs through the real registry (MLflow), data store (DVC format), packager and server."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.training.rows import START, frame, project, soon, texts, write, write_labels, write_log
from trimtab.adapters.dvc import DvcStore
from trimtab.adapters.files import ParquetLogReader
from trimtab.adapters.mlflow import MlflowRegistry
from trimtab.core.domain.errors import DataError, EstimatorError, ExternalError
from trimtab.core.domain.times import DAY_S
from trimtab.core.domain.verdict import Verdict
from trimtab.core.profiles.baseline import Baseline
from trimtab.ports import DataVersion
from trimtab.serving.package import read_signature, verify
from trimtab.training.pipeline import Services, run
from trimtab.training.spec import Quarantine, TrainSpec

NOW = START + 60 * DAY_S
QUICK = {"parameters": {"max_iter": 30}}


def spec(job: str, **more: object) -> TrainSpec:
    return TrainSpec(**({"job": job, "trigger": "demand", "now": NOW} | more))  # type: ignore[arg-type]


def services(root: Path, registry: MlflowRegistry, **data: object) -> Services:
    settings = project(**({"estimator": QUICK} | data))
    return Services(settings, root, registry, DvcStore(root), ParquetLogReader(root / ".trimtab/logs"))


def snapshot(root: Path, job: str) -> pd.DataFrame:
    """The rows that the run's record stands for."""
    return pd.concat(
        [pq.ParquetFile(path).read().to_pandas() for path in sorted((root / "data/snapshots" / job).iterdir())]
    )


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, MlflowRegistry, dict[str, Any]]:
    """A project with a history of thirty days and a first version."""
    root = tmp_path_factory.mktemp("project")
    write(root, frame(3000))
    registry = MlflowRegistry(f"sqlite:///{root}/mlflow.db", root / "artifacts", "parcels", "parcels")
    return root, registry, run(spec("first"), services(root, registry))


@pytest.fixture
def again(first: tuple[Path, MlflowRegistry, dict[str, Any]]) -> Iterator[tuple[Path, MlflowRegistry]]:
    """The same project, its log and files as they were afterwards."""
    root, registry, _ = first
    path = root / "data/history.parquet"
    content = path.read_bytes()
    yield root, registry
    path.write_bytes(content)


def test_a_first_version_is_registered_with_all_that_made_it(
    first: tuple[Path, MlflowRegistry, dict[str, Any]], tmp_path: Path
) -> None:
    """`trimtab train` in a new project."""
    root, registry, result = first
    assert result["outcome"] == "registered"
    assert {gate["gate"]: gate["verdict"] for gate in result["gates"]} == {
        "performance": "successful",
        "latency": "successful",
        "parity": "successful",
        "leakage": "successful",
        "memory": "successful",
        "calibration": "successful",
        "missing": "successful",
    }
    assert result["rows"]["training"] + result["rows"]["evaluation"] == 3000
    record = registry.get(result["version"])
    assert record.deployable
    assert record.data_version.endswith(".dir")
    assert record.metrics["log_loss"] == pytest.approx(result["record"]["metrics"]["log_loss"])
    assert json.loads(json.dumps(result)) == json.loads(json.dumps(result, default=str))
    rows = snapshot(root, "first")
    trained = rows[rows["sent_at"].map(lambda t: t.timestamp()) <= record.trained_until]
    assert len(trained) == result["rows"]["training"]
    assert trained["sent_at"].min().timestamp() == pytest.approx(record.trained_from)
    package = registry.fetch(record.version, tmp_path / "package")
    assert verify(package) == record.manifest
    signature = read_signature(package)
    assert signature.names == ("carrier", "distance", "rain", "pieces", "fragile")
    assert (signature.classes, signature.positive_class, signature.entity) == ((False, True), True, "customer")
    baseline = Baseline.from_bytes((package / "baseline.bin").read_bytes())
    assert baseline.total.rows == 3000
    assert max(baseline.importance, key=lambda name: baseline.importance[name]) == "distance"


def test_the_snapshot_can_be_restored_by_its_version(
    first: tuple[Path, MlflowRegistry, dict[str, Any]], tmp_path: Path
) -> None:
    """A year later, on another machine: the exact rows come back from the store."""
    root, _, result = first
    digest = result["record"]["data_version"]
    version = DvcStore(root).snapshot(root / "data/snapshots/first")
    assert version.digest == digest
    DvcStore(root).restore(version, tmp_path / "back")
    for path in (root / "data/snapshots/first").iterdir():
        assert (tmp_path / "back" / path.name).read_bytes() == path.read_bytes()


def test_a_retrain_on_production_data_meets_the_champion_on_the_same_rows(
    again: tuple[Path, MlflowRegistry], first: tuple[Path, MlflowRegistry, dict[str, Any]]
) -> None:
    """Fifteen days later: labelled traffic was collected, a broken week is in quarantine, young labels wait."""
    root, registry = again
    later = frame(1500, seed=5, start=START + 30 * DAY_S, days=15.0)
    ids = write_log(root / ".trimtab/logs", later, "a")
    write_labels(root / ".trimtab/logs", ids, texts(later), soon(later), "l")
    broken = Quarantine(START + 33 * DAY_S, START + 36 * DAY_S, ("rain",))
    now = START + 44 * DAY_S
    champion = first[2]["version"]
    result = run(
        spec("second", now=now, quarantines=(broken,), champion=champion, trigger="drift"), services(root, registry)
    )
    rows = snapshot(root, "second")
    at = rows["sent_at"].map(lambda t: t.timestamp()).to_numpy()
    events = later["sent_at"].map(lambda t: t.timestamp()).to_numpy()
    inside = (events >= broken.since) & (events <= (broken.until or 0))
    assert inside.sum() > 100
    assert not ((at >= broken.since) & (at <= (broken.until or 0))).any()
    assert result["rows"]["quarantined"] == inside.sum()
    assert result["rows"]["immature"] == (events > now).sum() - 0 or result["rows"]["immature"] >= (events > now).sum()
    assert len(rows) == 3000 + 1500 - inside.sum() - result["rows"]["immature"]
    assert result["outcome"] == "registered", result["gates"]
    performance = result["gates"][0]
    assert f"of champion v{champion} + 0.01" in performance["text"]
    assert registry.get(result["version"]).compared_to == champion


def test_the_champion_against_its_own_copy_differs_by_nothing(
    again: tuple[Path, MlflowRegistry], first: tuple[Path, MlflowRegistry, dict[str, Any]], tmp_path: Path
) -> None:
    """Training twice on the same data: the same model to the byte, and the comparison is really paired."""
    root, registry = again
    result = run(
        spec("twin", champion=first[2]["version"], until=START + 30 * DAY_S), services(root, registry, collect=False)
    )
    for name in ("encoder.json", "baseline.bin", "example.json"):
        one, two = (registry.fetch(v, tmp_path / f"v{v}") / name for v in (result["version"], first[2]["version"]))
        assert one.read_bytes() == two.read_bytes()
    assert result["record"]["data_version"] == first[2]["record"]["data_version"]
    assert abs(result["gates"][0]["value"]) < 1e-9


def test_a_worse_candidate_is_rejected_and_kept_on_record(
    again: tuple[Path, MlflowRegistry], first: tuple[Path, MlflowRegistry, dict[str, Any]]
) -> None:
    """Somebody broke the features of the file: the champion stays, the registry says why."""
    root, registry = again
    rng = np.random.default_rng(3)
    table = frame(3000)
    table["distance"] = np.where(table.index < 2400, rng.permutation(table["distance"]), table["distance"])
    table["carrier"] = np.where(table.index < 2400, "north", table["carrier"])
    write(root, table)
    result = run(spec("worse", champion=first[2]["version"]), services(root, registry, collect=False))
    # The champion was trained on rows up to the same day, so that all evaluation rows are new to it.
    assert result["outcome"] == "rejected", result["gates"]
    assert result["gates"][0]["verdict"] == "failed"
    assert " > " in result["gates"][0]["text"]
    record = registry.get(result["version"])
    assert record.verdict is Verdict.FAILED
    assert not record.deployable
    assert result["version"] not in registry.aliases().values()


def test_a_champion_that_cannot_be_loaded_is_no_pass(again: tuple[Path, MlflowRegistry]) -> None:
    """Its artifacts were deleted by hand."""
    root, registry = again
    result = run(spec("orphan", champion=999), services(root, registry, collect=False))
    assert result["outcome"] == "rejected"
    assert result["gates"][0]["verdict"] == "error"
    assert "could not measure: champion v999" in result["gates"][0]["text"]


def test_killed_before_it_was_registered_it_runs_again(
    again: tuple[Path, MlflowRegistry], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine goes down in the middle; the same job is started again and leaves one version."""
    root, registry = again
    real = services(root, registry, collect=False)

    class Dying(DvcStore):
        def snapshot(self, path: Path) -> DataVersion:
            super().snapshot(path)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(spec("killed"), replace(real, store=Dying(root)))

    class Away(MlflowRegistry):
        def register(self, run: object) -> object:  # type: ignore[override]
            raise ExternalError("the registry does not answer")

    away = Away(f"sqlite:///{root}/mlflow.db", root / "artifacts", "parcels", "parcels")
    before = len(registry.versions())
    with pytest.raises(ExternalError, match="does not answer"):
        run(spec("killed"), replace(real, registry=away))
    result = run(spec("killed"), real)
    assert result["outcome"] == "registered"
    assert len(registry.versions()) == before + 1
    assert not [path for path in (root / "data/snapshots").iterdir() if path.name.startswith(".killed")]


def test_regression(tmp_path: Path, first: tuple[Path, MlflowRegistry, dict[str, Any]]) -> None:
    """Predict a number: mean absolute error against the average, no classes anywhere."""
    table = frame(1500)
    table["late"] = table["distance"] / 50 + table["pieces"] + np.random.default_rng(0).normal(size=1500)
    write(tmp_path, table)
    _, registry, _ = first
    result = run(spec("numbers"), services(tmp_path, registry, task="regression"))
    assert result["outcome"] == "registered", result["gates"]
    assert "mean absolute error" in result["gates"][0]["text"]
    assert "of the training rows' average" in result["gates"][0]["text"]
    assert set(result["record"]["metrics"]) == {"mae", "rmse", "r2"}


def test_features_without_information_do_not_become_a_first_version(
    tmp_path: Path, first: tuple[Path, MlflowRegistry, dict[str, Any]]
) -> None:
    """A target that nothing explains: no better than the base rate, so nothing is deployed."""
    write(tmp_path, frame(1500).assign(late=np.random.default_rng(0).random(1500) < 0.3))
    result = run(spec("noise"), services(tmp_path, first[1]))
    assert result["outcome"] == "rejected"
    assert "of the base rate" in result["gates"][0]["text"]


UNTRAINABLE = {
    "one class": (
        lambda t: t.assign(late=True),
        {},
        DataError,
        r"column 'late' \(data.target\) is 'True' in all 240 training rows; a classifier needs at least two classes",
    ),
    "class only in the newest rows": (
        lambda t: t.assign(late=t.index > 270),
        {},
        DataError,
        r"is 'False' in all 240 training rows",
    ),
    "positive is no class": (lambda t: t, {"positive": "yes"}, DataError, "data.positive is 'yes', but the classes of"),
    "labels of the future": (
        lambda t: t.assign(known=t["sent_at"] + pd.Timedelta(days=400)),
        {"label_time": "known"},
        DataError,
        r"0 of 300 rows are left to train on \(0 quarantined, 300 whose label is not mature",
    ),
    "estimator": (
        lambda t: t,
        {"estimator": {"function": "est_missing:make"}},
        EstimatorError,
        "there is no module 'est_missing'",
    ),
    "parameter": (
        lambda t: t,
        {"estimator": {"parameters": {"max_itr": 3}}},
        EstimatorError,
        r"'max_itr' is not one of HistGradientBoostingClassifier; did you mean 'max_iter'\?",
    ),
}


@pytest.mark.parametrize("case", list(UNTRAINABLE))
def test_what_cannot_be_trained_says_why_and_registers_nothing(
    tmp_path: Path, first: tuple[Path, MlflowRegistry, dict[str, Any]], case: str
) -> None:
    """Mistakes in data and project file; the registry stays as it was."""
    spoil, data, kind, message = UNTRAINABLE[case]
    write(tmp_path, spoil(frame(300)))
    _, registry, _ = first
    before = len(registry.versions())
    with pytest.raises(kind, match=message):
        run(spec("bad"), services(tmp_path, registry, **data))
    assert len(registry.versions()) == before
    sys.path[:] = [entry for entry in sys.path if entry != str(tmp_path)]
