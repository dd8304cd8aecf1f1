"""The decision as a pure function: each test is a day in the life of an endpoint, in milliseconds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.decide.worlds import PLAN, World, drifted, fault, given, looks, paired_look, record
from trimtab.core.decide import commands
from trimtab.core.decide.actions import Abort, OpenIncident, StartTraining
from trimtab.core.decide.decide import decide
from trimtab.core.decide.snapshot import JobFact, Snapshot
from trimtab.core.decide.status import routes_of
from trimtab.core.diagnosis.result import Assessment, Fault
from trimtab.core.domain.diagnosis import Diagnosis, Kind, Remedy
from trimtab.core.domain.errors import InvariantError, NotFoundError, RefusedError
from trimtab.core.domain.routes import Share
from trimtab.core.domain.times import DAY_S
from trimtab.core.domain.verdict import Severity, Verdict
from trimtab.core.rollout.facts import RolloutFacts


def test_the_same_arguments_give_the_same_decision() -> None:
    """An engineer replays a night's decision from the journal and must see what the controller saw."""
    world = World().with_champion().with_candidate()
    first = decide(world.policy, world.status, Snapshot(), 99.0)
    assert first == decide(world.policy, world.status, Snapshot(), 99.0)
    assert first.moves


def test_a_first_version_takes_all_traffic() -> None:
    """`trimtab train` in a new project: nothing to compare with, so it serves at once."""
    world = World().with_champion()
    routes = routes_of(world.status)
    assert routes is not None
    assert routes.split == (Share(1, 100),)
    assert routes.generation == 1


def test_a_canary_advances_on_evidence_and_time_and_is_promoted() -> None:
    """A good release on an ordinary week."""
    world = World().with_champion().with_candidate()
    assert world.tick() == ["StartRollout", "EnterStep"]
    routes = routes_of(world.status)
    assert routes is not None
    assert routes.split == (Share(1, 90), Share(2, 10))
    assert set(routes.shadow) == {1, 2}, "both arms score every request: a paired comparison"
    assert world.tick() == [], "no traffic is no evidence"
    started = world.now
    seen = [paired_look(started + 0.3 * DAY_S, -0.02), paired_look(started + 0.6 * DAY_S, -0.02)]
    assert world.tick(looks(*seen), after_s=0.7 * DAY_S) == [], "the bake time is not over"
    seen.append(paired_look(started + 0.9 * DAY_S, -0.02))
    assert world.tick(looks(*seen), after_s=0.4 * DAY_S) == ["EnterStep"]
    seen.append(paired_look(world.now + 0.5 * DAY_S, -0.02))
    assert world.tick(looks(*seen), after_s=1.1 * DAY_S) == ["Promote"]
    assert world.status.champion == 2
    assert world.status.previous == (1,)
    assert world.status.watch is not None


def test_what_was_said_of_the_old_champion_is_not_held_against_the_new_one() -> None:
    """A drift retraining is promoted in a tick whose assessment still speaks of its predecessor."""
    world = World().with_champion().with_candidate()
    world.tick()
    for _ in range(2):
        good = RolloutFacts(tuple(paired_look(world.now + k * 3600, -0.02) for k in range(1, 20)))
        done = world.tick(Snapshot(event_time=1.0, assessment=drifted(), assessed=1, rollout=good), after_s=1.1 * DAY_S)
    assert "Promote" in done
    assert "OpenIncident" not in done
    assert not world.status.open_incidents


def test_a_step_that_no_server_has_taken_is_not_passed() -> None:
    """The routes cannot be written or read: evidence goes on coming in, of traffic that was never moved."""
    world = World().with_champion().with_candidate()
    world.tick()
    behind = world.status.generation - 1
    good = RolloutFacts(tuple(paired_look(world.now + k * 3600, -0.02) for k in range(1, 20)))
    held = Snapshot(rollout=good, generation=behind, servers=1)
    assert world.tick(held, after_s=1.1 * DAY_S) == []
    assert world.tick(replace(held, generation=behind + 1)) == ["EnterStep"]
    bad = RolloutFacts((paired_look(world.now + 600, 0.1, rows=800),))
    assert world.tick(Snapshot(rollout=bad, generation=behind + 1, servers=1)) == ["Abort"], "harm never waits"


