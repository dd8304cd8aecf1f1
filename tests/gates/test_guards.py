"""Gates that stop what is shown to be bad: slices, fairness, memory, calibration, churn, missing inputs."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab.core.domain.verdict import Verdict
from trimtab.core.gates.calibration import calibration_gate
from trimtab.core.gates.churn import churn_gate
from trimtab.core.gates.fairness import Group, fairness_gate
from trimtab.core.gates.memory import memory_gate
from trimtab.core.gates.metrics import Answers
from trimtab.core.gates.missing import Without, missing_gate
from trimtab.core.gates.slices import SliceLosses, slices_gate

CHANCE = 11


def _slices(worse: dict[int, float], sizes: list[int], seed: int = CHANCE) -> list[SliceLosses]:
    chance = np.random.default_rng(seed)
    out = []
    for i, rows in enumerate(sizes):
        theirs = chance.gamma(1.0, 0.5, rows)
        ours = theirs + chance.normal(0, 0.4, rows) + worse.get(i, 0.0)
        out.append(SliceLosses(f"hospital {i}", ours, theirs))
    return out


def _slice_verdict(slices: list[SliceLosses]) -> Verdict:
    return slices_gate(slices, reference="v1", loss="log loss", tolerance=0.05, rows_min=20).verdict


def test_one_bad_hospital_fails_whatever_the_average_says() -> None:
    """92 % overall, 70 % in one hospital."""
    slices = _slices({3: 0.6}, [2000, 2000, 2000, 300, 40])
    result = slices_gate(slices, reference="v1", loss="log loss", tolerance=0.05, rows_min=20)
    assert result.verdict is Verdict.FAILED
    assert result.text.startswith("hospital 3 is worse than v1 by 0.592 > 0.050")


def test_a_hundred_small_slices_do_not_fail_by_chance() -> None:
    """Nothing is worse; 60 retrains with 100 slices of 20 to 60 rows each."""
    sizes = [20 + i % 40 for i in range(100)]
    verdicts = [_slice_verdict(_slices({}, sizes, seed)) for seed in range(60)]
    assert verdicts.count(Verdict.FAILED) <= 4
    assert verdicts.count(Verdict.SUCCESSFUL) >= 45


def test_slices_without_enough_rows_say_nothing() -> None:
    assert _slice_verdict(_slices({0: 5.0}, [10])) is Verdict.INCONCLUSIVE


def test_groups_are_compared_as_fairlearn_does() -> None:
    """Equalized odds on the rates that ``fairlearn.metrics`` gives: (40/50, 10/50) against (20/50, 12/50)."""
    truth = np.repeat([True, False], 50)
    first = Group("a", truth, np.r_[np.arange(50) < 40, np.arange(50) < 10])
    second = Group("b", truth, np.r_[np.arange(50) < 20, np.arange(50) < 12])
    result = fairness_gate([first, second], measure="equalized_odds", limit=0.1, rows_min=30)
    assert result.value == pytest.approx(0.4)
    assert result.verdict is Verdict.FAILED
    parity = fairness_gate([first, second], measure="demographic_parity", limit=0.3, rows_min=30)
    assert parity.value == pytest.approx(0.18)
    assert parity.verdict is Verdict.SUCCESSFUL


def test_small_groups_are_not_unfair_by_chance() -> None:
    """Five groups of 60 with the same rates, 200 times: failed is rarer than the stated 5 %."""
    chance = np.random.default_rng(2)
    verdicts = []
    for _ in range(200):
        groups = [Group(str(i), chance.uniform(size=60) < 0.5, chance.uniform(size=60) < 0.4) for i in range(5)]
        verdicts.append(fairness_gate(groups, measure="demographic_parity", limit=0.05, rows_min=30).verdict)
    assert verdicts.count(Verdict.FAILED) <= 10


def test_groups_that_are_too_small_ask() -> None:
    groups = [Group("a", np.ones(5, bool), np.ones(5, bool)), Group("b", np.ones(5, bool), np.zeros(5, bool))]
    assert fairness_gate(groups, measure="equal_opportunity", limit=0.1, rows_min=30).verdict is Verdict.INCONCLUSIVE


def test_memory_has_three_answers() -> None:
    assert memory_gate(100.0, limit_mb=2048).verdict is Verdict.SUCCESSFUL
    assert memory_gate(3000.0, limit_mb=2048).verdict is Verdict.FAILED
    assert memory_gate(None, limit_mb=2048, why="no /proc").verdict is Verdict.INCONCLUSIVE


def _scored(rows: int, shift: float, seed: int = CHANCE) -> Answers:
    chance = np.random.default_rng(seed)
    p = chance.uniform(0.1, 0.6, rows)
    truth = (chance.uniform(size=rows) < p).astype(float)
    said = np.clip(p + shift, 0, 1)
    return Answers(truth, (said > 0.5).astype(float), np.column_stack([1 - said, said]))


def test_scores_that_do_not_come_true_fail() -> None:
    """Trained on rows that were balanced by hand."""
    assert calibration_gate(_scored(4000, 0.0), None, limit=0.1).verdict is Verdict.SUCCESSFUL
    assert calibration_gate(_scored(4000, 0.3), None, limit=0.1).verdict is Verdict.FAILED
    assert calibration_gate(_scored(300, 0.14, 5), None, limit=0.1).verdict is Verdict.INCONCLUSIVE
    assert calibration_gate(_scored(50, 0.3), None, limit=0.1).verdict is Verdict.INCONCLUSIVE


def test_a_candidate_no_worse_than_the_champion_is_let_through() -> None:
    """The world moved: both are off."""
    both = _scored(4000, 0.3)
    assert calibration_gate(both, both, limit=0.1).verdict is Verdict.SUCCESSFUL


def test_regressions_are_counted_not_improvements() -> None:
    chance = np.random.default_rng(3)
    truth = chance.integers(0, 2, 1000).astype(float)
    scores = np.full((1000, 2), 0.5)
    right = Answers(truth, truth, scores)
    wrong = Answers(truth, np.where(chance.uniform(size=1000) < 0.4, 1 - truth, truth), scores)
    assert churn_gate(right, wrong, limit=0.2, name="v1").verdict is Verdict.SUCCESSFUL
    assert churn_gate(wrong, right, limit=0.2, name="v1").verdict is Verdict.FAILED
    number = Answers(truth, truth + 0.1)
    far = Answers(truth, truth + np.where(np.arange(1000) % 2, 0.5, 0.0))
    assert churn_gate(far, number, limit=0.2, name="v1").verdict is Verdict.FAILED


def test_a_model_that_leans_on_one_feed_fails() -> None:
    """Without it the scores are far worse than the base rate; answers that are no numbers fail outright."""
    chance = np.random.default_rng(6)
    constant = chance.uniform(0.2, 0.3, 500)
    good, bad = constant * 0.6, constant * 2.5
    found = missing_gate([Without("sensor", bad), Without("rain", good)], good, constant, tolerance=0.5)
    assert found.verdict is Verdict.FAILED
    assert found.text.startswith("without sensor the loss is")
    assert missing_gate([Without("rain", good)], good, constant, tolerance=0.5).verdict is Verdict.SUCCESSFUL
    broken = [Without("rain", np.where(np.arange(500) == 3, np.nan, good))]
    assert missing_gate(broken, good, constant, tolerance=0.5).verdict is Verdict.FAILED
    none = missing_gate([], good, constant, tolerance=0.5, refused=["sensor"])
    assert none.verdict is Verdict.SUCCESSFUL
    assert "needed: sensor" in none.text
