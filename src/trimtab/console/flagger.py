"""Flagger's webhooks: each asks whether it may do something; a status of 2xx is yes, 409 is no, the body says why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from trimtab.controller.verdicts import CURRENT, RolloutVerdict
from trimtab.core.domain.errors import NotFoundError, UserError

YES, NO = 200, 409


@dataclass(frozen=True, slots=True)
class Hook:
    """What a hook asks, and which verdicts answer it with yes."""

    asks: str
    yes: frozenset[str]


_NOT_FAILED = frozenset({"successful", "inconclusive"})
_SHOWN = frozenset({"successful"})

HOOKS: Mapping[str, Hook] = MappingProxyType(
    {
        "confirm-rollout": Hook("begin", _NOT_FAILED),
        "pre-rollout": Hook("send traffic", _NOT_FAILED),
        "rollout": Hook("go on", _NOT_FAILED),
        "confirm-traffic-increase": Hook("send more traffic", _SHOWN),
        "confirm-promotion": Hook("promote", _SHOWN),
        "rollback": Hook("roll back now", frozenset({"failed"})),
    }
)
"""By Flagger's names. ``rollout`` is asked at each interval, where 'not yet decided' is no reason to stop."""


def hook_of(name: str) -> Hook:
    """The hook of that name.

    Raises:
        NotFoundError: there is none; the text names those there are.
    """
    hook = HOOKS.get(name)
    if hook is None:
        raise NotFoundError(f"there is no hook '{name}'; there is {', '.join(HOOKS)}")
    return hook


def rollout_of(body: Any) -> str:
    """The rollout that Flagger's message is about: ``metadata.rollout``, else the current one.

    Raises:
        UserError: the message is not what Flagger sends.
    """
    if not isinstance(body, dict):
        raise UserError(f"the body must be a JSON object as Flagger sends it, found {type(body).__name__}")
    metadata = body.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise UserError(f"metadata must be an object of texts, found {type(metadata).__name__}")
    name = metadata.get("rollout", CURRENT)
    if not isinstance(name, str) or not name:
        raise UserError(f"metadata.rollout must be a rollout's name such as 'r12' or 'current', found {name!r}")
    return name


def answer(hook: Hook, verdict: RolloutVerdict) -> tuple[int, str]:
    """Status and words: ``no, do not promote: rollout r4 of version 2 is inconclusive: bake time 10m < 1h``."""
    yes = verdict.verdict in hook.yes
    said = f"{'yes' if yes else 'no'}, {'' if yes else 'do not '}{hook.asks}"
    about = f"rollout {verdict.rollout} of version {verdict.version} is {verdict.verdict}: {verdict.reason}"
    return (YES if yes else NO), f"{said}: {about}"