def test_a_watch_does_not_end_before_the_new_champion_was_served() -> None:
    """The promotion is in the journal and the servers still answer from the old version."""
    world = World().with_champion().with_candidate()
    world.tick()
    world.apply(given(commands.promote(world.status, "ann", "")).actions)
    behind = Snapshot(generation=world.status.generation - 1, servers=1)
    assert world.tick(behind, after_s=3 * DAY_S) == []
    assert world.tick(replace(behind, generation=world.status.generation)) == ["EndWatch"]


def test_harm_aborts_at_once_and_bars_the_version() -> None:
    """A release that is worse on live labels: users must not wait for the bake time."""
    world = World().with_champion().with_candidate()
    world.tick()
    assert world.tick(looks(paired_look(world.now + 600, 0.1, rows=800))) == ["Abort"]
    routes = routes_of(world.status)
    assert routes is not None
    assert routes.split == (Share(1, 100),)
    assert 2 in world.status.barred
    assert world.tick() == [], "a barred version is not tried again by itself"
    abort = next(a for a in world.decisions[-2].actions if isinstance(a, Abort))
    assert "loss" in abort.text


def test_a_version_that_a_server_refuses_is_aborted() -> None:
    """A package is damaged on its way to a server: the old version keeps answering."""
    world = World().with_champion().with_candidate()
    world.tick()
    assert world.tick(Snapshot(servers=1, refused={2: "sha256 of model.onnx does not match"})) == ["Abort"]


def test_a_promoted_version_that_turns_bad_is_taken_back_by_itself() -> None:
    """After 100 % the old champion still scores in shadow; the new one fails two hours later."""
    world = World().with_champion().with_candidate()
    world.tick()
    move = commands.promote(world.status, "ann", "in a hurry")
    world.apply(given(move).actions)
    assert world.status.watch is not None
    bad = RolloutFacts((paired_look(world.now + 600, 0.1, rows=800),))
    assert world.tick(Snapshot(watch=bad), after_s=7200) == ["RollBack"]
    assert world.status.champion == 1
    assert 2 in world.status.barred


def test_a_watch_ends_in_peace() -> None:
    """Two quiet days after a promotion the predecessor stops scoring in shadow."""
    world = World().with_champion().with_candidate()
    world.tick()
    world.apply(given(commands.promote(world.status, "ann", "")).actions)
    assert world.tick(after_s=PLAN.watch_s + 1) == ["EndWatch"]
    routes = routes_of(world.status)
    assert routes is not None
    assert routes.shadow == ()


def test_drift_starts_one_training_and_not_another_within_the_cooldown() -> None:
    """A slow decline in spring: one retraining, not one per tick."""
    world = World().with_champion()
    assert world.tick(Snapshot(event_time=1.0, assessment=drifted())) == ["OpenIncident", "StartTraining"]
    assert world.tick(Snapshot(event_time=1.0, assessment=drifted())) == []
    job = world.status.training.spec.job if world.status.training else ""
    ended = Snapshot(event_time=1.0, assessment=drifted(), jobs=(JobFact(job, "failed", None, "no rows"),))
    assert world.tick(ended) == ["FinishTraining"]
    assert world.tick(Snapshot(event_time=1.0, assessment=drifted())) == [], "cool-down"
    later = world.tick(Snapshot(event_time=1.0, assessment=drifted()), after_s=8 * DAY_S)
    assert later == ["StartTraining"], "the trouble is still there after the cool-down"


def test_a_broken_column_is_an_incident_and_nothing_is_trained_on_it() -> None:
    """An upstream job delivers an empty column for three weeks: fix the data, keep the model."""
    world = World().with_champion()
    broken = Assessment(Diagnosis(Kind.DATA_FAULT, Remedy.FIX_DATA, Severity.SEVERE, 5.0), faults=(fault(since=5.0),))
    assert world.tick(Snapshot(event_time=10.0, assessment=broken)) == ["OpenIncident"]
    assert world.tick(Snapshot(event_time=10.0, assessment=broken)) == [], "one fault is one incident"
    both = Assessment(drifted(6.0).diagnosis, faults=(fault(since=5.0),))
    assert "StartTraining" not in world.tick(Snapshot(event_time=10.0, assessment=both))
    mended = Assessment(drifted(6.0).diagnosis, faults=(fault(since=5.0, until=DAY_S),))
    done = world.tick(Snapshot(event_time=2 * DAY_S, assessment=mended))
    assert done[0] == "CloseIncident"
    training = next(a for a in world.decisions[-1].actions if isinstance(a, StartTraining))
    assert training.quarantines == ((5.0, DAY_S, ("wind",)),)


