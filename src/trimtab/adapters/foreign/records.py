"""What every foreign log comes down to: one answered row, and the half of it that is there before the other half."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Place:
    """Where in somebody's files a record stands, for messages."""

    file: str
    line: int
    """1-based line, or position of the record in its file."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Half:
    """A request or a response that waits for its counterpart."""

    key: str
    """Equal for both halves."""
    id: str
    response: bool
    time: float | None
    """Seconds since the epoch."""
    rows: list[Any]
    """Of a request: a mapping of inputs for each row. Of a response: an output for each row."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One row with its answer."""

    id: str
    time: float
    event_time: float
    inputs: dict[str, Any]
    scores: tuple[float, ...] | None
    """One per class."""
    prediction: Any
    """Text of the class, or the value; None where only scores are known."""
    label: Any = None
    label_time: float | None = None


@dataclass(slots=True)
class Tally:
    """What an import did."""

    files: int = 0
    unchanged: int = 0
    """Files that were read before and have not changed."""
    rows: int = 0
    """Written."""
    repeated: int = 0
    """Left out: their ids are in the log already."""
    waiting: int = 0
    """Requests without a response yet, and the other way round."""
    labels: int = 0
    repeated_labels: int = 0
    ignored: int = 0
    """Events of other types."""
    columns: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
