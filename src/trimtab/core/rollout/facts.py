"""What was observed of a rollout, look by look. Facts only: the analysis judges them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ArmCounts:
    """Requests of one arm in one look and the bad events among them."""

    requests: int = 0
    """Answered by this arm; while it shadows, scored by it."""
    errors: int = 0
    slow: int = 0
    """Answers slower than ``guardrails.latency_p95_ms_max``; errors are not counted here."""
    invalid: int = 0
    """Outputs that are not what the signature promises."""

    def __add__(self, other: ArmCounts) -> ArmCounts:
        return ArmCounts(
            self.requests + other.requests,
            self.errors + other.errors,
            self.slow + other.slow,
            self.invalid + other.invalid,
        )


def _none() -> NDArray[np.float64]:
    return np.empty(0, dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What came in between the look before and ``at_s``. Losses are within [0, 1], each labelled row once, when its
    label came."""

    at_s: float
    champion: ArmCounts = field(default_factory=ArmCounts)
    challenger: ArmCounts = field(default_factory=ArmCounts)
    champion_latency_ms: NDArray[np.float64] = field(default_factory=_none)
    """Latencies of answers, milliseconds, shape (requests,) or a sample of them."""
    challenger_latency_ms: NDArray[np.float64] = field(default_factory=_none)
    paired_champion_loss: NDArray[np.float64] = field(default_factory=_none)
    """Losses on labelled rows that both versions scored, shape (rows,), same order as ``paired_challenger_loss``."""
    paired_challenger_loss: NDArray[np.float64] = field(default_factory=_none)
    champion_loss: NDArray[np.float64] = field(default_factory=_none)
    """Losses on labelled rows that the champion answered, shape (rows,); used where the rollout is not paired."""
    challenger_loss: NDArray[np.float64] = field(default_factory=_none)
    compared: int = 0
    """Rows that both versions scored, labelled or not."""
    disagreed: int = 0
    """Of these, rows with another class (regression: further apart than the champion's mean absolute error)."""
    score_shift: NDArray[np.float64] = field(default_factory=_none)
    """``profiles.pairs.shift_weights`` of score differences, challenger - champion, of the compared rows; empty where
    there is none."""


@dataclass(frozen=True, slots=True)
class StepFacts:
    """What the servers showed of the present step, by the generation of routes in their records."""

    taken_s: float | None
    """When the last server took the step: its first answer by these routes, or the last one by earlier routes,
    whichever is later. None: nobody was answered by it yet."""
    requests: int
    """Of the challenger, answered (or, in shadow, scored) by these routes."""


@dataclass(frozen=True, slots=True)
class RolloutFacts:
    """All looks since the rollout began, in order: evidence of harm gathers over the steps."""

    looks: tuple[Look, ...] = ()
    step: StepFacts | None = None
    """None: servers that tell no generation; then time and requests count from when the step was decided."""

    def since(self, at_s: float) -> tuple[Look, ...]:
        """The looks after ``at_s``."""
        return tuple(look for look in self.looks if look.at_s > at_s)
