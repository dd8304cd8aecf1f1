"""Actions as plain JSON, with the type's name beside the fields."""

from __future__ import annotations

from dataclasses import asdict
from enum import Enum
from typing import Any

from trimtab.core.decide.actions import Action


def encode(action: Action) -> dict[str, Any]:
    """``{"type": "Abort", "rollout": "r12", …}``: what the journal stores. Decoding is the edge's
    (trimtab.controller.codec).
    """
    return {"type": type(action).__name__, **_plain(asdict(action))}


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value
