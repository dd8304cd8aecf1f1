"""The Registry port: MLflow and the fake keep the same promises."""

import dataclasses
from pathlib import Path

import pytest

from tests.adapters.packages import make_package, make_run
from trimtab.adapters.mlflow import MlflowRegistry
from trimtab.core.domain.errors import InvariantError, NotFoundError
from trimtab.core.domain.gate import VersionRecord
from trimtab.core.domain.verdict import Verdict
from trimtab.ports import Registry
from trimtab.replay.fakes import MemoryRegistry
from trimtab.serving import package as packages


@pytest.fixture(params=["memory", "mlflow"])
def registry(request: pytest.FixtureRequest, tmp_path: Path, mlflow_uri: str) -> Registry:
    if request.param == "memory":
        return MemoryRegistry()
    return MlflowRegistry(mlflow_uri, tmp_path / "artifacts", "flights", "flights")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return make_package(tmp_path / "package")


def test_before_the_first_training_nothing_is_there(registry: Registry) -> None:
    """`trimtab versions` in a new project."""
    assert (registry.versions(), registry.aliases()) == ([], {})
    registry.set_alias("challenger", None)
    with pytest.raises(NotFoundError, match="no version 1"):
        registry.get(1)


def test_a_run_becomes_a_version_that_reads_back_exactly(registry: Registry, package: Path) -> None:
    """A training job hands in its candidate; the controller reads it in another process."""
    run = make_run(package)
    record = registry.register(run)
    assert record == VersionRecord(
        version=1,
        created_at=1384947000.125,
        run_id=record.run_id,
        manifest=packages.verify(package),
        verdict=Verdict.SUCCESSFUL,
        gates=run.gates,
        compared_to=3,
        data_version="22a1a2931c8370d3aeedd7183606fd7f.dir",
        trained_from=1.5,
        trained_until=1e9 + 0.123456,
        git_commit="a" * 40,
        git_dirty=True,
        strategy="sliding-window",
        metrics={"log_loss": 0.1 + 0.2, "rows": 5210},
        runtime="onnx",
    )
    assert registry.get(1) == record
    assert registry.versions() == [record]


def test_a_job_registers_once(registry: Registry, package: Path) -> None:
    """The job was killed after registering and before it wrote its result; it is asked again."""
    first = registry.register(make_run(package))
    assert registry.register(make_run(package)) == first
    second = registry.register(make_run(package, "train-2"))
    assert [first.version, second.version] == [1, 2]
    assert registry.versions() == [first, second]


def test_a_run_without_a_model_is_logged_and_is_no_version(registry: Registry) -> None:
    """The estimator could not be fitted."""
    failed = make_run(None, verdict=Verdict.ERROR)
    record = registry.register(failed)
    assert (record.version, record.verdict) == (0, Verdict.ERROR)
    assert registry.register(failed) == record
    assert registry.versions() == []


def test_a_run_without_a_job_is_refused(registry: Registry, package: Path) -> None:
    """It could be registered twice without anybody noticing."""
    run = make_run(package)
    with pytest.raises(InvariantError, match="no tag 'job'"):
        registry.register(dataclasses.replace(run, tags={}))
    assert registry.versions() == []


def test_aliases_move_and_go(registry: Registry, package: Path) -> None:
    """A rollout starts, is promoted, and ends."""
    for job in ("train-1", "train-2"):
        registry.register(make_run(package, job))
    for _ in range(2):
        registry.set_alias("champion", 1)
        registry.set_alias("challenger", 2)
        assert registry.aliases() == {"champion": 1, "challenger": 2}
    for _ in range(2):
        registry.set_alias("champion", 2)
        registry.set_alias("challenger", None)
        assert registry.aliases() == {"champion": 2}


def test_an_alias_of_a_version_that_is_not_there(registry: Registry, package: Path) -> None:
    """Somebody types the wrong number; the text names the right ones."""
    registry.register(make_run(package))
    with pytest.raises(NotFoundError, match=r"no version 7; there are: 1"):
        registry.set_alias("champion", 7)
    assert registry.aliases() == {}


def test_a_package_comes_back_as_it_was(registry: Registry, package: Path, tmp_path: Path) -> None:
    """The controller installs a version on the servers, also a second time."""
    record = registry.register(make_run(package))
    for _ in range(2):
        place = registry.fetch(1, tmp_path / "fetched" / "1")
        assert place == tmp_path / "fetched" / "1"
        assert packages.verify(place, record.manifest) == record.manifest
    assert [path.name for path in (tmp_path / "fetched").iterdir()] == ["1"]


def test_a_version_that_is_not_there_is_not_fetched(registry: Registry, tmp_path: Path) -> None:
    """`trimtab deploy 7` when there is none."""
    with pytest.raises(NotFoundError):
        registry.fetch(7, tmp_path / "7")
    assert not (tmp_path / "7").exists()


def test_a_simulation_registers_without_a_disk() -> None:
    """Thousands of steps a second: packages are names."""
    registry = MemoryRegistry(disk=False)
    record = registry.register(make_run(Path("package-1")))
    assert registry.versions() == [record]
    assert registry.fetch(1, Path("nowhere")) == Path("nowhere")
