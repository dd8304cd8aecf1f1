"""What keeps the loop from training itself into the ground; and a moved base rate, which needs no training at all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.decide.worlds import POLICY, World, drifted, record
from trimtab.core.decide.actions import AskApproval, RecordVersion, StartTraining
from trimtab.core.decide.responses import partners
from trimtab.core.decide.snapshot import JobFact, Snapshot
from trimtab.core.decide.status import Status
from trimtab.core.diagnosis.result import Assessment
from trimtab.core.domain.diagnosis import Diagnosis, Kind, Remedy
from trimtab.core.domain.times import DAY_S
from trimtab.core.domain.verdict import Severity, Verdict

PRIOR = Assessment(Diagnosis(Kind.PRIOR_SHIFT, Remedy.RECALIBRATE, Severity.MODERATE, 100.0))
DRIFT = Snapshot(assessment=drifted(50.0))


def world(**retrain: object) -> World:
    found = World(replace(POLICY, retrain=replace(POLICY.retrain, **retrain)))  # type: ignore[arg-type]
    return found.with_champion()


def started(world: World) -> StartTraining:
    """The training of the newest tick."""
    (found,) = [action for action in world.decisions[-1].actions if isinstance(action, StartTraining)]
    return found


def ended(world: World, outcome: str = "failed", version: int | None = None) -> list[str]:
    """The job of the running training comes to its end; the trouble is still there."""
    assert world.status.training is not None
    found = None if version is None else record(version, compared_to=1)
    fact = JobFact(world.status.training.spec.job, outcome, found, "it did not work")
    return world.tick(Snapshot(assessment=drifted(50.0), jobs=(fact,)))


def test_a_moved_base_rate_starts_a_recalibration_not_a_training() -> None:
    """Fraud became twice as frequent, by the same patterns: since then the scores are too low."""
    one = world(strategy="full")
    assert one.tick(Snapshot(assessment=PRIOR)) == ["OpenIncident", "StartTraining"]
    action = started(one)
    assert (action.strategy, action.since, action.champion, action.window_s) == ("recalibrate", 100.0, 1, None)
    assert action.retained == ()
    assert one.decisions[-1].moves[-1].reasons[0].code == "RecalibrateForIncident"


def test_where_the_recalibration_mended_nothing_a_model_is_trained() -> None:
    """The ranking was wrong after all: after the cool-down the next try is a full one."""
    one = world(strategy="full")
    one.tick(Snapshot(assessment=PRIOR))
    assert ended(one) == ["FinishTraining"]
    assert one.tick(Snapshot(assessment=PRIOR)) == []
    assert one.tick(Snapshot(assessment=PRIOR), after_s=8 * DAY_S) == ["StartTraining"]
    assert started(one).strategy == "full"


def test_with_approval_a_person_is_asked_for_the_recalibration_by_its_name() -> None:
    """Mode approve: what is asked must say what will be done."""
    one = world().in_mode("approve")
    one.tick(Snapshot(assessment=PRIOR))
    (ask,) = [action for action in one.decisions[-1].actions if isinstance(action, AskApproval)]
    assert ask.title == "recalibrate the champion (drift)"
    assert ask.actions[0]["strategy"] == "recalibrate"


def test_one_trouble_starts_one_training_however_often_it_is_seen() -> None:
    """The diagnosis says the same every ten seconds: deduplication."""
    one = world()
    names = [name for _ in range(20) for name in one.tick(DRIFT)]
    assert names == ["OpenIncident", "StartTraining"]


def test_the_cool_down_counts_from_the_start_of_the_last_run() -> None:
    """It failed after an hour; the next one must not follow at once."""
    one = world(cooldown_s=7 * DAY_S)
    one.tick(DRIFT)
    ended(one)
    assert one.tick(DRIFT, after_s=6.9 * DAY_S) == []
    assert one.tick(DRIFT, after_s=0.2 * DAY_S) == ["StartTraining"]


def test_the_budget_of_thirty_days_is_never_exceeded() -> None:
    """A cool-down of an hour, and a trouble that no training ends."""
    one = world(cooldown_s=3600.0, budget=4, breaker=1000)
    starts = []
    for _ in range(24 * 60):
        if "StartTraining" in one.tick(DRIFT, after_s=3600.0):
            starts.append(one.now)
            ended(one)
    assert len(starts) == 8  # in sixty days
    assert all(sum(0 <= later - start < 30 * DAY_S for later in starts) <= 4 for start in starts)


def test_after_three_runs_without_a_version_a_person_is_asked() -> None:
    """The circuit breaker: the data have changed in a way that nobody's retry mends."""
    one = world(cooldown_s=3600.0, breaker=3)
    for _ in range(3):
        assert "StartTraining" in one.tick(DRIFT, after_s=2 * 3600.0)
        ended(one, "rejected")
    assert one.tick(DRIFT, after_s=2 * 3600.0) == ["AskApproval"]
    assert one.decisions[-1].moves[-1].reasons[-1].code == "CircuitBreaker"
    assert one.tick(DRIFT, after_s=2 * DAY_S) == []  # the question stands; nothing is trained meanwhile


def retained(*versions: int, status: Status | None = None) -> Status:
    found = {version: record(version) for version in versions}
    return replace(status or Status(champion=versions[0]), versions=found)


def test_a_new_version_may_be_blended_with_the_champion_and_the_newest_others() -> None:
    """`retraining.blend: 3`."""
    assert partners(retained(1, 2, 3, 4), 3) == (1, 4)
    assert partners(retained(1, 2), 8) == (1, 2)
    assert partners(retained(1, 2), None) == ()


@pytest.mark.parametrize("change", ["barred", "rejected", "blend", "corrected"])
def test_what_does_not_belong_into_a_blend(change: str) -> None:
    """Version 3 was taken back, or did not pass, or is a blend itself, or version 4 is its correction."""
    status = retained(1, 2, 3, 4)
    versions = dict(status.versions)
    if change == "barred":
        status = replace(status, barred=frozenset({3}))
    elif change == "rejected":
        versions[3] = record(3, Verdict.FAILED)
    elif change == "blend":
        versions[3] = replace(versions[3], members=(1, 2), strategy="blend")
    else:
        versions[4] = replace(versions[4], parent=3, strategy="recalibrate")
    assert 3 not in partners(replace(status, versions=versions), 8)


def test_the_version_under_a_blend_is_recorded_and_not_rolled_out_by_itself() -> None:
    """The job registered version 2, and version 3, which is 2 and 1 together."""
    one = world(blend=2)
    one.tick(DRIFT)
    assert started(one).retained == (1,)
    assert one.status.training is not None
    blend = replace(record(3, compared_to=1), members=(2, 1), strategy="blend", made="blends v2 60%, v1 40%")
    fact = JobFact(one.status.training.spec.job, "registered", blend, "", (record(2, compared_to=1),))
    names = one.tick(Snapshot(jobs=(fact,)))
    assert names[:3] == ["RecordVersion", "RecordVersion", "FinishTraining"]
    kept = {a.record.version: a.deploy for a in one.decisions[-1].actions if isinstance(a, RecordVersion)}
    assert kept == {2: False, 3: True}
    assert one.decisions[-1].moves[0].reasons[0].code == "StrategyChosen"
    assert one.status.rollout is not None
    assert one.status.rollout.version == 3
