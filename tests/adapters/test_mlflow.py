"""MLflow itself: what its API shows, what a kill leaves, what it says on the console, what it leaves in the folder."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.adapters.packages import make_package, make_run
from trimtab.adapters.mlflow import MlflowRegistry, records
from trimtab.core.domain.errors import ExternalError, IntegrityError, InvariantError
from trimtab.core.domain.gate import GateResult
from trimtab.core.domain.verdict import Verdict
from trimtab.serving import package as packages


@pytest.fixture
def registry(tmp_path: Path, mlflow_uri: str) -> MlflowRegistry:
    return MlflowRegistry(mlflow_uri, tmp_path / "artifacts", "flights", "flights")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return make_package(tmp_path / "package")


def client_of(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def test_mlflow_shows_the_run_as_its_own(
    registry: MlflowRegistry, package: Path, mlflow_uri: str, tmp_path: Path
) -> None:
    """Somebody opens the MLflow UI: parameters, metrics, data, code, artifacts, the gates' report."""
    (tmp_path / "trimtab.yaml").write_text("name: flights\n")
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "a.txt").write_text("a")
    files = ((tmp_path / "trimtab.yaml", "project"), (tmp_path / "plots", "plots"))
    run = make_run(package, artifacts=files, parameters={"note": "n" * 9000, "settings": {"depth": 6}})
    record = registry.register(run)
    client = client_of(mlflow_uri)
    found = client.get_run(record.run_id)
    assert found.info.run_name == "train-1"
    assert (found.info.status, found.info.start_time) == ("FINISHED", 1384947000125)
    assert found.data.params["settings"] == '{"depth": 6}'
    assert len(found.data.params["note"]) == 6000
    assert found.data.metrics == {"log_loss": 0.1 + 0.2, "rows": 5210.0}
    assert found.data.tags["mlflow.source.git.commit"] == "a" * 40
    assert found.data.tags["trigger"] == "drift"
    assert "performance: successful: log loss 0.30" in found.data.tags["mlflow.note.content"]
    (data,) = found.inputs.dataset_inputs
    assert data.dataset.digest == "22a1a2931c8370d3aeedd7183606fd7f.dir"
    assert {item.path for item in client.list_artifacts(record.run_id)} == {"project", "plots", "parameters.json"}
    full = json.loads(Path(client.download_artifacts(record.run_id, "parameters.json")).read_text())
    assert full["note"] == "n" * 9000


def test_mlflow_shows_the_version_and_its_model(registry: MlflowRegistry, package: Path, mlflow_uri: str) -> None:
    """The model's page: schema, verdict, the run it came from, the metrics, the link between model and version."""
    record = registry.register(make_run(package))
    registry.set_alias("champion", 1)
    client = client_of(mlflow_uri)
    version = client.get_model_version_by_alias("flights", "champion")
    assert (version.version, version.run_id, version.status) == (1, record.run_id, "READY")
    assert version.tags["validation_status"] == "approved"
    assert version.tags["manifest"] == record.manifest
    model = client.get_logged_model(version.tags["logged_model"])
    assert str(model.status).endswith("READY")
    assert {metric.key: metric.value for metric in model.metrics} == {"log_loss": 0.1 + 0.2, "rows": 5210.0}
    assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": "flights", "version": 1}]
    (output,) = client.get_run(record.run_id).outputs.model_outputs
    assert output.model_id == model.model_id


def test_mlflow_reads_the_models_description(registry: MlflowRegistry, package: Path, mlflow_uri: str) -> None:
    """Tools that know MLflow's format find schema, example and requirements in it."""
    from mlflow.models import Model

    registry.register(make_run(package))
    source = client_of(mlflow_uri).get_model_version("flights", "1").source
    home = Path(source.removeprefix("file://"))
    model = Model.load(home)
    assert model.signature.inputs.to_dict() == [
        {"type": "double", "name": "distance", "required": False},
        {"type": "string", "name": "carrier", "required": False},
    ]
    assert model.flavors["trimtab"]["runtime"] == "onnx"
    lines = (home / "requirements.txt").read_text().splitlines()
    assert lines[0] == "scikit-learn==1.9.1"
    assert lines[1].startswith("trimtab==")
    example = json.loads((home / "input_example.json").read_text())
    assert example == {"columns": ["distance", "carrier"], "data": [[12.5, None]]}
    assert model.load_input_example(str(home)).to_dict("list") == {"distance": [12.5], "carrier": [None]}


