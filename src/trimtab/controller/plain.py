"""Values of ours as plain JSON: for ``--json``, and for the control API."""

from __future__ import annotations

from typing import Any


def plain(value: Any) -> Any:
    """Dataclasses, enums and tuples as dicts, texts and lists, the same every time; what could not be measured (NaN,
    infinite) as None, since JSON has neither.

    >>> plain({"b": float("nan"), "a": (1, 2)})
    {'a': [1, 2], 'b': None}
    """
    import msgspec

    return _finite(msgspec.to_builtins(value, str_keys=True, order="deterministic"))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value
