"""The loop trains when it pays: retained versions are measured by a job, the arithmetic stands in the journal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.controller.desk import FakeDesk, baseline, predictions
from tests.decide.worlds import POLICY, record
from trimtab.controller import commands
from trimtab.controller.loop import Loop
from trimtab.controller.observe import Champion, Observer, Settings
from trimtab.controller.payoff import Payoff, PayoffPlan
from trimtab.core.decide.policy import Mode
from trimtab.core.domain.times import DAY_S
from trimtab.core.policy import ROLES, PayoffSettings

WEEK_S = 7 * DAY_S
PAYS = replace(POLICY, retrain=replace(POLICY.retrain, on_payoff=True, cooldown_s=WEEK_S))


def desk_at(week: float, **policy: Any) -> FakeDesk:
    """A first version, trained on two weeks, serves; requests have come in until ``week``."""
    desk = FakeDesk(policy=replace(PAYS, **policy))
    first = replace(record(1), created_at=2 * WEEK_S, trained_until=2 * WEEK_S - 1.0)
    commands.record(desk, first, deploy=True, actor="ann")
    loop_of(desk).tick()
    traffic(desk, week)
    return desk


def traffic(desk: FakeDesk, week: float) -> None:
    """One request at that time, and the clock there."""
    desk.clock.advance(week * WEEK_S - desk.clock.now())
    generation = (desk.target.routes() or pytest.fail("no routes")).generation
    desk.reader.add_predictions(
        f"w{week}", predictions([f"w{week}"], 1, [0.7], at=week * WEEK_S, generation=generation)
    )


def loop_of(desk: FakeDesk, price: float = 0.1) -> Loop:
    """A controller that has just started."""
    payoff = Payoff(desk.jobs, PayoffPlan(PayoffSettings(price=price), WEEK_S))
    observer = Observer(desk.reader, desk.jobs, desk.target, lambda v: Champion(v, baseline()), Settings(), payoff)
    return Loop(desk.policy, desk.journal, desk.clock, observer, desk.world)


def result(weeks: list[int], loss: float = 0.5) -> dict[str, Any]:
    """What the job found: the first version lost the same each week, on a hundred rows more."""
    blocks = [
        {"block": w, "rows": 100, "before": 100 * w, "losses": {"1": loss}, "roles": [loss] * len(ROLES)} for w in weeks
    ]
    return {"outcome": "measured", "blocks": blocks, "window_rows": 0.0, "training_share": 1.0, "error": None}


def started(desk: FakeDesk) -> list[str]:
    return [a["job"] for entry in desk.journal.read() for a in entry.actions if a["type"] == "StartTraining"]


def test_a_run_starts_when_its_debt_has_reached_the_price() -> None:
    """Weeks go by without an incident: what a refit would gain adds up, and one day it is worth its price."""
    desk = desk_at(3.5)
    loop = loop_of(desk)
    assert loop.tick().snapshot.advice is None
    assert desk.jobs.running() == ("measure-b3-v1-1",)
    desk.jobs.finish("measure-b3-v1-1", result([2]))
    advice = loop.tick().snapshot.advice
    assert advice is not None
    assert (advice.train, advice.reason.code) == (False, "RetrainNotYet")
    traffic(desk, 6.5)
    loop.tick()
    desk.jobs.finish("measure-b6-v1-1", result([2, 3, 4, 5]))
    loop.tick()
    assert len(started(desk)) == 1
    entry = desk.journal.read()[-1]
    assert entry.actions[0]["trigger"] == "payoff"
    assert entry.reasons[0]["code"] == "RetrainPays"
    assert entry.evidence["debt"] >= entry.evidence["price"] == 0.1
    assert started(desk)[0] in desk.jobs.running()


def test_a_run_that_failed_pays_the_debt_and_the_cooldown_holds() -> None:
    """It failed: a controller that starts later does not ask for the same run again at once."""
    desk = desk_at(6.5)
    loop_of(desk, price=0.3).tick()
    desk.jobs.finish("measure-b6-v1-1", result([2, 3, 4, 5]))
    loop_of(desk, price=0.3).tick()
    (job,) = started(desk)
    desk.jobs.finish(job, {"outcome": "failed", "record": None, "error": "no"})
    for week in (6.6, 7.7):
        traffic(desk, week)
        loop_of(desk, price=0.3).tick()
    desk.jobs.finish("measure-b7-v1-1", result([2, 3, 4, 5, 6]))
    advice = loop_of(desk, price=0.3).tick().snapshot.advice
    assert started(desk) == [job]
    assert advice is not None
    assert advice.reason.code == "RetrainNotYet"


def test_a_measuring_that_fails_is_begun_anew_three_times_and_then_said() -> None:
    """The registry was away each time: people read why nothing is known, and the next block begins anew."""
    desk = desk_at(6.5)
    loop = loop_of(desk)
    for attempt in (1, 2, 3):
        loop.tick()
        desk.jobs.finish(f"measure-b6-v1-{attempt}", {"outcome": "failed", "error": "registry is away"})
    loop.tick()
    advice = loop.tick().snapshot.advice
    assert advice is not None
    assert (advice.reason.code, advice.reason.text) == ("CouldNotMeasure", "registry is away")
    assert desk.jobs.running() == ()
    traffic(desk, 7.5)
    loop.tick()
    assert desk.jobs.running() == ("measure-b7-v1-1",)


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.APPROVE])
def test_people_who_want_to_be_asked_are_asked(mode: Mode) -> None:
    """In approve mode a question stands where the run would have begun; in observe mode nothing does."""
    desk = desk_at(6.5, mode=mode)
    loop = loop_of(desk)
    loop.tick()
    desk.jobs.finish("measure-b6-v1-1", result([2, 3, 4, 5]))
    loop.tick()
    assert started(desk) == []
    assert bool(loop.status.approvals) == (mode is Mode.APPROVE)


def test_a_project_that_does_not_go_by_it_measures_nothing() -> None:
    """The default: `on: [drift]`."""
    desk = desk_at(6.5)
    desk.loop().tick()
    assert desk.jobs.running() == ()


def test_a_measuring_that_outlasts_its_block_is_read_all_the_same() -> None:
    """A replay plays a week in a second, or the history is large: the next one waits for the one that runs."""
    desk = desk_at(5.5)
    loop = loop_of(desk)
    loop.tick()
    traffic(desk, 6.5)
    loop.tick()
    assert desk.jobs.running() == ("measure-b5-v1-1",)
    desk.jobs.finish("measure-b5-v1-1", result([2, 3, 4]))
    advice = loop.tick().snapshot.advice
    assert advice is not None
    assert advice.reason.code == "RetrainPays"
    assert "measure-b6-v1-1" in desk.jobs.running()
