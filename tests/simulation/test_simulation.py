"""The production core and loop hold in the simulated world, and the simulation itself is to be trusted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command import trimtab
from trimtab.core.domain.errors import ExternalError, InvariantError
from trimtab.core.rollout import analysis
from trimtab.core.rollout.plan import RolloutPlan
from trimtab.replay.simulation import campaign, tell
from trimtab.replay.simulation.chance import Chance, Wheel, seeded
from trimtab.replay.simulation.chaos import Chaos, Died, Strike
from trimtab.replay.simulation.endpoint import Endpoint
from trimtab.replay.simulation.evidence import LABELS, RELATIONS, TRAFFIC, Comparison, Remembered
from trimtab.replay.simulation.run import remembering

ONCE_BROKEN = (23, 26, 35, 49, 54, 76, 135, 139, 146, 199, 221, 240, 532, 587, 10093, 11756)
"""Seeds that showed a defect of the production once; what each showed stands in docs/simulation.md."""


def test_sixty_stories_break_nothing() -> None:
    """A short campaign with each change; the long ones are in docs/simulation.md."""
    done = campaign(range(60), 200)
    assert [(finding.seed, finding.rule) for finding in done.findings] == []
    assert done.steps_done == 60 * 200
    happened = {name: done.counts[name] for name in ("promotions", "aborts", "rollbacks", "trainings", "conflicts")}
    assert all(happened.values()), f"a story without these proves little: {happened}"


@pytest.mark.parametrize("seed", ONCE_BROKEN)
def test_a_seed_that_once_failed_holds(seed: int) -> None:
    """Told again after every change of the core."""
    assert campaign([seed], 200).findings == []


def test_a_seed_tells_the_same_story_every_time() -> None:
    """An engineer reads a failing seed of last night: it must fail again, line by line."""
    stories: list[list[str]] = [[], []]
    for story in stories:
        tell(11, 120, story.append)
    assert stories[0] == stories[1]
    assert len(stories[0]) > 80
    with remembering():
        silent, told = Endpoint(11), Endpoint(11, tell=stories[0].append)
        silent.begin()
        told.begin()
        for _ in range(120):
            silent.step()
            told.step()
    assert [e.digest for e in silent.journal.read()] == [e.digest for e in told.journal.read()]


def test_remembered_evidence_is_what_the_production_measures() -> None:
    """The campaign's speed must not come from another analysis."""
    remembered, plan = Remembered(analysis._metrics), RolloutPlan(block_s=0.0)
    for relation, labels in zip(RELATIONS, LABELS, strict=True):
        comparison = Comparison(labels, TRAFFIC[0])
        for place in range(5):
            comparison.add(1000.0 * place, generation=1)
            facts = comparison.facts(relation, behind=0, generation=1)
            assert len(facts.looks) == place + 1
            for _ in range(2):
                assert remembered(plan, facts) == analysis._metrics(plan, facts)
    assert len(comparison.facts(RELATIONS[0], behind=3, generation=1).looks) == 2
    with pytest.raises(InvariantError, match="block_s"):
        remembered(RolloutPlan(), facts)


def test_a_strike_comes_once_at_its_call() -> None:
    """Half-calls are counted: one before the effect, one after."""
    chaos = Chaos()
    chaos.arm(Strike.DEATH, 2)
    chaos.around("target", "apply")
    with pytest.raises(Died):
        chaos.around("target", "apply")
    chaos.around("target", "apply")
    chaos.arm(Strike.FAILURE, 1)
    with pytest.raises(ExternalError, match=r"registry\.fetch timed out"):
        chaos.around("registry", "fetch")
    chaos.out.add("jobs")
    with pytest.raises(ExternalError, match="jobs does not answer"):
        chaos.around("jobs", "start")
    acted: list[str] = []
    chaos.arm(Strike.OTHER, 1, lambda: acted.append("somebody"))
    chaos.around("target", "routes")
    chaos.around("target", "routes")
    assert acted == ["somebody"]


def test_the_wheel_draws_by_weight() -> None:
    wheel, chance = Wheel({"often": 3.0, "never": 0.0, "seldom": 1.0}), Chance(seeded(5))
    drawn = [wheel.spin(chance) for _ in range(4000)]
    assert drawn.count("never") == 0
    assert 0.72 < drawn.count("often") / 4000 < 0.78


def test_the_command_counts_and_tells(tmp_path: Path) -> None:
    """The figures that a pipeline reads, and one story for a person; neither needs a project."""
    done = trimtab("simulate", "--seeds", "3", "--steps", "40", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    figures = json.loads(done.out)
    assert (figures["seeds"], figures["steps"], figures["violations"], figures["steps_done"]) == (3, 40, 0, 120)
    assert figures["steps_per_second"] > 0
    told = trimtab("simulate", "--seed", "3", "--steps", "30", "--verbose", cwd=tmp_path)
    assert told.code == 0
    assert "seed 3: " in told.out
    assert "0 violations" in told.out
    assert list(tmp_path.iterdir()) == []


def test_the_command_shows_a_broken_build_and_its_story(tmp_path: Path) -> None:
    """Whoever doubts the simulation breaks the loop and looks."""
    done = trimtab("simulate", "--seeds", "50", "--broken", "rewrites", cwd=tmp_path)
    assert done.code == 1
    assert "hash chain: entry" in done.out
    assert "the story of seed" in done.out
    unknown = trimtab("simulate", "--broken", "everything", cwd=tmp_path)
    assert unknown.code == 2
    assert "there is no broken build 'everything'; there are journal-after-acting" in unknown.err
    assert trimtab("simulate", "--verbose", "--seeds", "2", cwd=tmp_path).code == 2
    assert trimtab("simulate", "--steps", "0", cwd=tmp_path).code == 2
