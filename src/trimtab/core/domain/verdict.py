"""Three answers and 'could not measure', and the arithmetic behind each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """No evidence is never success: ``inconclusive`` is an answer with a path of its own."""

    SUCCESSFUL = "successful"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"
    """Could not be measured."""


class Severity(StrEnum):
    """minor: log; moderate: alert the team; severe: act."""

    MINOR = "minor"
    MODERATE = "moderate"
    SEVERE = "severe"


@dataclass(frozen=True, slots=True)
class Reason:
    """One piece of evidence: a stable code, words for people, and the figures."""

    code: str
    """CamelCase and stable, e.g. ``MissingFlood``, ``GateFailed``, ``LossWorse``; each is explained in
    docs/reasons.md.
    """
    text: str
    """Value, comparison and limit in words: ``error rate 6.1 % > 5 % (305 of 5,000)``."""
    value: float | None = None
    limit: float | None = None


def combine(verdicts: list[Verdict]) -> Verdict:
    """The verdict of a whole from its parts: failed beats error beats inconclusive beats successful; nothing is
    inconclusive.

    >>> combine([Verdict.SUCCESSFUL, Verdict.INCONCLUSIVE])
    <Verdict.INCONCLUSIVE: 'inconclusive'>
    >>> combine([])
    <Verdict.INCONCLUSIVE: 'inconclusive'>
    """
    for worst in (Verdict.FAILED, Verdict.ERROR, Verdict.INCONCLUSIVE):
        if worst in verdicts:
            return worst
    return Verdict.SUCCESSFUL if verdicts else Verdict.INCONCLUSIVE
