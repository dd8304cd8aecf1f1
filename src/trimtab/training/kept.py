"""The fitted estimator of a run, kept beside its package so that a later run can learn on from it.

A package holds what is served, often a compiled form that nothing can be added to. So where a project trains
incrementally, the run keeps the object itself: a folder ``estimator`` among its files, sealed like a package, its
digest in the version's record. Nothing is loaded from it before every file has been verified against that digest.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from trimtab.core.domain.errors import IntegrityError
from trimtab.serving.package import read_signature, seal, verify
from trimtab.serving.runtimes.native import NativeSettings, load_estimator
from trimtab.training.compile_candidates import native_form

FOLDER = "estimator"
SETTINGS, CONFIGURED = "settings.json", "configured.json"


@dataclass(frozen=True, slots=True)
class Kept:
    """A fitted estimator of an earlier run."""

    estimator: Any
    configured: dict[str, Any] | None
    """The project's ``estimator`` section at that time, plain; None where that is not told."""


def keep(to: Path, estimator: Any, configured: dict[str, Any]) -> str:
    """Write the estimator and the ``estimator`` section that made it to the new directory ``to``, and seal it.

    Returns:
        The sha256 of its manifest.

    Raises:
        DataError: it can be stored in no way.
    """
    form = native_form(estimator, NativeSettings(columns={}))
    to.mkdir(parents=True)
    for name, content in form.files.items():
        (to / name).write_bytes(content)
    (to / SETTINGS).write_bytes(msgspec.json.format(msgspec.json.encode(form.settings), indent=2) + b"\n")
    (to / CONFIGURED).write_bytes(msgspec.json.format(msgspec.json.encode(configured), indent=2) + b"\n")
    return seal(to)


def load_kept(folder: Path, digest: str) -> Kept:
    """The estimator that ``keep`` wrote.

    Raises:
        IntegrityError: a file is not what was recorded.
        ExternalError: a library that it needs is not here.
    """
    verify(folder, digest)
    try:
        settings = msgspec.json.decode((folder / SETTINGS).read_bytes(), type=NativeSettings)
        configured = msgspec.json.decode((folder / CONFIGURED).read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        raise IntegrityError(f"{folder} is no kept estimator: {error}") from error
    return Kept(load_estimator(folder, settings), configured)


def of_package(package: Path) -> Kept | None:
    """The estimator of a verified package that serves the object itself; None where it serves a compiled form."""
    signature = read_signature(package)
    if signature.runtime.name != "native":
        return None
    settings = msgspec.convert(signature.runtime.settings, NativeSettings)
    return Kept(load_estimator(package, settings), None)
