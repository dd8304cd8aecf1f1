"""The job that measures retained versions, with real packages from a real registry."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.training.rows import START, frame, project, write
from trimtab.adapters.dvc import DvcStore
from trimtab.adapters.mlflow import MlflowRegistry
from trimtab.core.domain.errors import UserError
from trimtab.core.domain.times import DAY_S
from trimtab.core.policy import ROLES, Retained
from trimtab.training import losses
from trimtab.training.job import run_job
from trimtab.training.pipeline import Services, run
from trimtab.training.spec import TrainSpec

BLOCK_S = 5 * DAY_S
NOW = START + 30 * DAY_S


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Services, tuple[Retained, ...]]:
    """A history of thirty days; a version was trained on the first ten, a second on the first twenty."""
    root = tmp_path_factory.mktemp("project")
    write(root, frame(3000))
    registry = MlflowRegistry(f"sqlite:///{root}/mlflow.db", root / "artifacts", "parcels", "parcels")
    services = Services(project(estimator={"parameters": {"max_iter": 20}}), root, registry, DvcStore(root))
    found = []
    for version, days in ((1, 10), (2, 20)):
        until = START + days * DAY_S
        run(TrainSpec(f"t{version}", "demand", now=until, until=until), services)
        record = registry.get(version)
        found.append(Retained(version, record.strategy, until, record.trained_until or 0.0))
    return root, services, tuple(found)


def spec_of(versions: tuple[Retained, ...]) -> dict[str, object]:
    first = int(versions[0].trained_until // BLOCK_S) + 1
    return {
        "kind": "measure",
        "versions": [asdict(each) for each in versions],
        "block_s": BLOCK_S,
        "first": first,
        "now": NOW,
        "window_s": None,
    }


def test_losses_of_blocks_that_a_version_has_not_seen(
    served: tuple[Path, Services, tuple[Retained, ...]], tmp_path: Path
) -> None:
    """The loop asks what its versions lost lately; each is judged only where it was not trained."""
    _, services, versions = served
    home = tmp_path / "measure-b1-v2-1"
    home.mkdir()
    (home / "spec.json").write_text(json.dumps(spec_of(versions)))
    assert run_job(lambda: services, home, lambda _: None) == 0
    result = json.loads((home / "result.json").read_text())
    assert (result["outcome"], result["metric"], result["error"]) == ("measured", "log_loss", None)
    blocks = result["blocks"]
    assert [each["block"] for each in blocks] == sorted({each["block"] for each in blocks})
    assert all(each["rows"] > 100 and len(each["roles"]) == len(ROLES) for each in blocks)
    assert "2" not in blocks[0]["losses"]
    assert set(blocks[-1]["losses"]) == {"1", "2"}
    assert 0.0 < blocks[-1]["losses"]["2"] < 1.0
    assert blocks[-1]["roles"][0] == blocks[-1]["losses"]["1"]
    assert blocks[-1]["roles"][1] == blocks[-1]["losses"]["2"]
    assert blocks[-1]["roles"][2] <= max(blocks[-1]["losses"].values())
    assert blocks[-1]["before"] > blocks[0]["before"] > 500


def test_a_version_that_is_not_in_the_registry_is_named(
    served: tuple[Path, Services, tuple[Retained, ...]], tmp_path: Path
) -> None:
    """Somebody deleted it from MLflow; the result says so, and nothing is logged as a training run."""
    _, services, versions = served
    home = tmp_path / "measure-b1-v9-1"
    home.mkdir()
    gone = (versions[0], Retained(9, "full", NOW, versions[1].trained_until))
    (home / "spec.json").write_text(json.dumps(spec_of(gone)))
    assert run_job(lambda: services, home, lambda _: None) != 0
    result = json.loads((home / "result.json").read_text())
    assert result["outcome"] == "failed"
    assert "9" in result["error"]
    assert len(services.registry.versions()) == 2


def test_a_spec_that_lacks_something_is_refused() -> None:
    """Written by another Trimtab."""
    with pytest.raises(UserError, match="block_s"):
        losses.from_json({"kind": "measure", "versions": []})