class KilledError(BaseException):
    """kill -9, as far as the code can tell: nothing of ours runs after it."""


class Mortal:
    """MLflow's client, until the call with the given number was made."""

    def __init__(self, client: Any, last: int) -> None:
        self.client, self.left = client, last

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            answer = method(*args, **kwargs)
            if self.left == 0:
                raise KilledError
            return answer

        return call


def test_a_kill_between_any_two_steps_is_made_good(package: Path, tmp_path: Path, mlflow_uri: str) -> None:
    """The training job is killed while it registers; it is asked again: one version, one complete run."""
    kills = 0
    for step in range(1, 40):
        job = f"train-{step}"
        registry = MlflowRegistry(mlflow_uri, tmp_path / "artifacts", f"experiment-{step}", f"model-{step}")
        registry._opened = Mortal(registry._client, step)
        try:
            registry.register(make_run(package, job))
        except KilledError:
            kills += 1
        else:
            break
        successor = MlflowRegistry(mlflow_uri, tmp_path / "artifacts", f"experiment-{step}", f"model-{step}")
        seen_before = successor.versions()
        record = successor.register(make_run(package, job))
        assert seen_before in ([], [record]), f"half a version was seen after step {step}"
        assert successor.versions() == [record]
        client = client_of(mlflow_uri)
        experiment = client.get_experiment_by_name(f"experiment-{step}")
        (run,) = client.search_runs([experiment.experiment_id])
        assert (run.info.run_id, run.info.status) == (record.run_id, "FINISHED")
        assert len(client.search_logged_models([experiment.experiment_id])) == 1
        successor.fetch(1, tmp_path / "fetched" / str(step))
    assert kills >= 14, "every step of registering must be met"


def test_a_package_that_was_damaged_in_the_store_is_not_fetched(
    registry: MlflowRegistry, package: Path, tmp_path: Path
) -> None:
    """A disk error in the artifact store, found before the package reaches a server."""
    registry.register(make_run(package))
    (stored,) = (tmp_path / "artifacts").rglob("model.onnx")
    stored.chmod(0o644)
    stored.unlink()
    stored.write_bytes(b"weighty")
    with pytest.raises(IntegrityError, match=r"model\.onnx was changed"):
        registry.fetch(1, tmp_path / "fetched")
    assert not list(tmp_path.glob("*fetched*"))


def test_the_users_package_is_not_shared_with_the_store(
    registry: MlflowRegistry, package: Path, tmp_path: Path
) -> None:
    """The job cleans up after registering; what is stored stays."""
    record = registry.register(make_run(package))
    (package / "model.onnx").write_bytes(b"overwritten in place")
    assert packages.verify(registry.fetch(1, tmp_path / "fetched"), record.manifest) == record.manifest


def test_a_damaged_package_is_not_registered(registry: MlflowRegistry, package: Path, mlflow_uri: str) -> None:
    """The disk ran full while the job wrote it."""
    (package / "model.onnx").write_bytes(b"")
    with pytest.raises(IntegrityError):
        registry.register(make_run(package))
    assert registry.versions() == []


def test_what_cannot_be_recorded_exactly_is_refused_first(
    registry: MlflowRegistry, package: Path, tmp_path: Path
) -> None:
    """A metric is NaN, a gate's value infinite, a field misspelt: our own defects, found before anything is written."""
    run = make_run(package)
    gate = GateResult("performance", Verdict.FAILED, "infinite", float("inf"))
    for bad in (
        dataclasses.replace(run, metrics={"auc": float("nan")}),
        dataclasses.replace(run, gates=(gate,)),
        dataclasses.replace(run, record={"trained_form": 1.0}),
        dataclasses.replace(run, tags={**run.tags, "job": "a'b"}),
    ):
        with pytest.raises(InvariantError):
            registry.register(bad)
    assert not list((tmp_path / "artifacts").rglob("MLmodel"))


def test_numbers_of_numpy_are_numbers(registry: MlflowRegistry, package: Path) -> None:
    """Metrics come from scikit-learn."""
    gate = GateResult("latency", Verdict.SUCCESSFUL, "fast", np.float64(0.25), np.float32(0.5))  # type: ignore[arg-type]
    record = registry.register(make_run(package, metrics={"auc": np.float64(0.75)}, gates=(gate,)))
    assert registry.get(1) == record
    assert record.metrics == {"auc": 0.75}


