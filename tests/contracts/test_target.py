"""The Target port: a deployment directory and the fake keep the same promises."""

from pathlib import Path

import pytest

from tests.adapters.packages import make_package
from trimtab.adapters.files import DirectoryTarget
from trimtab.core.domain.errors import ConflictError, InvariantError
from trimtab.core.domain.routes import Routes, Share
from trimtab.ports import Target
from trimtab.replay.fakes import MemoryTarget


@pytest.fixture(params=["memory", "directory"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    return MemoryTarget() if request.param == "memory" else DirectoryTarget(tmp_path / "deployment")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return make_package(tmp_path / "package")


def alone(version: int, generation: int) -> Routes:
    return Routes(generation, "r1", (Share(version, 100),), arms={version: "champion"})


def canary(generation: int, weight: int = 5) -> Routes:
    split = (Share(7, 100 - weight), Share(8, weight))
    return Routes(generation, "r3", split, shadow=(7, 8), arms={7: "champion", 8: "challenger"})


def test_before_the_first_deployment_nothing_is_there(target: Target) -> None:
    """`trimtab up` in a project that was just initialised."""
    assert (target.routes(), target.installed(), target.servers()) == (None, frozenset(), [])


def test_routes_come_back_as_applied(target: Target, package: Path) -> None:
    """A first version, then a canary beside it."""
    target.install(7, package)
    target.apply(alone(7, 1))
    target.install(8, package)
    target.apply(canary(2))
    assert target.routes() == canary(2)
    assert target.installed() == {7, 8}


def test_everything_may_be_done_twice(target: Target, package: Path) -> None:
    """The controller died after acting and before it knew; it acts again."""
    for _ in range(2):
        target.install(7, package)
        target.apply(alone(7, 1))
        target.retire(8)
    assert target.routes() == alone(7, 1)
    assert target.installed() == {7}


def test_a_version_that_is_not_installed_gets_no_traffic(target: Target, package: Path) -> None:
    """The registry was down when the package should have been copied."""
    target.install(7, package)
    target.apply(alone(7, 1))
    with pytest.raises(InvariantError, match=r"not installed.*\[8\]"):
        target.apply(canary(2))
    assert target.routes() == alone(7, 1)


def test_an_older_change_does_not_undo_a_newer_one(target: Target, package: Path) -> None:
    """A controller was suspended between deciding and acting; another one went on meanwhile."""
    for version in (7, 8):
        target.install(version, package)
    target.apply(canary(3))
    for late in (alone(7, 2), canary(3, weight=50)):
        with pytest.raises(ConflictError, match="generation 3"):
            target.apply(late)
    assert target.routes() == canary(3)


def test_what_is_routed_is_not_retired(target: Target, package: Path) -> None:
    """Versions in shadow count too: they must be loaded."""
    for version in (6, 7, 8):
        target.install(version, package)
    target.apply(Routes(1, "r1", (Share(7, 100),), shadow=(8,), arms={7: "champion", 8: "challenger"}))
    for version in (7, 8):
        with pytest.raises(InvariantError, match=f"version {version} is routed to"):
            target.retire(version)
    target.retire(6)
    assert target.installed() == {7, 8}


def test_a_version_that_is_not_there_or_damaged_does_not_pass(target: Target, package: Path, tmp_path: Path) -> None:
    """The preflight of a rollback: nothing is moved, and the reason is told."""
    missing = target.prove(7, None)
    assert (missing.fits, missing.version) == (False, 7)
    target.install(7, package)
    if isinstance(target, MemoryTarget):
        target.unfit[7] = "sha256 of model.onnx is not what MANIFEST.json says"
    else:
        (tmp_path / "deployment" / "versions" / "7" / "model.onnx").write_bytes(b"other")
    damaged = target.prove(7, None)
    assert not damaged.fits
    assert "model.onnx" in damaged.text
    assert target.routes() is None