def test_broken_labels_are_one_incident_that_outlasts_another_cause() -> None:
    """All labels arrive as 'no' for a week; on the third day a column breaks as well."""
    world = World().with_champion()
    labels = Fault("ConstantLabels", (), 5.0, None, Severity.SEVERE, "all 900 labels are 'no'", 1.0, 0.5)
    broken = Assessment(Diagnosis(Kind.LABEL_FAULT, Remedy.FIX_LABELS, Severity.SEVERE, 5.0), faults=(labels,))
    assert world.tick(Snapshot(event_time=10.0, assessment=broken)) == ["OpenIncident"]
    assert world.tick(Snapshot(event_time=10.0, assessment=broken)) == []
    both = Diagnosis(Kind.DATA_FAULT, Remedy.FIX_DATA, Severity.SEVERE, 9.0)
    more = Assessment(both, faults=(labels, fault(since=9.0)))
    assert world.tick(Snapshot(event_time=12.0, assessment=more)) == ["OpenIncident"]
    assert [i.kind for i in world.status.open_incidents] == [Kind.LABEL_FAULT, Kind.DATA_FAULT]
    assert world.tick(Snapshot(event_time=20.0, assessment=Assessment(Diagnosis()))) == ["CloseIncident"]


def test_no_promotion_while_data_are_broken_but_harm_still_aborts() -> None:
    """A canary is under way when a feed breaks."""
    world = World().with_champion().with_candidate()
    world.tick()
    broken = Assessment(Diagnosis(), faults=(fault(since=5.0),))
    good = RolloutFacts(tuple(paired_look(world.now + k * 3600, -0.02) for k in range(1, 20)))
    assert world.tick(Snapshot(event_time=9.0, assessment=broken, rollout=good), after_s=1.1 * DAY_S) != ["Promote"]
    weight = world.status.rollout.weight if world.status.rollout else None
    assert world.tick(Snapshot(event_time=9.0, assessment=broken, rollout=good), after_s=2 * DAY_S) == []
    assert world.status.rollout is not None
    assert world.status.rollout.weight == weight
    bad = RolloutFacts((paired_look(world.now, 0.1, rows=800),))
    assert world.tick(Snapshot(event_time=9.0, assessment=broken, rollout=bad)) == ["Abort"]


def test_a_rejected_candidate_keeps_the_champion_and_tells() -> None:
    """The night's retraining did not beat the champion."""
    world = World().with_champion()
    world.tick(Snapshot(event_time=1.0, assessment=drifted()))
    rejected = record(2, Verdict.FAILED, compared_to=1)
    job = world.status.training.spec.job if world.status.training else ""
    done = world.tick(Snapshot(event_time=1.0, jobs=(JobFact(job, "rejected", rejected, "performance failed"),)))
    assert done == ["RecordVersion", "FinishTraining"]
    assert world.status.champion == 1
    assert world.status.waiting is None
    with pytest.raises(RefusedError, match="did not pass its gates"):
        commands.deploy(world.status, 2, PLAN, "ann", "")


def test_approve_mode_asks_and_carries_out_what_was_approved() -> None:
    """A team that wants a person in the loop."""
    world = World().with_champion().in_mode("approve")
    assert world.tick(Snapshot(event_time=1.0, assessment=drifted())) == ["OpenIncident", "AskApproval"]
    assert world.tick(Snapshot(event_time=1.0, assessment=drifted())) == [], "asked once"
    key, question = next(iter(world.status.approvals.items()))
    from trimtab.controller.codec import decode

    actions = tuple(decode(a) for a in question.actions)
    world.apply(given(commands.answer(world.status, key, True, actions, world.now, "ann", "go")).actions)
    assert world.status.training is not None
    assert not world.status.approvals
    assert commands.answer(world.status, key, True, (), world.now, "ann", "again") is None, "idempotent"
    with pytest.raises(NotFoundError, match="waits for an answer"):
        commands.answer(world.status, key, False, (), world.now, "bo", "no")


