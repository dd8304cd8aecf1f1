"""What a rollout goes by until labels come."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rollout.test_analysis import DAY_S, HOUR_S, PLAN, START_S, codes, generator
from trimtab.core.domain.verdict import Verdict
from trimtab.core.profiles.pairs import SHIFT_GRID, shift_weights
from trimtab.core.rollout.agreement import disagreement_metric, score_shift_metric
from trimtab.core.rollout.analysis import Analysis, analyse
from trimtab.core.rollout.facts import ArmCounts, Look, RolloutFacts
from trimtab.core.stats.bets import MeanBets

UNLABELLED = replace(PLAN, labels_min=0)


def looks(chance: np.random.Generator, hours: int, differ: float, shift: float, rows: int = 40) -> tuple[Look, ...]:
    """``rows`` an hour that both versions scored, none of them labelled."""
    return tuple(
        Look(
            START_S + hour * HOUR_S,
            ArmCounts(rows // 2),
            ArmCounts(rows // 2),
            compared=rows,
            disagreed=int(chance.binomial(rows, differ)),
            score_shift=shift_weights(np.clip(chance.normal(shift, 0.08, rows), -1, 1)),
        )
        for hour in range(1, hours + 1)
    )


def last(plan: object, seen: tuple[Look, ...]) -> Analysis:
    return analyse(plan, RolloutFacts(seen), START_S, seen[-1].at_s)  # type: ignore[arg-type]


def test_without_labels_a_version_that_agrees_goes_on() -> None:
    """Labels come after a quarter of a year; the plan says not to wait for them."""
    seen = looks(generator(1), 48, differ=0.05, shift=0.01)
    assert codes(last(UNLABELLED, seen[:2])) != []
    done = last(UNLABELLED, seen)
    assert done.verdict is Verdict.SUCCESSFUL
    assert {"PredictionsCompared"} <= set(codes(done))
    assert done.rows == 48 * 40


@pytest.mark.parametrize(
    ("differ", "shift", "code"),
    [(0.5, 0.0, "PredictionsDiffer"), (0.05, 0.3, "ScoresShifted"), (0.05, -0.3, "ScoresShifted")],
)
def test_without_labels_a_version_that_answers_quite_otherwise_is_stopped(
    differ: float, shift: float, code: str
) -> None:
    """Two columns are swapped in the new version's preprocessing."""
    done = last(UNLABELLED, looks(generator(2), 24, differ, shift))
    assert (done.verdict, codes(done)) == (Verdict.FAILED, [code])
    assert done.score is not None
    assert done.score <= UNLABELLED.alpha


def test_where_labels_are_waited_for_agreement_neither_promotes_nor_stops() -> None:
    """Labels come tonight: until then it is shown."""
    same, other = looks(generator(3), 48, 0.02, 0.0), looks(generator(4), 48, 0.6, 0.4)
    for seen, shown in ((same, Verdict.SUCCESSFUL), (other, Verdict.FAILED)):
        analysis = last(PLAN, seen)
        assert (analysis.verdict, codes(analysis)) == (Verdict.INCONCLUSIVE, ["LabelsMissing"])
        assert [m.verdict for m in analysis.metrics if m.role == "watch"] == [shown, shown]


def test_where_labels_are_late_agreement_can_stop_but_never_promote() -> None:
    """A week without a label: a broken version need not run for another one."""
    days = int(PLAN.longest_s / DAY_S / 2) + 1
    same, other = looks(generator(5), 24 * days, 0.02, 0.0), looks(generator(6), 24 * days, 0.6, 0.0)
    assert last(PLAN, same).verdict is Verdict.INCONCLUSIVE
    assert codes(last(PLAN, other)) == ["PredictionsDiffer"]
    free = replace(PLAN, disagreement_max=None, score_shift_max=None)
    assert last(free, other).verdict is Verdict.INCONCLUSIVE


def test_labels_that_came_count_for_more_than_agreement() -> None:
    """The better model disagrees on a third of the rows: its losses show that it is right."""
    chance = generator(7)
    seen = tuple(
        replace(
            look, paired_champion_loss=chance.uniform(0.3, 0.5, 40), paired_challenger_loss=chance.uniform(0.1, 0.3, 40)
        )
        for look in looks(chance, 48, differ=0.35, shift=0.0)
    )
    for plan in (PLAN, UNLABELLED):
        assert last(plan, seen).verdict is Verdict.SUCCESSFUL


