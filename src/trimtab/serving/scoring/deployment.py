"""What is served: routes and the loaded versions they name, as one frozen value that is replaced as a whole."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from trimtab.core.domain.errors import DataError, ExternalError, IntegrityError, InvariantError, TrimtabError
from trimtab.core.domain.routes import Routes, Share
from trimtab.serving.package import MANIFEST, ClassValue, Signature
from trimtab.serving.process.metrics import ArmCounters
from trimtab.serving.record.records import Layout
from trimtab.serving.runtimes import Model, load
from trimtab.serving.scoring.pace import Pace
from trimtab.serving.scoring.router import Router


@dataclass(frozen=True, slots=True)
class Slot:
    """A loaded version and the arm it plays."""

    version: int
    arm: str
    model: Model
    layout: Layout
    counters: ArmCounters
    pace: Pace = field(default_factory=Pace, kw_only=True)
    champion: int | None = None
    """The version whose baseline the traffic is compared with; None: this one."""

    @property
    def signature(self) -> Signature:
        return self.model.signature


@dataclass(frozen=True, slots=True)
class Deployment:
    """Everything a request needs to know, in one place: taken once per request, so a swap cannot mix answers."""

    generation: int
    router: Router
    slots: dict[int, Slot]
    champion: Slot
    """The first of the split: its signature describes the endpoint."""
    shadow: tuple[Slot, ...]
    only: Slot | None
    """The version that answers everybody, where there is just one."""
    classes: tuple[ClassValue, ...] | None
    """Of the champion, then what other versions know beyond it; None for regression."""

    known: frozenset[str] = frozenset()
    """Inputs that any of the versions takes, the entity and the time: a challenger may know a column that the champion
    does not."""

    @property
    def name(self) -> str:
        return self.champion.signature.model


class RefusedDeploymentError(ExternalError):
    """The routes on disk cannot be served; what was served before stays. ``versions``: the reason of each bad one."""

    def __init__(self, reason: str, versions: dict[int, str] | None = None, generation: int | None = None) -> None:
        self.versions = versions or {}
        self.generation = generation
        super().__init__(reason)


class RefusedVersionError(ExternalError):
    """A version cannot be loaded, or is not what its manifest says."""


class _Routes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    generation: int
    salt: str
    split: list[_Share]
    shadow: list[int] = []
    arms: dict[str, str] = {}
    warm: list[int] = []


class _Share(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    weight: int


def read_routes(directory: Path) -> Routes:
    """``routes.json`` of a deployment directory.

    Raises:
        RefusedDeploymentError: it is not there, not JSON of that form, or its weights do not sum to 100.
    """
    path = directory / "routes.json"
    try:
        raw = msgspec.json.decode(path.read_bytes(), type=_Routes)
        return Routes(
            generation=raw.generation,
            salt=raw.salt,
            split=tuple(Share(share.version, share.weight) for share in raw.split),
            shadow=tuple(raw.shadow),
            arms={int(version): arm for version, arm in raw.arms.items()},
            warm=tuple(raw.warm),
        )
    except FileNotFoundError:
        raise RefusedDeploymentError(f"{path} is not there yet: nothing was deployed") from None
    except OSError as error:
        raise RefusedDeploymentError(f"{path} cannot be read: {error.strerror or error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, InvariantError) as error:
        raise RefusedDeploymentError(f"{path}: {error}") from error


def load_models(directory: Path, known: Mapping[int, Model]) -> tuple[Routes, dict[int, Model]]:
    """Read the routes and load what the routes name, reusing ``known`` models whose content is the same.

    Each version is verified against its manifest, warmed and proved on its example before this returns.

    Raises:
        RefusedDeploymentError: a version cannot be loaded, or does not fit the others; all reasons are given.
    """
    routes = read_routes(directory)
    models: dict[int, Model] = {}
    refused: dict[int, str] = {}
    for version in sorted(routes.versions):
        try:
            models[version] = load_version(directory, version, known.get(version))
        except RefusedVersionError as error:
            refused[version] = str(error)
    refused.update(_misfits(routes, models))
    if refused:
        words = "; ".join(f"version {version}: {reason}" for version, reason in sorted(refused.items()))
        raise RefusedDeploymentError(f"generation {routes.generation} is refused: {words}", refused, routes.generation)
    return routes, models


def assemble(routes: Routes, models: dict[int, Model], counters: Callable[[str, int, str], ArmCounters]) -> Deployment:
    """A deployment from routes, the models of all their versions, and where each arm is counted."""
    slots = {}
    first = routes.split[0].version
    champion_version = next((version for version, arm in routes.arms.items() if arm == "champion"), first)
    for version, model in models.items():
        arm = routes.arms.get(version, "champion" if version == routes.split[0].version else "challenger")
        counted = counters(model.signature.model, version, arm)
        slots[version] = Slot(version, arm, model, Layout(model.signature), counted, champion_version)
    router = Router(routes)
    champion = slots[routes.split[0].version]
    classes: dict[ClassValue, None] = {}
    for slot in (champion, *slots.values()):
        classes.update(dict.fromkeys(slot.signature.classes or ()))
    return Deployment(
        generation=routes.generation,
        router=router,
        slots=slots,
        champion=champion,
        shadow=tuple(slots[version] for version in dict.fromkeys(routes.shadow)),
        only=None if router.only is None else slots[router.only],
        classes=tuple(classes) if champion.signature.classes is not None else None,
        known=frozenset().union(*(_names(slot.signature) for slot in slots.values())),
    )


def _names(signature: Signature) -> set[str]:
    return {*signature.names} | {name for name in (signature.entity, signature.time) if name is not None}


def load_version(directory: Path, version: int, known: Model | None) -> Model:
    """One version of a deployment directory, verified, warmed and proved; ``known`` where its content is the same.

    Raises:
        RefusedVersionError: why it cannot be served.
    """
    try:
        return _model(directory / "versions" / str(version), known)
    except TrimtabError as error:
        raise RefusedVersionError(str(error)) from error
    except Exception as error:  # a foreign loader may raise anything: it must not stop what is served
        raise RefusedVersionError(f"cannot be loaded: {type(error).__name__}: {error}") from error


def _model(directory: Path, known: Model | None) -> Model:
    if known is not None:
        try:
            digest = hashlib.sha256((directory / MANIFEST).read_bytes()).hexdigest()
        except OSError as error:
            raise IntegrityError(f"{directory / MANIFEST} cannot be read: {error.strerror or error}") from error
        if digest == known.digest:
            return known
    if not directory.is_dir():
        raise DataError(f"{directory} is not there; install the version before routing to it")
    return load(directory)


def _misfits(routes: Routes, models: dict[int, Model]) -> dict[int, str]:
    """Versions that are not of the champion's model or task: one endpoint serves one model."""
    champion = models.get(routes.split[0].version)
    if champion is None:
        return {}
    want = champion.signature
    out = {}
    for version, model in models.items():
        have = model.signature
        if (have.model, have.task) != (want.model, want.task):
            out[version] = f"is model '{have.model}' ({have.task}), the champion is '{want.model}' ({want.task})"
    return out


def refusals_of(error: RefusedDeploymentError) -> list[dict[str, Any]]:
    """The reasons as they are shown at /trimtab/status."""
    return [{"version": version, "reason": reason} for version, reason in sorted(error.versions.items())]
