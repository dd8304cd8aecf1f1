"""Before traffic goes back to an earlier version, that version is tried: a rollback must not make things worse."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from trimtab.controller.converge import World, install
from trimtab.core.domain.errors import ConflictError, ExternalError, NotFoundError
from trimtab.core.domain.proof import Proof

if TYPE_CHECKING:
    import pyarrow as pa


def preflight(version: int, world: World) -> Proof:
    """Fetch the version where it is not installed, and try it on what recent requests carried. Nothing is moved.

    A log that cannot be read does not hold a rollback up; the proof says so.
    """
    try:
        install(version, world.registry, world.target)
    except (ExternalError, ConflictError, NotFoundError) as error:
        return Proof(version, False, f"it cannot be installed: {error}")
    recent, unread = _recent(world)
    try:
        proof = world.target.prove(version, recent)
    except ExternalError as error:
        return Proof(version, False, f"it cannot be tried: {error}")
    return replace(proof, text=f"{proof.text} ({unread})") if unread else proof


def first_that_fits(versions: Iterable[int], world: World) -> tuple[Proof, ...]:
    """Preflights in order, up to and with the first that is passed."""
    tried: list[Proof] = []
    for version in versions:
        tried.append(preflight(version, world))
        if tried[-1].fits:
            break
    return tuple(tried)


def _recent(world: World) -> tuple[pa.Table | None, str]:
    if world.reader is None:
        return None, ""
    try:
        return world.reader.recent(), ""
    except ExternalError as error:
        return None, f"recent requests cannot be read: {error}"
