"""A plan says at once what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.core.domain.errors import UserError
from trimtab.core.rollout.plan import Guardrails, RolloutPlan


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"strategy": "cannary"}, "rollout.strategy is 'cannary'; it must be one of canary, blue-green"),
        ({"on_longest": "wait"}, "rollout.on_longest is 'wait'"),
        ({"steps": (5, 25)}, r"rollout.steps must end with 100, found \[5, 25\]"),
        ({"steps": ()}, "rollout.steps must end with 100"),
        ({"steps": (5, 120, 100)}, r"rollout.steps\[1\]: 120 is not a whole percentage"),
        ({"steps": (25, 5, 100)}, r"rollout.steps\[1\]: 5 is not more than the step before \(25\)"),
        ({"alpha": 5}, "rollout.alpha must be between 0 and 1"),
        ({"margin": -0.1}, "rollout.margin must be a finite number of at least 0"),
        ({"bake_s": float("nan")}, "rollout.bake_s must be a finite number"),
        ({"bake_s": 100.0, "longest_s": 10.0}, "rollout.longest_s .* is shorter than rollout.bake_s"),
    ],
)
def test_wrong_plans_name_the_field(fields: dict[str, Any], message: str) -> None:
    """Slips in trimtab.yaml."""
    with pytest.raises(UserError, match=message):
        RolloutPlan(**fields)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"error_rate_max": 5}, "error_rate_max"),
        ({"latency_p95_ms_max": 0}, "latency_p95"),
        ({"rate_margin": -1}, "rate_margin"),
    ],
)
def test_wrong_guardrails_name_the_field(fields: dict[str, Any], name: str) -> None:
    """Five percent written as 5."""
    with pytest.raises(UserError, match=f"rollout.guardrails.{name}"):
        Guardrails(**fields)


def test_the_default_shadows_first() -> None:
    """Where labels are known, the cheapest evidence comes first."""
    assert RolloutPlan().shadows
    assert not RolloutPlan(strategy="canary").shadows
