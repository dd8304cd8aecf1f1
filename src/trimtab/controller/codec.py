"""Actions from the journal's plain JSON, checked against their types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from typing import Any, get_args

import msgspec

from trimtab.controller.garbage import collector_paused
from trimtab.core.decide import actions as act
from trimtab.core.decide.actions import Action
from trimtab.core.decide.encode import encode
from trimtab.core.decide.fold import IGNORED, Folded, fold_all
from trimtab.core.decide.moves import Move
from trimtab.core.decide.status import Status
from trimtab.core.domain.errors import ExternalError
from trimtab.core.domain.gate import VersionRecord
from trimtab.core.domain.journal import Draft, Entry
from trimtab.ports import Skimmed

TYPES: dict[str, type] = {cls.__name__: cls for cls in get_args(act.Action)}


def decode(data: dict[str, Any]) -> Action:
    """The action of one journal record.

    Raises:
        ExternalError: the record names an unknown type or lacks a field: it was written by a newer Trimtab, or
        tampered with.
    """
    cls = TYPES.get(str(data.get("type")))
    if cls is None:
        raise _unknown(data.get("type"))
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


def catch_up(status: Status, entries: Iterable[Entry]) -> Status:
    """The status after these entries."""
    return fold_all(status, ((entry.seq, entry.at, map(decode, entry.actions)) for entry in entries))


def replay(status: Status, entries: Sequence[Skimmed]) -> Status:
    """The status after these entries, from their text: what the fold ignores is not even decoded.

    Raises:
        ExternalError: as ``decode``.
    """
    batches = (_decoded(entries[begin : begin + _BATCH]) for begin in range(0, len(entries), _BATCH))
    with collector_paused():
        return fold_all(status, chain.from_iterable(batches))


class _Kind(msgspec.Struct):
    """Of an action, only which it is."""

    type: str


_KINDS = msgspec.json.Decoder(list[list[_Kind]])
_PARTS = msgspec.json.Decoder(list[list[msgspec.Raw]])
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(cls, strict=False) for name, cls in TYPES.items()
}
_SKIPPED = frozenset(cls.__name__ for cls in IGNORED)
_BATCH = 1_000


def _decoded(batch: Sequence[Skimmed]) -> Iterator[Folded]:
    """All texts in two sweeps, then each action by its own decoder: half the time of decoding to plain values first."""
    text = f"[{','.join([actions for _, _, actions in batch])}]"
    try:
        kinds, parts = _KINDS.decode(text), _PARTS.decode(text)
    except msgspec.DecodeError as error:
        raise ExternalError(f"the journal's entries {batch[0][0]} to {batch[-1][0]} cannot be read: {error}") from error
    for (seq, at, _), names, raws in zip(batch, kinds, parts, strict=True):
        pairs = zip(names, raws, strict=True)
        yield seq, at, [_action(kind.type, raw) for kind, raw in pairs if kind.type not in _SKIPPED]


def _action(kind: str, raw: msgspec.Raw) -> Action:
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise _unknown(kind)
    try:
        action: Action = decoder.decode(raw)
    except msgspec.DecodeError as error:
        raise ExternalError(f"the journal's {kind} cannot be read: {error}") from error
    return action


def _unknown(kind: object) -> ExternalError:
    return ExternalError(f"the journal names an action '{kind}' that this version of Trimtab does not know")


def record_of(data: dict[str, Any]) -> VersionRecord:
    """A version record from plain JSON (a job's result)."""
    try:
        return msgspec.convert(data, VersionRecord, strict=False)
    except msgspec.ValidationError as error:
        raise ExternalError(f"a training result's version record cannot be read: {error}") from error
