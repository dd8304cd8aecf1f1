"""What was found when a version was tried before it gets traffic back."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Proof:
    """The preflight of a version: loads, is what its manifest says, gives its recorded answers, takes today's
    inputs.
    """

    version: int
    fits: bool
    text: str
    """What was tried, or the first thing that failed."""
    rows: int = 0
    """Recent requests that it answered in the trial; 0 where no traffic was seen."""
