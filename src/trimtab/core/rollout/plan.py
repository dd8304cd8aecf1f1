"""What a rollout is to do: the strategy, its steps, and what must be shown before each."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from trimtab.core.domain.errors import UserError

Strategy = Literal["canary", "blue-green", "shadow", "shadow-then-canary"]
OnLongest = Literal["ask", "promote", "abort"]

DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class Guardrails:
    """Limits that hold whatever the champion does. None: no such limit."""

    error_rate_max: float | None = 0.05
    """Share of the challenger's requests that may end in an error."""
    latency_p95_ms_max: float | None = 200.0
    """95 % of the challenger's answers must be faster. ``ArmCounts.slow`` counts the answers that are not."""
    invalid_rate_max: float | None = 0.01
    """Share of the challenger's outputs that may be invalid (not finite, not a class, scores that do not sum to
    one)."""

    rate_margin: float = 0.005
    """Rise of a rate of bad events over the champion's that is tolerated once it is shown to be no larger."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.rate_margin < 1.0:
            raise UserError(f"rollout.guardrails.rate_margin must be from 0 to 1, found {self.rate_margin!r}")
        for name in ("error_rate_max", "invalid_rate_max"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < 1.0:
                raise UserError(f"rollout.guardrails.{name} must be between 0 and 1, found {value!r} (0.05 is 5 %)")
        if self.latency_p95_ms_max is not None and not self.latency_p95_ms_max > 0.0:
            raise UserError(
                f"rollout.guardrails.latency_p95_ms_max must be positive, found {self.latency_p95_ms_max!r}"
            )


@dataclass(frozen=True, slots=True)
class RolloutPlan:
    """One rollout's rules, fixed when it starts."""

    strategy: Strategy = "shadow-then-canary"
    steps: tuple[int, ...] = (5, 25, 50, 100)
    """The challenger's weights in percent, rising; the last is 100. Reaching it is the promotion."""
    bake_s: float = 3600.0
    """Least time at each step, seconds."""
    requests_min: int = 100
    """Least requests of the challenger at each step."""
    labels_min: int = 200
    """Least labelled rows behind the primary metric, over the whole rollout. 0: the rollout may go on without
    labels."""
    alpha: float = 0.05
    """Bound on stopping a challenger that does no harm, over all metrics, steps and looks together."""
    margin: float = 0.01
    """How much worse the primary loss may be, in its own units (Brier score for classifiers, scaled error for
    regression)."""
    block_s: float = DAY_S
    """Losses within such a span share its weather, customers or outages. How much its means vary more than
    independent rows would weakens the evidence by that factor. 0: rows are taken as independent, which decides
    sooner."""
    disagreement_max: float | None = 0.2
    """Share of the rows that both versions score on which their predictions may differ, where this is all there is to
    judge by: no labels are waited for, or they are late. Else it is only shown. None: no limit."""
    score_shift_max: float | None = 0.1
    """Mean difference of the scores, either way, that is tolerated in the same cases. None: no limit."""
    longest_s: float = 14 * DAY_S
    """A step that is undecided for so long is handled by ``on_longest``."""
    on_longest: OnLongest = "ask"
    guardrails: Guardrails = field(default_factory=Guardrails)
    paired: bool = True
    """Whether both versions score each request, so that losses are compared row by row."""
    watch_s: float = DAY_S
    """How long the old champion stays warm and the new one is watched after the promotion, seconds."""

    def __post_init__(self) -> None:
        if self.strategy not in get_args(Strategy):
            raise UserError(f"rollout.strategy is {self.strategy!r}; it must be one of {', '.join(get_args(Strategy))}")
        if self.on_longest not in get_args(OnLongest):
            raise UserError(
                f"rollout.on_longest is {self.on_longest!r}; it must be one of {', '.join(get_args(OnLongest))}"
            )
        _check_steps(self.steps)
        if not 0.0 < self.alpha < 1.0:
            raise UserError(f"rollout.alpha must be between 0 and 1, found {self.alpha!r}")
        for name in ("bake_s", "requests_min", "labels_min", "margin", "block_s", "longest_s", "watch_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UserError(f"rollout.{name} must be a finite number of at least 0, found {value!r}")
        for name in ("disagreement_max", "score_shift_max"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < 1.0:
                raise UserError(f"rollout.{name} must be between 0 and 1, found {value!r} (0.2 is 20 %)")
        if self.longest_s < self.bake_s:
            raise UserError(f"rollout.longest_s ({self.longest_s:g}) is shorter than rollout.bake_s ({self.bake_s:g})")

    @property
    def shadows(self) -> bool:
        """Whether the rollout begins in shadow."""
        return self.strategy in ("shadow", "shadow-then-canary")


def _check_steps(steps: tuple[int, ...]) -> None:
    if not steps or steps[-1] != 100:
        raise UserError(f"rollout.steps must end with 100, found {list(steps)}")
    for index, weight in enumerate(steps):
        if weight != int(weight) or not 0 < weight <= 100:
            raise UserError(f"rollout.steps[{index}]: {weight} is not a whole percentage from 1 to 100")
        if index and weight <= steps[index - 1]:
            raise UserError(f"rollout.steps[{index}]: {weight} is not more than the step before ({steps[index - 1]})")
