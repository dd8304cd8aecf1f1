"""Argo Rollouts and Flagger over our real answers, by their rules, with the snippets of the docs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.console.rules import AnalysisRun, Canary, EvaluationError, holds, measured
from tests.console.test_app import Api, api, rollout_under_way, snippet, tick
from tests.controller.test_loop import compared_traffic
from trimtab.core.domain.times import DAY_S

__all__ = ["api"]

METRIC = snippet("AnalysisTemplate")["spec"]["metrics"][0]
ANALYSIS = snippet("Canary")["spec"]["analysis"]


def polled(api: Api, rollout: str = "current") -> str:
    """One measurement by the documented metric."""
    return measured(METRIC, *api.ask(f"/api/v1/analysis/{rollout}"))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ('result.verdict == "failed"', False),
        ('result.verdict != "failed" && result.n >= 0', True),
        ("result.score == nil || result.score > 0.05", True),
        ("isNil(result.ready_at)", True),
        ("default(result.score, 1) > 0.05", True),
        ('!(result.phase == "paused")', True),
        ("result.final", False),
    ],
)
def test_conditions_that_people_write_find_their_fields(api: Api, condition: str, expected: bool) -> None:
    """At the start of a rollout, when much is null."""
    rollout_under_way(api.desk)
    assert holds(condition, api.verdict()) is expected


def test_null_cannot_be_compared_and_the_page_says_so(api: Api) -> None:
    """``result.score > 0.05`` before anything was seen."""
    rollout_under_way(api.desk)
    with pytest.raises(EvaluationError):
        holds("result.score > 0.05", api.verdict())


def test_an_analysis_run_waits_through_a_restart_and_ends_with_the_evidence(api: Api) -> None:
    """The controller is deployed anew in the night: nobody answers for five minutes, then labels come."""
    loop, run = rollout_under_way(api.desk), AnalysisRun(METRIC)
    assert [run.take(polled(api)) for _ in range(3)] == ["Running"] * 3
    assert {run.take(measured(METRIC, 503, None)) for _ in range(30)} == {"Running"}
    assert run.take(polled(api)) == "Running"
    for day in range(1, 4):
        api.desk.clock.advance(1.1 * DAY_S)
        compared_traffic(api.desk, f"day{day}", challenger_score=0.8)
        tick(api.desk, loop)
    assert run.take(polled(api, "r4")) == "Successful"


def test_a_day_without_evidence_pauses_and_harm_fails_at_once(api: Api) -> None:
    """No traffic at all; then a broken version."""
    loop, run = rollout_under_way(api.desk), AnalysisRun(METRIC)
    phases = [run.take(polled(api)) for _ in range(3)]
    phases += [run.take("Inconclusive") for _ in range(METRIC["count"] - 3)]
    assert phases == ["Running"] * (METRIC["count"] - 1) + ["Inconclusive"]
    api.desk.clock.advance(1.1 * DAY_S)
    compared_traffic(api.desk, "day1", challenger_score=0.2)
    tick(api.desk, loop)
    assert AnalysisRun(METRIC).take(polled(api)) == "Failed"


def canary(api: Api, *, away: bool = False) -> Canary:
    def call(hook: Mapping[str, Any]) -> int | None:
        path = "/" + hook["url"].split("/", 3)[3]
        message = {"name": "flights", "namespace": "models", "phase": "Progressing", "checksum": "1"}
        return None if away else api.ask(path, {**message, "metadata": {"rollout": "r4"}})[0]

    return Canary(ANALYSIS, call)


def test_flagger_goes_on_and_waits_for_the_evidence_before_it_promotes(api: Api) -> None:
    """Ten intervals without a label, then enough of them."""
    loop, flagger = rollout_under_way(api.desk), canary(api)
    for _ in range(ANALYSIS["iterations"] + 1):
        flagger.advance()
    assert (flagger.phase, flagger.failed_checks) == ("WaitingPromotion", 0)
    for day in range(1, 4):
        api.desk.clock.advance(1.1 * DAY_S)
        compared_traffic(api.desk, f"day{day}", challenger_score=0.8)
        tick(api.desk, loop)
    assert flagger.advance() == "Succeeded"


def test_flagger_rolls_back_at_harm_within_an_interval(api: Api) -> None:
    """The labels of the first night."""
    loop, flagger = rollout_under_way(api.desk), canary(api)
    assert [flagger.advance() for _ in range(3)] == ["Progressing"] * 3
    api.desk.clock.advance(1.1 * DAY_S)
    compared_traffic(api.desk, "day1", challenger_score=0.2)
    tick(api.desk, loop)
    assert flagger.advance() == "Failed"


def test_flagger_bears_a_control_api_that_is_away_for_some_intervals(api: Api) -> None:
    """As the page says: ``threshold`` is how many."""
    rollout_under_way(api.desk)
    flagger, nobody = canary(api), canary(api, away=True)
    flagger.advance()
    nobody.iterations, nobody.phase = flagger.iterations, flagger.phase
    assert [nobody.advance() for _ in range(ANALYSIS["threshold"])] == ["Progressing"] * ANALYSIS["threshold"]
    assert nobody.advance() == "Failed"
