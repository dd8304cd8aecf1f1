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


def chain(previous: str, seq: int, draft: Draft) -> str:
    """sha256 over ``previous`` and the canonical JSON of every other field, in hexadecimal.

    Who changes, removes or inserts an entry must recompute every digest after it; the newest digest, noted
    elsewhere, then still tells. Cutting entries off the end is not visible from the chain alone.
    """
    body = canonical(
        {
            "seq": seq,
            "at": float(draft.at),
            "actor": draft.actor,
            "actions": draft.actions,
            "reasons": draft.reasons,
            "cause": draft.cause,
            "evidence": draft.evidence,
        }
    )
    return hashlib.sha256((previous + body).encode()).hexdigest()


def first_broken(entries: Iterable[Entry]) -> int | None:
    """The sequence number of the first entry that does not fit what is before it, or None; ``entries`` begin at 1."""
    previous, expected = GENESIS, 1
    for entry in entries:
        draft = Draft(entry.at, entry.actor, entry.actions, entry.reasons, entry.cause, entry.evidence)
        if entry.seq != expected or entry.previous != previous or chain(previous, entry.seq, draft) != entry.digest:
            return entry.seq
        previous, expected = entry.digest, expected + 1
    return None
