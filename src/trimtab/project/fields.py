"""Types of single settings: durations, names, classes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from trimtab.core.domain.errors import UserError
from trimtab.core.domain.times import DAY_S, duration_text, parse_duration

DURATION_S_MAX = 100 * 366 * DAY_S
"""A hundred years: beyond it, moments leave the calendar."""
DURATION_PATTERN = r"^\s*(\d+(\.\d+)?\s*(min|[smhdw])\s*)+$|^0$"


def _seconds(value: Any, info: ValidationInfo) -> float:
    """Seconds of a duration. In a file it must have a unit; in Python a number is seconds."""
    if isinstance(value, str):
        try:
            return _bounded(0.0 if value.strip() == "0" else parse_duration(value), value)
        except UserError as problem:
            raise PydanticCustomError("duration", "{text}", {"text": str(problem)}) from problem
    if isinstance(value, (int, float)) and not isinstance(value, bool) and (info.mode == "python" or value == 0):
        if not 0 <= value < float("inf"):
            raise PydanticCustomError("duration", "a duration cannot be {found}", {"found": value})
        return float(value)
    raise PydanticCustomError("duration", "{found} has no unit; write e.g. 90s, 5m, 12h, 7d or 1d12h", {"found": value})


def _bounded(seconds: float, found: str) -> float:
    if seconds > DURATION_S_MAX:
        raise PydanticCustomError("duration", "'{found}' is more than a hundred years", {"found": found})
    return seconds


def _text(seconds: float) -> str:
    """The duration in words, exact: what is recorded must read back as the same number."""
    words = duration_text(seconds)
    return words if parse_duration(words) == seconds else f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def _class(value: Any) -> str | int | float | bool:
    """A class of the target as it stands in the data."""
    if isinstance(value, (str, int, float, bool)):
        return value
    raise PydanticCustomError("scalar", "must be one class of the target (a text, a number, true or false)")


def _listed(value: Any) -> Any:
    """A single text is a list of one."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


Duration = Annotated[
    float,
    BeforeValidator(_seconds),
    PlainSerializer(_text, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN}),
]
"""Seconds; written as ``90s``, ``5m``, ``12h``, ``7d``, ``2w`` or a sum such as ``1d12h``."""

Scalar = Annotated[
    str | int | float | bool,
    PlainValidator(_class),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]

Column = Annotated[str, Field(min_length=1)]

_LISTED_SCHEMA: dict[str, Any] = {
    "anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "string", "minLength": 1}}]
}
Texts = Annotated[tuple[Column, ...], BeforeValidator(_listed), WithJsonSchema(_LISTED_SCHEMA)]
"""A list of texts; a single text stands for a list of one."""

_COLUMNS_SCHEMA: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
Columns = Annotated[tuple[str, ...], BeforeValidator(_listed), WithJsonSchema(_COLUMNS_SCHEMA)]
"""A list of columns, of which one may have no name: the index that pandas writes into a CSV file."""

_TRIGGER_SCHEMA = {"type": "string", "enum": ["drift", "schedule", "payoff", "manual"]}
Triggers = Annotated[
    tuple[Literal["drift", "schedule", "payoff", "manual"], ...],
    BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [_TRIGGER_SCHEMA, {"type": "array", "items": _TRIGGER_SCHEMA, "minItems": 1}]}),
]

Share = Annotated[float, Field(gt=0, lt=1)]
