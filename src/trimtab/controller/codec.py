"""Actions from the journal's plain JSON, checked against their types."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, get_args

import msgspec

from trimtab.core.decide import actions as act
from trimtab.core.decide.actions import Action
from trimtab.core.decide.encode import encode
from trimtab.core.decide.fold import fold
from trimtab.core.decide.moves import Move
from trimtab.core.decide.status import Status
from trimtab.core.domain.errors import ExternalError
from trimtab.core.domain.gate import VersionRecord
from trimtab.core.domain.journal import Draft, Entry

TYPES: dict[str, type] = {cls.__name__: cls for cls in get_args(act.Action)}


def decode(data: dict[str, Any]) -> Action:
    """The action of one journal record.

    Raises:
        ExternalError: the record names an unknown type or lacks a field: it was written by a newer Trimtab, or
        tampered with.
    """
    cls = TYPES.get(str(data.get("type")))
    if cls is None:
        raise ExternalError(
            f"the journal names an action '{data.get('type')}' that this version of Trimtab does not know"
        )
    try:
        action: Action = msgspec.convert(data, cls, strict=False)
    except msgspec.ValidationError as error:
        raise ExternalError(f"the journal's {cls.__name__} cannot be read: {error}") from error
    return action


def draft(move: Move, at: float, actor: str) -> Draft:
    """A move as the journal takes it."""
    return Draft(
        at=at,
        actor=actor,
        actions=tuple(encode(action) for action in move.actions),
        reasons=tuple(asdict(reason) for reason in move.reasons),
        cause=move.cause,
        evidence=move.evidence,
    )


def catch_up(status: Status, entries: list[Entry]) -> Status:
    """The status after these entries."""
    for entry in entries:
        status = fold(status, entry.seq, entry.at, (decode(action) for action in entry.actions))
    return status


def record_of(data: dict[str, Any]) -> VersionRecord:
    """A version record from plain JSON (a job's result)."""
    try:
        return msgspec.convert(data, VersionRecord, strict=False)
    except msgspec.ValidationError as error:
        raise ExternalError(f"a training result's version record cannot be read: {error}") from error
