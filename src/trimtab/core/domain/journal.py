"""An entry of the journal: one decision, with its actions, its reasons, who took it and what caused it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from trimtab.core.domain.errors import InvariantError

GENESIS = "0" * 64
"""``previous`` of the first entry."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A decision that is not yet in the journal. Everything in it is plain JSON."""

    at: float
    """The ``now`` of the tick or command, seconds since the epoch."""
    actor: str
    """``controller`` or a person's name."""
    actions: tuple[dict[str, Any], ...]
    """Each has ``type`` and the fields of that action (trimtab.core.decide.actions)."""
    reasons: tuple[dict[str, Any], ...] = ()
    """Each has ``code``, ``text``, ``value``, ``limit``."""
    cause: int | None = None
    """The decision that this one follows from; None where it follows from observations alone."""
    evidence: dict[str, Any] = field(default_factory=dict)
    """The figures that were looked at, and the thresholds in force."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A decision in the journal. ``seq`` is its id: people type it (``trimtab why 17``)."""

    seq: int
    """1, 2, 3, … without gaps."""
    at: float
    actor: str
    actions: tuple[dict[str, Any], ...]
    reasons: tuple[dict[str, Any], ...]
    cause: int | None
    evidence: dict[str, Any]
    previous: str
    """Hash of the entry before (64 zeros for the first)."""
    digest: str
    """sha256 over ``previous`` and the canonical JSON of all other fields."""


@dataclass(frozen=True, slots=True)
class Query:
    """Which entries: everything that is named must hold. ``Query()`` is all of them."""

    after: int = 0
    """``seq`` greater than this."""
    before: int | None = None
    """``seq`` less than this."""
    kind: str | None = None
    """Type of an action in it, e.g. ``Abort``."""
    rollout: str | None = None
    """An action in it is about this rollout. Together with ``kind`` and ``version``: one and the same action."""
    version: int | None = None
    """An action in it is about this version."""
    cause: int | None = None
    """The decision that it follows from."""
    since: float | None = None
    """``at`` of at least this, seconds since the epoch."""
    until: float | None = None
    """``at`` less than this."""
    limit: int | None = None
    """At most so many: the first ones, or with ``newest`` the last ones. In order either way."""
    newest: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """What an action is about: a journal finds entries by it."""

    kind: str
    rollout: str | None = None
    version: int | None = None


def subjects(actions: Iterable[dict[str, Any]]) -> tuple[Subject, ...]:
    """What the actions of an entry are about, each once and in order. An action about two versions has two subjects; a
    question has those of what it asks for too, under its own kind.

    >>> subjects([{"type": "RollBack", "version": 3, "from_version": 4}])
    (Subject(kind='RollBack', rollout=None, version=3), Subject(kind='RollBack', rollout=None, version=4))
    """
    out: dict[Subject, None] = {}
    for action in actions:
        kind = str(action.get("type"))
        for about in (action, *_asked(action)):
            rollout = about.get("rollout")
            for version in _versions(about) or (None,):
                out[Subject(kind, rollout if isinstance(rollout, str) else None, version)] = None
    return tuple(out)


def _asked(action: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    asked = action.get("actions")
    return tuple(one for one in asked if isinstance(one, dict)) if isinstance(asked, list | tuple) else ()


def _versions(action: dict[str, Any]) -> tuple[int, ...]:
    record = action.get("record")
    named = [action.get(name) for name in ("version", "from_version", "by_version")]
    named.append(record.get("version") if isinstance(record, dict) else None)
    return tuple(version for version in named if type(version) is int)


def canonical(value: Any) -> str:
    """The one JSON text of a value: keys sorted, no spaces, no escapes but the necessary ones.

    Raises:
        InvariantError: the value is not plain JSON (NaN, a numpy scalar, a lone surrogate, …).

    >>> canonical({"b": (1, 2.0), "a": None})
    '{"a":null,"b":[1,2.0]}'
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError) as error:
        raise InvariantError(f"a journal entry must be plain JSON: {error}") from error
    return text


@dataclass(frozen=True, slots=True)
class Written:
    """The parts of a draft as the JSON that is stored, and hashed."""

    actions: str
    reasons: str
    evidence: str

    @classmethod
    def of(cls, draft: Draft | Entry) -> Written:
        """Raises InvariantError where a part is not plain JSON."""
        return cls(canonical(draft.actions), canonical(draft.reasons), canonical(draft.evidence))


def chain(previous: str, seq: int, at: float, actor: str, cause: int | None, written: Written) -> str:
    """sha256 over ``previous`` and the canonical JSON of every other field, in hexadecimal.

    Who changes, removes or inserts an entry must recompute every digest after it; the newest digest, noted
    elsewhere, then still tells. Cutting entries off the end is not visible from the chain alone.
    """
    body = (
        f'{{"actions":{written.actions},"actor":{canonical(actor)},"at":{canonical(float(at))},'
        f'"cause":{canonical(cause)},"evidence":{written.evidence},"reasons":{written.reasons},"seq":{seq}}}'
    )
    return hashlib.sha256((previous + body).encode()).hexdigest()


def first_broken(entries: Iterable[Entry]) -> int | None:
    """The sequence number of the first entry that does not fit what is before it, or None; ``entries`` begin at 1."""
    previous, expected = GENESIS, 1
    for entry in entries:
        digest = chain(previous, entry.seq, entry.at, entry.actor, entry.cause, Written.of(entry))
        if entry.seq != expected or entry.previous != previous or digest != entry.digest:
            return entry.seq
        previous, expected = entry.digest, expected + 1
    return None
