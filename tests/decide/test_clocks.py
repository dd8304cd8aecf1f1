"""Clocks of machines differ, and are set: nothing may hang for ever on a moment that a wrong clock noted."""

from __future__ import annotations

from dataclasses import replace

from tests.decide.worlds import POLICY, World, given, paired_look
from trimtab.core.decide import commands
from trimtab.core.decide.actions import FinishTraining
from trimtab.core.decide.policy import Mode
from trimtab.core.decide.snapshot import Snapshot
from trimtab.core.domain.times import DAY_S
from trimtab.core.rollout.facts import RolloutFacts, StepFacts


def test_a_step_that_a_clock_ahead_decided_is_left_on_the_servers_time() -> None:
    """The controller's machine woke up thirty days ahead, decided, and was set right an hour later."""
    world = World().with_champion().with_candidate()
    right = world.now
    world.now += 30 * DAY_S
    assert world.tick() == ["StartRollout", "EnterStep"]
    world.now = right
    seen = RolloutFacts((paired_look(right + 600, -0.05, rows=800),), StepFacts(right + 60.0, 900))
    assert world.tick(Snapshot(rollout=seen), after_s=0.5 * DAY_S) == [], "not before the bake time"
    assert world.tick(Snapshot(rollout=seen), after_s=0.6 * DAY_S) == ["EnterStep"]


def test_a_watch_that_a_clock_ahead_began_ends() -> None:
    """Candidates would wait for a month otherwise."""
    world = World().with_champion().with_candidate()
    right = world.now
    world.now += 30 * DAY_S
    world.tick()
    world.apply(given(commands.promote(world.status, "ann", "")).actions)
    world.now = right
    watch_s = POLICY.plan.watch_s
    unseen = Snapshot(watch=RolloutFacts(()))
    assert world.tick(unseen, after_s=watch_s + 60.0) == [], "nobody was answered by it yet"
    answered = Snapshot(watch=RolloutFacts((), StepFacts(world.now, 5)))
    assert world.tick(answered, after_s=0.9 * watch_s) == []
    assert world.tick(answered, after_s=0.2 * watch_s) == ["EndWatch"]


def test_training_by_the_calendar_goes_on_after_a_clock_was_ahead() -> None:
    """A run of next month must not keep all runs of this month from starting."""
    retrain = replace(POLICY.retrain, every_s=5 * DAY_S, cooldown_s=DAY_S)
    world = World(replace(POLICY, mode=Mode.AUTOMATIC, retrain=retrain)).with_champion()
    assert world.tick(after_s=6 * DAY_S) == ["StartTraining"]
    training = world.status.training
    assert training is not None
    ahead = replace(training, started_at=world.now + 60 * DAY_S)
    world.status = replace(world.status, training=ahead)
    world.apply((FinishTraining(training.spec.job, "failed"),))
    assert world.tick(after_s=60.0) == ["StartTraining"]