@pytest.mark.parametrize("metric", [disagreement_metric, score_shift_metric])
def test_a_version_at_the_limit_is_rarely_stopped(metric) -> None:  # type: ignore[no-untyped-def]
    """The claim: at most alpha, over all looks."""
    plan, stopped = replace(UNLABELLED, disagreement_max=0.1, score_shift_max=0.05), 0
    for seed in range(60):
        seen = looks(generator(1000 + seed), 48, differ=0.1, shift=0.05, rows=30)
        stopped += metric(plan, seen, 0.05).verdict is Verdict.FAILED
    assert stopped <= 8


@pytest.mark.parametrize("seed", range(8))
def test_verdict_interval_and_evidence_agree(seed: int) -> None:
    """What is printed beside a verdict bears it out, also near the limit."""
    for differ in (0.17, 0.2, 0.23):
        seen = looks(generator(seed), 200, differ, (differ - 0.1) * 1.0, rows=30)
        found = disagreement_metric(UNLABELLED, seen, 0.05), score_shift_metric(UNLABELLED, seen, 0.05)
        for metric, two_sided in zip(found, (False, True), strict=True):
            assert metric.interval is not None
            assert metric.limit is not None
            low, high = metric.interval
            failed, holds = metric.verdict is Verdict.FAILED, metric.verdict is Verdict.SUCCESSFUL
            assert failed == (metric.e_value >= 20)
            if failed:
                assert low >= metric.limit or (two_sided and high <= -metric.limit)
            if holds:
                assert high <= metric.limit
                assert not two_sided or low >= -metric.limit


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40), st.floats(-0.5, 0.5))
def test_sums_on_the_grid_keep_the_mean_and_never_strengthen_evidence(values: list[float], limit: float) -> None:
    """Any differences at all."""
    differences = np.array(values)
    weights = shift_weights(differences)
    assert weights.sum() == pytest.approx(differences.size)
    assert weights @ SHIFT_GRID == pytest.approx(differences.sum(), abs=1e-9)
    assert weights.min() >= -1e-12
    exact, kept = MeanBets(), MeanBets()
    exact.update(differences)
    kept.update_weights(SHIFT_GRID, weights[None, :], limit, limit)
    assert kept.log_above(limit) <= exact.log_above(limit) + 1e-9
    assert kept.log_below(limit) <= exact.log_below(limit) + 1e-9


def month(chance: np.random.Generator, spread: float, differ: float = 0.2, shift: float = 0.1) -> tuple[Look, ...]:
    """Four weeks of 1,000 rows a day at a long-run mean of the limits; means of days vary ``spread`` times more than
    independent rows would."""
    extra, out = spread - 1.0, []
    weight = 1000 / extra - 1.0
    for day in range(28):
        today = chance.beta(differ * weight, (1 - differ) * weight)
        moved = shift + chance.normal(0.0, 0.15 * np.sqrt(extra / 1000))
        for part in range(2):
            differences = np.clip(chance.normal(moved, 0.15, 500), -1.0, 1.0)
            disagreed = int(chance.binomial(500, today))
            at_s = START_S + (day + (part + 0.5) / 2) * DAY_S
            out.append(Look(at_s, compared=500, disagreed=disagreed, score_shift=shift_weights(differences)))
    return tuple(out)


def test_days_that_differ_do_not_stop_a_version_that_is_at_the_limits() -> None:
    """Weekends are another kind of day: taken as independent rows, most such months end in a false stop."""
    chance = generator(31)
    false = {DAY_S: 0, 0.0: 0}
    for _ in range(30):
        seen = month(chance, spread=5.0)
        for block_s in false:
            plan = replace(UNLABELLED, block_s=block_s)
            for metric in (disagreement_metric, score_shift_metric):
                ends = range(4, len(seen) + 1, 8)
                false[block_s] += any(metric(plan, seen[:n], 0.05).verdict is Verdict.FAILED for n in ends)
    assert false[DAY_S] <= 3
    assert false[0.0] > 15


def test_days_that_differ_do_not_hide_a_version_that_answers_otherwise() -> None:
    """The correction costs days, not the finding; and it is told."""
    seen = month(generator(32), spread=20.0, differ=0.35, shift=0.25)
    for metric in (disagreement_metric, score_shift_metric):
        found = metric(UNLABELLED, seen, 0.0025)
        assert found.verdict is Verdict.FAILED
        assert "evidence weakened by" in found.text
        assert found.interval is not None
        assert min(found.interval) >= (found.limit or 0.0)
    assert metric(replace(UNLABELLED, block_s=0.0), seen, 0.0025).text.count("weakened") == 0
