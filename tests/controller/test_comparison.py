"""When did the servers take a step? By the generation of routes in what they logged."""

from __future__ import annotations

import numpy as np

from trimtab.controller.comparison import Comparison
from trimtab.controller.evidence import Answered
from trimtab.core.rollout.facts import StepFacts
from trimtab.core.rollout.plan import Guardrails


def answered(version: int, generation: int, *clock: float) -> Answered:
    count = len(clock)
    none = np.zeros(count, dtype=bool)
    at = np.array(clock)
    whole = np.full(count, version), np.full(count, generation)
    return Answered(at, at, *whole, np.ones(count), none, none)


def test_a_step_begins_with_its_first_answer() -> None:
    """The controller journalled the step at 100 and the server read the routes at 130."""
    seen = Comparison(1, 2, 5, 60.0, Guardrails())
    assert seen.step(5) == StepFacts(None, 0)
    seen.count(answered(1, 4, 90.0, 110.0, 120.0))
    assert seen.step(5) == StepFacts(None, 0)
    seen.count(answered(1, 5, 130.0))
    seen.count(answered(2, 5, 131.0, 140.0))
    assert seen.step(5) == StepFacts(130.0, 2)
    assert seen.step(6) == StepFacts(None, 0)
    assert seen.facts(5).step == StepFacts(130.0, 2)


def test_the_last_server_counts() -> None:
    """One of two servers hangs on the old routes for five minutes; files of both are read in any order."""
    seen = Comparison(1, 2, 5, 60.0, Guardrails())
    seen.count(answered(2, 6, 200.0, 260.0))
    seen.count(answered(1, 5, 100.0, 500.0))
    assert seen.step(6) == StepFacts(500.0, 2)
    seen.count(answered(2, 6, 510.0))
    assert seen.step(6) == StepFacts(500.0, 3)


def test_in_shadow_what_was_scored_counts() -> None:
    """Nobody is answered by the challenger yet."""
    seen = Comparison(1, 2, 5, 60.0, Guardrails(), begins_in_shadow=True)
    seen.count(answered(1, 5, 100.0))
    seen.count_shadow(answered(2, 5, 100.5, 101.0))
    assert seen.step(5) == StepFacts(100.0, 2)


def test_an_empty_piece_of_the_log_changes_nothing() -> None:
    """Only labels came."""
    seen = Comparison(1, 2, 5, 60.0, Guardrails())
    seen.count(answered(1, 5))
    assert seen.step(5) == StepFacts(None, 0)
