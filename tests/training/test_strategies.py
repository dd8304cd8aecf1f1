"""Whole runs that go on from earlier versions: incremental, recalibrated, blended; with real registry and server."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.training.rows import START, frame, write
from trimtab.core.domain.errors import DataError, EstimatorError, IntegrityError
from trimtab.core.domain.times import DAY_S
from trimtab.serving.package import read_signature, verify
from trimtab.serving.runtimes import load
from trimtab.serving.runtimes.trees import compiled
from trimtab.training.evaluate import model_columns
from trimtab.training.pipeline import run
from trimtab.training.read import read_file
from trimtab.training.reproduce import reproduce
from trimtab.training.spec import TrainSpec
from trimtab.wiring import Workspace, open_workspace

PROJECT = """\
name: parcels
task: classification
data:
  files: data/*.parquet
  time: sent_at
  target: late
  ignore: [row, customer]
  collect: false
estimator:
  parameters: {max_iter: 20}
retraining:
  strategy: auto
"""
MONTH = START + 30 * DAY_S
NOW = START + 60 * DAY_S

RUNTIME, MODEL = ("trees", "model.trees") if compiled() else ("onnx", "model.onnx")
"""Of tree ensembles, with a C compiler and without."""


def more_often_late(table: pd.DataFrame, odds: float = 4.0) -> pd.DataFrame:
    """The base rate moves and nothing else: rows that are late come ``odds`` times as often."""
    rng = np.random.default_rng(1)
    return table[table["late"] | (rng.random(len(table)) < 1.0 / odds)].reset_index(drop=True)


def spec(job: str, **more: Any) -> TrainSpec:
    return TrainSpec(**({"job": job, "trigger": "demand", "now": NOW} | more))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A month of history and its version 1; then half a month in which parcels are late four times as often."""
    root = tmp_path_factory.mktemp("project")
    write(root, frame(1500), "a.parquet")
    (root / "trimtab.yaml").write_text(PROJECT)
    made = open_workspace(root)
    run(spec("first", strategy="full", now=MONTH), made.services())
    write(root, more_often_late(frame(2400, seed=5, start=MONTH, days=15.0)), "b.parquet")
    return made


@pytest.fixture(scope="module")
def incremental(desk: Workspace) -> dict[str, Any]:
    return run(spec("on", strategy="incremental", champion=1), desk.services())


@pytest.fixture(scope="module")
def recalibrated(desk: Workspace) -> dict[str, Any]:
    return run(spec("maps", strategy="recalibrate", champion=1, since=MONTH), desk.services())


def test_learning_on_takes_only_rows_that_the_champion_has_not_seen(
    desk: Workspace, incremental: dict[str, Any]
) -> None:
    """A nightly run in a project with more history than anybody wants to fit again."""
    first, record = desk.registry.get(1), desk.registry.get(incremental["version"])
    assert incremental["outcome"] == "registered", incremental["gates"]
    assert first.trained_until is not None
    assert first.trained_until < (record.trained_from or 0)
    assert (record.strategy, record.parent) == ("incremental", 1)
    assert "goes on from v1: 10 iterations more on" in record.made
    at = pd.concat([pd.read_parquet(path) for path in (desk.root / "data").glob("*.parquet")])["sent_at"]
    newer = sum(moment.timestamp() > first.trained_until for moment in at)
    assert incremental["rows"]["training"] + incremental["rows"]["evaluation"] == newer
    assert record.estimator is not None  # the next one can go on from this one
    with tempfile.TemporaryDirectory() as folder:
        trees = load(desk.registry.fetch(incremental["version"], Path(folder) / "p"))
        assert trees.signature.runtime.name == RUNTIME


def test_a_version_that_learnt_on_is_reproduced_to_the_byte(
    desk: Workspace, incremental: dict[str, Any], tmp_path: Path
) -> None:
    """An auditor asks how it came to be: the parent's estimator is a part of its record."""
    found = reproduce(incremental["version"], desk.services(), desk.runs, tmp_path, rebuild_environment=False)
    assert found.equal
    assert found.manifest_equal, found.files


def test_a_moved_base_rate_is_recalibrated_without_a_new_model(
    desk: Workspace, recalibrated: dict[str, Any], tmp_path: Path
) -> None:
    """Diagnosis said prior shift: the ranking holds, the level does not."""
    assert recalibrated["outcome"] == "registered", recalibrated["gates"]
    record = desk.registry.get(recalibrated["version"])
    assert (record.strategy, record.parent, record.runtime) == ("recalibrate", 1, RUNTIME)
    performance, *_ = recalibrated["gates"]
    assert performance["value"] < -0.02  # log loss less than the champion's
    package = desk.registry.fetch(record.version, tmp_path / "package")
    signature = read_signature(package)
    assert signature.calibration is not None
    assert signature.calibration.method in ("prior", "platt", "beta")
    one = desk.registry.fetch(1, tmp_path / "one")
    assert (one / MODEL).read_bytes() == (package / MODEL).read_bytes()
    rows = read_file(desk.root / "data/b.parquet", "b.parquet")
    columns, _ = model_columns(signature.inputs, rows)
    mapped, plain = load(package).predict(columns).scores, load(one).predict(columns).scores
    assert mapped is not None
    assert plain is not None
    truth = np.asarray(rows["late"]).mean()
    assert abs(mapped[:, 1].mean() - truth) < 0.03 < abs(plain[:, 1].mean() - truth)
    assert (np.argsort(mapped[:, 1], kind="stable") == np.argsort(plain[:, 1], kind="stable")).mean() > 0.99


def test_a_recalibrated_version_is_reproduced_to_the_byte(
    desk: Workspace, recalibrated: dict[str, Any], tmp_path: Path
) -> None:
    """The map is fitted again on the recorded rows, over the recorded package."""
    found = reproduce(recalibrated["version"], desk.services(), desk.runs, tmp_path, rebuild_environment=False)
    assert found.equal
    assert found.manifest_equal, found.files


def test_learning_on_from_a_recalibrated_champion_goes_on_from_what_it_maps(
    desk: Workspace, recalibrated: dict[str, Any]
) -> None:
    """The champion is version 1 with a map; there is no estimator in a map."""
    result = run(spec("under", strategy="incremental", champion=recalibrated["version"]), desk.services())
    assert desk.registry.get(result["version"]).parent == 1


def test_where_the_scores_fit_nothing_is_recalibrated(desk: Workspace) -> None:
    """Somebody asks for it by hand, and nothing has moved in that month."""
    asked = spec("idle", strategy="recalibrate", champion=1, until=MONTH)
    with pytest.raises(DataError, match=r"fit the 1[0-9][0-9] newest labelled rows as they are"):
        run(asked, desk.services())


@pytest.fixture(scope="module")
def blend(desk: Workspace, incremental: dict[str, Any]) -> dict[str, Any]:
    members = (incremental["version"], 1)
    return run(spec("both", strategy="blend", members=members, weights=(3.0, 1.0), champion=1), desk.services())


def test_versions_that_answer_together_pass_the_same_gates(
    desk: Workspace, blend: dict[str, Any], incremental: dict[str, Any], tmp_path: Path
) -> None:
    """`trimtab blend 2 1 --weights 3 1`: one package, in which each member keeps its own runtime."""
    assert blend["outcome"] == "registered", blend["gates"]
    assert {gate["gate"] for gate in blend["gates"]} >= {"performance", "latency", "parity", "memory", "leakage"}
    record = desk.registry.get(blend["version"])
    assert record.members == (incremental["version"], 1)
    assert record.runtime == "blend"
    assert "one request is scored 2 times" in record.made
    package = desk.registry.fetch(record.version, tmp_path / "blend")
    together = load(package)
    alone = [load(desk.registry.fetch(version, tmp_path / f"v{version}")) for version in record.members]
    rows = read_file(desk.root / "data/b.parquet", "b.parquet")
    columns, _ = model_columns(together.signature.inputs, rows)
    expected = sum(w * np.asarray(m.predict(columns).scores) for w, m in zip((0.75, 0.25), alone, strict=True))
    np.testing.assert_allclose(together.predict(columns).scores, expected, atol=1e-12)
    names = together.signature.names
    values = [[columns[name][i : i + 1].tolist()[0] for name in names] for i in range(40)]
    np.testing.assert_allclose(together.predict_rows(values)[1], expected[:40], atol=1e-6)
    np.testing.assert_allclose(together.predict_row(values[0]).scores, expected[0], atol=1e-6)
    file = package / "members" / "1" / MODEL
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError, match=rf"members/1/{MODEL} was changed"):
        verify(package)


def test_a_blend_is_reproduced_to_the_byte(desk: Workspace, blend: dict[str, Any], tmp_path: Path) -> None:
    """Its members' packages are a part of its record."""
    found = reproduce(blend["version"], desk.services(), desk.runs, tmp_path, rebuild_environment=False)
    assert found.equal
    assert found.manifest_equal, found.files


def test_a_new_version_is_blended_with_retained_ones_where_that_gains(desk: Workspace) -> None:
    """`retraining.blend: 2`: the new version stands in the registry too, and the record says what came of it."""
    result = run(
        spec("with", strategy="sliding-window", window_s=20 * DAY_S, champion=1, retained=(1,)), desk.services()
    )
    record = desk.registry.get(result["version"])
    if record.members:
        assert record.members[1] == 1
        assert [other["strategy"] for other in result["others"]] == ["sliding-window"]
    else:
        assert result["blend"].startswith("not blended: a blend gains nothing")
    assert "blend" in result


def test_an_estimator_that_cannot_learn_on_is_refused_before_anything_is_read(desk: Workspace, tmp_path: Path) -> None:
    """`retraining.strategy: incremental` over a logistic regression: the check names what it lacks."""
    code = "from sklearn.linear_model import LogisticRegression\n\n\ndef build():\n    return LogisticRegression()\n"
    (tmp_path / "linear.py").write_text(code)
    text = PROJECT.replace("  parameters: {max_iter: 20}", "  function: linear:build").replace("auto", "incremental")
    (tmp_path / "trimtab.yaml").write_text(text)
    with pytest.raises(EstimatorError, match="LogisticRegression cannot learn from new rows alone: its warm_start"):
        run(spec("no", strategy="incremental", champion=1), open_workspace(tmp_path).services())


def test_learning_on_from_what_the_project_no_longer_names_is_refused(desk: Workspace) -> None:
    """Somebody changed max_iter: going on would keep the old one without a word."""
    changed = desk.project.estimator.model_copy(update={"parameters": {"max_iter": 50}})
    services = desk.services()
    services = replace(services, project=desk.project.model_copy(update={"estimator": changed}))
    with pytest.raises(DataError, match=r"estimator\.parameters changed since version 1 was trained"):
        run(spec("other", strategy="incremental", champion=1), services)


def test_a_kept_estimator_that_was_changed_is_never_loaded(desk: Workspace) -> None:
    """Somebody wrote into the artifact store."""
    files = list((desk.state / "artifacts").rglob("estimator/model.*"))
    assert files
    before = {path: path.read_bytes() for path in files}
    try:
        for path in files:
            path.write_bytes(before[path] + b" ")
        with pytest.raises(IntegrityError, match=r"model\.skops has"):
            run(spec("bad", strategy="incremental", champion=1), desk.services())
    finally:
        for path, content in before.items():
            path.write_bytes(content)


def test_all_strategies_compete_and_the_record_says_how_they_did(desk: Workspace) -> None:
    """`strategy: auto` after the base rate moved: four ways are tried, and the record says how each did."""
    result = run(spec("auto", strategy="auto", champion=1, since=MONTH), desk.services())
    assert result["contest"] is not None
    values = {each["strategy"]: each["value"] for each in result["contest"]["candidates"]}
    assert set(values) == {"full", "sliding-window", "incremental", "recalibrate"}
    best = min(values.values())
    assert values[result["contest"]["winner"]] <= best * 1.001
    record = desk.registry.get(result["version"])
    assert record.strategy == result["contest"]["winner"]
    assert record.made.startswith(f"{record.strategy} is ")
    assert json.loads(json.dumps(asdict(record))) is not None


def test_what_takes_no_part_in_the_competition_is_on_record(desk: Workspace) -> None:
    """The champion was trained yesterday: nothing is newer than what it has seen."""
    newest = run(spec("newest", strategy="full", now=NOW), desk.services())
    result = run(spec("again", strategy="auto", champion=newest["version"]), desk.services())
    assert set(result["contest"]["absent"]) == {"incremental", "recalibrate"}
    assert "rows are newer than what version" in result["contest"]["absent"]["incremental"]