def test_observe_mode_changes_nothing() -> None:
    """The first weeks with a new tool: it only says."""
    world = World().with_champion().with_candidate().in_mode("observe")
    assert world.tick(Snapshot(event_time=1.0, assessment=drifted())) == ["OpenIncident"]
    assert world.status.rollout is None
    assert world.status.training is None


def test_three_failures_in_a_row_ask_a_person() -> None:
    """Every candidate is rejected: the loop must not retrain itself into the ground."""
    world = World().with_champion()
    for _ in range(3):
        world.tick(Snapshot(event_time=1.0, assessment=drifted()), after_s=8 * DAY_S)
        job = world.status.training.spec.job if world.status.training else ""
        world.tick(Snapshot(event_time=1.0, assessment=drifted(), jobs=(JobFact(job, "failed", None, "x"),)))
    assert world.tick(Snapshot(event_time=1.0, assessment=drifted()), after_s=8 * DAY_S) == ["AskApproval"]


def test_one_change_of_traffic_per_tick() -> None:
    """A promotion and a waiting candidate come together: the second waits for the next look."""
    world = World().with_champion().with_candidate(2)
    world.tick()
    world.with_candidate(3)
    bad = looks(paired_look(world.now + 600, 0.1, rows=800))
    assert world.tick(bad) == ["Abort"], "the new candidate starts only at the next tick"
    assert world.tick() == ["StartRollout", "EnterStep"]
    assert world.status.rollout is not None
    assert world.status.rollout.version == 3


def test_a_minor_shift_is_noted_and_nothing_else() -> None:
    """The traffic mix moves and the model does not mind."""
    world = World().with_champion()
    shift = Assessment(Diagnosis(Kind.HARMLESS_SHIFT, Remedy.NONE, Severity.MINOR, 5.0, ("origin",)))
    assert world.tick(Snapshot(event_time=9.0, assessment=shift)) == ["OpenIncident"]
    assert world.tick(Snapshot(event_time=9.0, assessment=shift), after_s=30 * DAY_S) == []
    opened = next(a for a in world.decisions[-2].actions if isinstance(a, OpenIncident))
    assert opened.severity is Severity.MINOR
    assert len(world.decisions[-2].actions) == 1, "a note, no alert"


def test_roll_back_goes_to_the_last_champion_and_is_refused_without_one() -> None:
    """Three in the morning: one command."""
    world = World().with_champion()
    with pytest.raises(RefusedError, match="only one that ever served"):
        commands.roll_back(world.status, None, "ann", "")
    world.with_candidate()
    world.tick()
    world.apply(given(commands.promote(world.status, "ann", "")).actions)
    move = commands.roll_back(world.status, None, "ann", "errors")
    assert move is not None
    world.apply(given(move).actions)
    assert world.status.champion == 1
    assert commands.roll_back(world.status, 1, "ann", "again") is None, "idempotent"
    with pytest.raises(NotFoundError, match="version 9 is not registered; registered: 1, 2"):
        commands.roll_back(world.status, 9, "ann", "")


def test_a_version_without_gates_never_serves() -> None:
    """Somebody registers a version by hand."""
    world = World().with_champion()
    move = commands.record(world.status, record(2, Verdict.INCONCLUSIVE), deploy=True)
    assert move is not None
    world.apply(given(move).actions)
    assert world.tick() == []
    with pytest.raises(RefusedError, match="did not pass its gates"):
        commands.deploy(world.status, 2, PLAN, "ann", "")
    with pytest.raises(RefusedError, match="a name and a reason"):
        commands.override(world.status, 2, "ann", " ")
    allowed = commands.override(world.status, 2, "ann", "hotfix")
    assert allowed is not None
    world.apply(allowed.actions)
    assert commands.deploy(world.status, 2, PLAN, "ann", "hotfix") is not None


def test_an_illegal_entry_is_refused_before_it_is_written() -> None:
    """A defect in a rule: the journal must not take a second champion."""
    from trimtab.core.decide.actions import DeployFirst

    world = World().with_champion()
    with pytest.raises(InvariantError, match="version 1 is champion already"):
        world.apply((DeployFirst(2),))
