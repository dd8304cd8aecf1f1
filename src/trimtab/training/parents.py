"""The versions that a run goes on from: which they are, from which rows on, their packages and fitted estimators."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from trimtab.core.domain.errors import DataError, NotFoundError, UserError
from trimtab.training.kept import FOLDER, Kept, load_kept, of_package
from trimtab.training.spec import TrainSpec

if TYPE_CHECKING:
    from trimtab.core.domain.gate import VersionRecord
    from trimtab.ports import Registry, Runs


class Parents(Protocol):
    """Where the versions that a run goes on from are found."""

    def record(self, version: int) -> VersionRecord: ...

    def package(self, version: int) -> Path:
        """Its package, verified against the record."""
        ...

    def estimator(self, version: int) -> Kept:
        """Its fitted estimator, verified against the record.

        Raises:
            DataError: none is kept; with what to do.
        """
        ...


class RegistryParents:
    """By the registry and the files of its runs, copied to ``scratch`` once."""

    def __init__(self, registry: Registry, runs: Runs | None, scratch: Path) -> None:
        self._registry, self._runs, self._scratch = registry, runs, scratch

    def record(self, version: int) -> VersionRecord:
        return self._registry.get(version)

    def package(self, version: int) -> Path:
        return self._registry.fetch(version, self._scratch / f"version-{version}")

    def estimator(self, version: int) -> Kept:
        record = self.record(version)
        if record.estimator is None:
            return _served(self.package(version), version)
        return load_kept(self.estimator_folder(record), record.estimator)

    def estimator_folder(self, record: VersionRecord) -> Path:
        """Where the sealed estimator was copied to."""
        if self._runs is None:
            raise NotFoundError(f"version {record.version}: the files of its run cannot be read here")
        to = self._scratch / f"estimator-{record.version}"
        return to / FOLDER if to.exists() else self._runs.files(record.run_id, to, FOLDER)


@dataclass(frozen=True, slots=True)
class FolderParents:
    """As a reproduction has them: everything was fetched before, into folders of one directory."""

    records: Mapping[int, VersionRecord]
    folder: Path

    def record(self, version: int) -> VersionRecord:
        return self.records[version]

    def package(self, version: int) -> Path:
        return self.folder / f"version-{version}"

    def estimator(self, version: int) -> Kept:
        digest = self.records[version].estimator
        if digest is None:
            return _served(self.package(version), version)
        return load_kept(self.folder / f"estimator-{version}" / FOLDER, digest)


def record_of(data: dict[str, Any]) -> VersionRecord:
    """A version's record from its plain JSON."""
    from trimtab.core.domain.gate import VersionRecord

    return msgspec.convert(data, VersionRecord, strict=False)


def _served(package: Path, version: int) -> Kept:
    found = of_package(package)
    if found is None:
        raise DataError(
            f"version {version} keeps no fitted estimator: it was trained before retraining.strategy was incremental "
            "or auto; train it in full once ('trimtab train --strategy full')"
        )
    return found


def resolved(spec: TrainSpec, registry: Registry, note: Callable[[str], None] = lambda _: None) -> TrainSpec:
    """The spec with the version that it goes on from, and with no row that this version was trained on.

    Raises:
        UserError: there is no version to go on from.
        NotFoundError: a named version is not registered.
    """
    if spec.strategy == "incremental":
        if spec.champion is None:
            note("there is no champion yet to learn on from: all history")
            return replace(spec, strategy="full")
        parent = learner(registry.get, spec.champion if spec.parent is None else spec.parent)
        return after(replace(spec, parent=parent.version), (parent,))
    if spec.strategy == "recalibrate":
        if spec.champion is None and spec.parent is None:
            raise UserError("there is no champion yet to recalibrate: train one first")
        parent = uncorrected(registry.get, spec.champion or 0 if spec.parent is None else spec.parent)
        return after(replace(spec, parent=parent.version), (parent,))
    if spec.strategy == "blend":
        return after(spec, tuple(registry.get(version) for version in spec.members))
    return spec


def uncorrected(get: Callable[[int], VersionRecord], version: int) -> VersionRecord:
    """The version whose answers a recalibrated one maps; a correction replaces the one before."""
    record = get(version)
    while record.strategy == "recalibrate" and record.parent is not None:
        record = get(record.parent)
    return record


def learner(get: Callable[[int], VersionRecord], version: int) -> VersionRecord:
    """The version with an estimator of its own that learns on: below a correction; of a blend its newest member."""
    record = uncorrected(get, version)
    while record.members:
        members = [uncorrected(get, member) for member in record.members]
        record = max(members, key=lambda member: (member.trained_until or -math.inf, member.version))
    return record


def after(spec: TrainSpec, records: tuple[VersionRecord, ...]) -> TrainSpec:
    """Only rows newer than what any of these versions was trained on."""
    untold = [record.version for record in records if record.trained_until is None]
    if untold:
        raise DataError(f"the record of version {untold[0]} does not say until when it was trained")
    newest = max(record.trained_until or 0.0 for record in records)
    since = math.nextafter(newest, math.inf)
    return replace(spec, since=since if spec.since is None else max(since, spec.since))
