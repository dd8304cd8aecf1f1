"""Which version scores a file: a package by itself, or one of a deployment directory."""

from __future__ import annotations

from pathlib import Path

from trimtab.core.domain.errors import NotFoundError, RefusedError
from trimtab.core.domain.routes import Routes
from trimtab.serving.process.metrics import ArmCounters
from trimtab.serving.record.records import Layout
from trimtab.serving.runtimes import Model
from trimtab.serving.scoring.deployment import Slot, load_version, read_routes


def champion_of(deployment: Path) -> int:
    """The version that answers, or would answer if no challenger were being tried.

    Raises:
        RefusedDeploymentError: there are no routes, or they are broken.
    """
    return read_routes(deployment).split[0].version


def installed_model(deployment: Path, version: int) -> Model:
    """The version's model, verified and proved.

    Raises:
        NotFoundError: it is not installed there; those that are, are named.
        RefusedVersionError: it cannot be loaded.
    """
    folder = deployment / "versions"
    there = sorted(int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit())
    if version not in there:
        names = ", ".join(map(str, there)) or "none"
        raise NotFoundError(f"version {version} is not installed in {deployment}; there are {names}")
    return load_version(deployment, version, None)


def recording_slot(deployment: Path, version: int, model: Model) -> tuple[Slot, int]:
    """As what batch-scored rows are logged, and the generation of the routes.

    Raises:
        RefusedError: the rows would be taken for answers that the routes gave, and would bias what is judged by them.
    """
    routes = read_routes(deployment)
    if version != routes.split[0].version:
        raise RefusedError(
            f"--log records what the champion answers, which is version {routes.split[0].version}; "
            f"leave --log out, or --version {version}"
        )
    if _tries(routes):
        raise RefusedError(
            "a rollout is under way: rows of a batch, all scored by the champion, would bias its comparison; "
            "leave --log out, or wait for its end"
        )
    arm = routes.arms.get(version, "champion")
    return Slot(version, arm, model, Layout(model.signature), ArmCounters()), routes.generation


def _tries(routes: Routes) -> bool:
    return bool(routes.shadow) or sum(1 for share in routes.split if share.weight) > 1