def test_versions_of_others_are_not_ours(registry: MlflowRegistry, package: Path, mlflow_uri: str) -> None:
    """A colleague registers a notebook's model under the same name."""
    record = registry.register(make_run(package))
    client_of(mlflow_uri).create_model_version("flights", source="file:///elsewhere", await_creation_for=0)
    assert registry.versions() == [record]
    with pytest.raises(Exception, match="no version 2; there are: 1"):
        registry.get(2)


def test_a_record_that_was_edited_is_named(registry: MlflowRegistry, package: Path, mlflow_uri: str) -> None:
    """Somebody changed the tag in the UI."""
    registry.register(make_run(package))
    client_of(mlflow_uri).set_model_version_tag("flights", "1", records.RECORD, '{"version": "x"}')
    with pytest.raises(IntegrityError, match="record of version 1"):
        registry.versions()


GOLDEN = (
    '{"version":0,"created_at":1384947000.125,"run_id":"","manifest":"ab12","verdict":"successful","gates":'
    '[{"gate":"parity","verdict":"inconclusive","text":"no rows","value":null,"limit":0.5,"unit":"ms"}],'
    '"compared_to":3,"data_version":"22a1.dir","trained_from":1.5,"trained_until":null,"git_commit":null,'
    '"git_dirty":true,"strategy":"full","metrics":{"log_loss":0.3},"runtime":"onnx","overridden_by":"Ada: known"}'
)


def test_records_of_today_are_read_tomorrow() -> None:
    """Trimtab was updated; the registry has years of versions. Persisted names do not change."""
    record = records.decode(GOLDEN, 7, "run")
    assert (record.version, record.run_id, record.gates[0].limit) == (7, "run", 0.5)
    assert (record.verdict, record.overridden_by) == (Verdict.SUCCESSFUL, "Ada: known")
    again = json.loads(records.encode(records.with_ids(record, 0, "")))
    assert {name: again.pop(name) for name in json.loads(GOLDEN)} == json.loads(GOLDEN)
    assert again == {"parent": None, "members": [], "estimator": None, "made": ""}, "fields that came later"
    assert (records.RECORD, records.MODEL) == ("trimtab.record", "logged_model")


def test_a_deleted_experiment_is_named_with_its_cure(
    registry: MlflowRegistry, package: Path, mlflow_uri: str, tmp_path: Path
) -> None:
    """Somebody tidied up in the UI."""
    registry.register(make_run(package))
    client = client_of(mlflow_uri)
    client.delete_experiment(client.get_experiment_by_name("flights").experiment_id)
    again = MlflowRegistry(mlflow_uri, tmp_path / "artifacts", "flights", "flights")
    with pytest.raises(ExternalError, match="mlflow experiments restore"):
        again.register(make_run(package, "train-2"))


def test_a_store_that_cannot_be_opened_is_ours_to_say(tmp_path: Path) -> None:
    """The database is a folder, another file, or of nobody we may read; MLflow itself would try for 100 seconds."""
    (tmp_path / "folder.db").mkdir()
    (tmp_path / "text.db").write_text("name: flights\n" * 100)
    for name in ("folder.db", "text.db"):
        with pytest.raises(ExternalError, match=f"MLflow could not open .*{name}"):
            MlflowRegistry(f"sqlite:///{tmp_path / name}", None, "flights", "flights").versions()


QUIET = """
import logging, sys, warnings
from pathlib import Path
from tests.adapters.packages import make_run
from trimtab.adapters.mlflow import MlflowRegistry
assert "mlflow" not in sys.modules
uri, root, package, to = sys.argv[1:]
registry = MlflowRegistry(uri, Path(root), "flights", "flights")
registry.register(make_run(Path(package)))
registry.set_alias("champion", 1)
registry.fetch(1, Path(to))
from mlflow.telemetry import get_telemetry_client
assert get_telemetry_client() is None
"""


def test_nothing_on_the_console_no_telemetry_nothing_in_the_folder(
    package: Path, tmp_path: Path, mlflow_uri: str
) -> None:
    """`trimtab train` in the user's own project."""
    (tmp_path / "project").mkdir()
    command = [sys.executable, "-c", QUIET, mlflow_uri, *map(str, (tmp_path / "artifacts", package, tmp_path / "to"))]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        command,
        cwd=tmp_path / "project",
        env={"PYTHONPATH": root, "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list((tmp_path / "project").iterdir()) == []
