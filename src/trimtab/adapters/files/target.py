"""``DirectoryTarget``: a deployment directory (docs/formats.md), and the servers that read it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trimtab.adapters.atomic import copy_aside, settle, sync, write_aside
from trimtab.adapters.files.proof import prove_version
from trimtab.adapters.files.servers import ask_servers
from trimtab.core.domain.errors import ConflictError, ExternalError, IntegrityError, InvariantError
from trimtab.core.domain.proof import Proof
from trimtab.core.domain.routes import Routes, Share
from trimtab.ports import ServerReport
from trimtab.serving import package as packages

if TYPE_CHECKING:
    import pyarrow as pa


class _Share(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    weight: int


class _Routes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``routes.json`` as docs/formats.md has it."""

    generation: int
    salt: str
    split: tuple[_Share, ...]
    shadow: tuple[int, ...] = ()
    arms: dict[str, str] = {}
    warm: tuple[int, ...] = ()


class DirectoryTarget:
    """The ``Target`` port over a directory. Every change is a rename, so a server never reads half of one."""

    def __init__(self, deployment: Path, timeout_s: float = 1.0) -> None:
        """``timeout_s``: how long a server may take to answer for its status."""
        self._root = deployment
        self._timeout_s = timeout_s

    def routes(self) -> Routes | None:
        """What is routed now; None before the first deployment.

        Raises:
            IntegrityError: routes.json is not what was written.
        """
        path = self._root / "routes.json"
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ExternalError(f"{path} cannot be read: {error.strerror or error}") from error
        try:
            found = msgspec.json.decode(content, type=_Routes)
            return Routes(
                generation=found.generation,
                salt=found.salt,
                split=tuple(Share(share.version, share.weight) for share in found.split),
                shadow=found.shadow,
                arms={int(version): arm for version, arm in found.arms.items()},
                warm=found.warm,
            )
        except (msgspec.DecodeError, ValueError, InvariantError) as error:
            raise IntegrityError(
                f"{path} is not of the format of docs/formats.md: {error}; delete it: the controller writes it again, "
                "and servers keep the routes that they have"
            ) from error

    def apply(self, routes: Routes) -> None:
        """Replace the routes at once. Idempotent.

        Raises:
            ConflictError: other routes of this or a later generation are in place: somebody else acted.
            InvariantError: a version is not installed.
        """
        missing = sorted(routes.versions - self.installed())
        if missing:
            raise InvariantError(f"routes name versions that are not installed in {self._root}: {missing}")
        now = self.routes()
        if now == routes and now.warm == routes.warm:
            return
        if now is not None and now != routes and now.generation >= routes.generation:
            raise ConflictError(
                f"{self._root / 'routes.json'} is at generation {now.generation}, "
                f"this change is {routes.generation}: look again"
            )
        document = _Routes(
            generation=routes.generation,
            salt=routes.salt,
            split=tuple(_Share(share.version, share.weight) for share in routes.split),
            shadow=routes.shadow,
            arms={str(version): arm for version, arm in routes.arms.items()},
            warm=routes.warm,
        )
        try:
            write_aside(self._root / "routes.json", msgspec.json.encode(document) + b"\n")
        except OSError as error:
            raise ExternalError(f"{self._root / 'routes.json'} cannot be written: {error.strerror or error}") from error

    def installed(self) -> frozenset[int]:
        """Versions whose package stands in the directory."""
        try:
            names = [path.name for path in self._versions.iterdir()]
        except FileNotFoundError:
            return frozenset()
        except OSError as error:
            raise ExternalError(f"{self._versions} cannot be read: {error.strerror or error}") from error
        return frozenset(int(name) for name in names if name.isascii() and name.isdecimal())

    def install(self, version: int, package: Path) -> None:
        """Copy a package to ``versions/<version>`` and verify the copy; nothing happens where the same one stands.

        Raises:
            IntegrityError: the copy does not fit its MANIFEST, or another package stands there.
            ExternalError: the disk refused; nothing was installed.
        """
        digest = packages.verify(package)
        place = self._versions / str(version)
        if place.exists():
            packages.verify(place, digest)
            return
        for leftover in self._versions.glob(f".{version}.*"):  # of a copy that was interrupted
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            aside = copy_aside(package, place)
            try:
                packages.verify(aside, digest)
                settle(aside, place)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
        except OSError as error:
            if place.exists():  # another controller was first
                packages.verify(place, digest)
                return
            raise ExternalError(f"{place} cannot be written: {error.strerror or error}") from error

    def retire(self, version: int) -> None:
        """Remove a version that nothing routes to.

        Raises:
            InvariantError: the routes name it.
        """
        routes = self.routes()
        if routes is not None and version in routes.versions:
            raise InvariantError(f"version {version} is routed to; it cannot be retired")
        place = self._versions / str(version)
        grave = self._versions / f".retired-{version}"
        try:
            if grave.exists():  # of a removal that was interrupted
                shutil.rmtree(grave)
            if place.exists():
                place.rename(grave)
                sync(self._versions)
                shutil.rmtree(grave)
        except OSError as error:
            raise ExternalError(f"{place} cannot be removed: {error.strerror or error}") from error

    def prove(self, version: int, recent: pa.Table | None) -> Proof:
        """Load, verify and prove ``versions/<version>`` in this process, and let it answer ``recent``."""
        return prove_version(self._versions / str(version), version, recent)

    def servers(self) -> list[ServerReport]:
        """What each living server of ``<deployment>/servers`` says of itself; one that does not answer is not ready."""
        return ask_servers(self._root / "servers", self._timeout_s)

    @property
    def _versions(self) -> Path:
        return self._root / "versions"
