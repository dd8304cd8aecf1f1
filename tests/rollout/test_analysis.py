"""The analysis on rollouts as they happen: 300 requests a day, labels six hours late, a tick each hour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trimtab.core.domain.verdict import Verdict
from trimtab.core.profiles.pairs import shift_weights
from trimtab.core.rollout.analysis import ALPHA_SHARES, Analysis, analyse, forecast_text
from trimtab.core.rollout.facts import ArmCounts, Look, RolloutFacts, StepFacts
from trimtab.core.rollout.metrics import overdispersion
from trimtab.core.rollout.plan import Guardrails, RolloutPlan

HOUR_S, DAY_S = 3600.0, 86400.0
START_S = 1_700_000_000.0
PLAN = RolloutPlan(bake_s=6 * HOUR_S, requests_min=50)


def generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def brier(chance: np.random.Generator, rows: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Losses at a base rate of 24 %; noise 0.4 is as good as the champion, 1.2 worse by 0.03."""
    log_odds = chance.normal(-1.45, 1.1, rows)
    label = chance.random(rows) < 1 / (1 + np.exp(-log_odds))
    one, two = ((1 / (1 + np.exp(-(log_odds + chance.normal(0, sd, rows)))) - label) ** 2 for sd in (0.4, noise))
    return one, two


def looks(
    chance: np.random.Generator, hours: int, noise: float, both: dict[str, float] | None = None, **bad: float
) -> tuple[Look, ...]:
    """Twelve or thirteen requests an hour, a quarter to the challenger.

    ``bad`` are the challenger's rates of errors, slow and invalid answers; ``both`` those of both arms.
    """

    def counts(rows: int, rates: dict[str, float]) -> ArmCounts:
        return ArmCounts(rows, **{kind: int(chance.binomial(rows, rate)) for kind, rate in rates.items()})

    out = []
    for hour in range(1, hours + 1):
        n = 12 + hour % 2
        n1 = int(chance.binomial(n, 0.25))
        one, two = brier(chance, n if hour > 6 else 0, noise)
        arms = counts(n - n1, both or {}), counts(n1, (both or {}) | bad)
        out.append(Look(START_S + hour * HOUR_S, *arms, paired_champion_loss=one, paired_challenger_loss=two))
    return tuple(out)


def first_decision(plan: RolloutPlan, seen: tuple[Look, ...], every: int = 6) -> tuple[Analysis, float]:
    """Tick by tick until decided; days since the start."""
    analysis = analyse(plan, RolloutFacts(), START_S, START_S)
    for count in range(every, len(seen) + 1, every):
        analysis = analyse(plan, RolloutFacts(seen[:count]), START_S, seen[count - 1].at_s)
        if analysis.verdict is not Verdict.INCONCLUSIVE:
            return analysis, count / 24
    return analysis, len(seen) / 24


def codes(analysis: Analysis) -> list[str]:
    return [reason.code for reason in analysis.reasons]


def test_a_bad_challenger_fails_within_three_days() -> None:
    """Passed the gates on old rows, worse by 0.03 in production."""
    days = []
    for seed in range(10):
        analysis, when = first_decision(PLAN, looks(generator(seed), 24 * 8, 1.2))
        assert analysis.verdict is Verdict.FAILED
        assert codes(analysis) == ["LossWorse"]
        assert "> 0 (" in analysis.reasons[0].text
        days.append(when)
    assert np.median(days) <= 3


def test_a_challenger_of_equal_quality_succeeds_within_a_week() -> None:
    """The usual retrain."""
    days, verdicts = [], []
    for seed in range(10):
        analysis, when = first_decision(PLAN, looks(generator(100 + seed), 24 * 14, 0.4))
        verdicts.append(analysis.verdict)
        days.append(when)
    assert verdicts.count(Verdict.SUCCESSFUL) >= 9
    assert np.median(days) <= 7


def test_harmless_challengers_are_rarely_stopped() -> None:
    """All metrics, all looks, one alpha."""
    stopped = 0
    for seed in range(30):
        seen = looks(generator(500 + seed), 24 * 5, 0.4, both={"errors": 0.03, "slow": 0.03})
        stopped += first_decision(replace(PLAN, margin=0.0), seen, 12)[0].verdict is Verdict.FAILED
    assert stopped <= 2


def test_no_traffic_is_no_evidence() -> None:
    """A night without requests: neither success nor failure, and the status says what is missing."""
    analysis = analyse(PLAN, RolloutFacts(), START_S, START_S + DAY_S)
    assert analysis.verdict is Verdict.INCONCLUSIVE
    assert codes(analysis) == ["RequestsMissing", "LabelsMissing"]
    assert analysis.missing[0] == "0 of at least 50 requests of the challenger in this step (no traffic: no evidence)"
    assert analysis.ready_at_s is None
    assert forecast_text(analysis) == "no forecast yet"


def test_good_losses_alone_do_not_shorten_the_bake() -> None:
    """A challenger far better than the champion: still its bake time and its requests at this step."""
    one, two = np.full(2000, 0.3), np.full(2000, 0.1)
    facts = RolloutFacts(
        (Look(START_S + 10, ArmCounts(900), ArmCounts(100), paired_champion_loss=one, paired_challenger_loss=two),)
    )
    early = analyse(PLAN, facts, START_S, START_S + HOUR_S)
    assert (early.verdict, codes(early)) == (Verdict.INCONCLUSIVE, ["BakeTimeLeft"])
    assert early.missing == ("bake time 1h < 6h",)
    assert early.ready_at_s == START_S + PLAN.bake_s
    assert analyse(PLAN, facts, START_S, START_S + PLAN.bake_s).verdict is Verdict.SUCCESSFUL
    next_step = analyse(PLAN, facts, START_S + HOUR_S, START_S + DAY_S)
    assert codes(next_step) == ["RequestsMissing"]


def test_errors_fail_at_once_and_show_the_arithmetic() -> None:
    """The new version cannot parse a field that a third of the requests carry."""
    analysis, days = first_decision(PLAN, looks(generator(7), 48, 0.4, errors=0.33), every=1)
    assert analysis.verdict is Verdict.FAILED
    assert days < 1
    assert set(codes(analysis)) <= {"ErrorsWorse", "ErrorRateOverLimit"}
    assert "e-value" in analysis.reasons[0].text
    assert ">=" in analysis.reasons[0].text


def test_two_errors_of_ten_are_not_yet_a_failure() -> None:
    """Chance is excluded before anything is stopped."""
    facts = RolloutFacts((Look(START_S + 60, ArmCounts(200, 1), ArmCounts(10, 2)),))
    assert analyse(PLAN, facts, START_S, START_S + 60).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("arm", "code"),
    [
        ({"errors": 0.12}, "ErrorRateOverLimit"),
        ({"slow": 0.15}, "LatencyOverLimit"),
        ({"invalid": 0.06}, "InvalidRateOverLimit"),
    ],
)
def test_absolute_limits_hold_beside_a_champion_that_is_as_bad(arm: dict[str, float], code: str) -> None:
    """Both versions suffer from a slow database: the limit of the project file is the limit."""
    chance = generator(9)
    seen = []
    for hour in range(1, 40):
        counts = [
            ArmCounts(200, **{kind: int(chance.binomial(200, rate)) for kind, rate in arm.items()}) for _ in range(2)
        ]
        seen.append(Look(START_S + hour * HOUR_S, counts[0], counts[1]))
    analysis, _ = first_decision(PLAN, tuple(seen), 1)
    assert (analysis.verdict, codes(analysis)) == (Verdict.FAILED, [code])
    free = replace(PLAN, guardrails=Guardrails(error_rate_max=None, latency_p95_ms_max=None, invalid_rate_max=None))
    assert first_decision(free, tuple(seen), 5)[0].verdict is Verdict.INCONCLUSIVE


def test_undecided_for_too_long_says_so() -> None:
    """The challenger is worse by about the margin: somebody has to decide."""
    plan = replace(PLAN, margin=0.0, longest_s=2 * DAY_S, on_longest="ask")
    seen = looks(generator(11), 24 * 3, 0.42)
    analysis = analyse(plan, RolloutFacts(seen), START_S, START_S + 3 * DAY_S)
    assert analysis.longest_reached
    assert analysis.verdict is Verdict.INCONCLUSIVE
    assert analysis.reasons[0].code == "LongestReached"
    assert analysis.reasons[0].text == "undecided for 3d >= 2d: ask"


def test_the_forecast_comes_true_within_a_factor() -> None:
    """After a day the status says when: the decision must come in that order of magnitude."""
    seen = looks(generator(13), 24 * 14, 0.4)
    analysis = analyse(PLAN, RolloutFacts(seen[:48]), START_S, seen[47].at_s)
    _, days = first_decision(PLAN, seen)
    assert analysis.ready_at_s is not None
    assert forecast_text(analysis).startswith("ready about 2023-")
    assert 0.2 * days <= (analysis.ready_at_s - START_S) / DAY_S <= 5 * days


def test_split_traffic_without_shadow() -> None:
    """Scoring twice is too dear: each row has one loss, of the arm that answered."""
    chance = generator(15)
    plan = replace(PLAN, paired=False, margin=0.02)
    seen = []
    for hour in range(1, 80):
        one, two = brier(chance, 100, 2.0)
        at_s = START_S + hour * HOUR_S
        seen.append(Look(at_s, ArmCounts(50), ArmCounts(50), champion_loss=one[:50], challenger_loss=two[50:]))
    analysis, _ = first_decision(plan, tuple(seen))
    assert (analysis.verdict, codes(analysis)) == (Verdict.FAILED, ["LossWorse"])
    assert "paired" not in analysis.reasons[0].text


def test_without_labels_and_without_shared_rows_guardrails_decide_only_where_the_plan_says_so() -> None:
    """Labels that come in three months cannot hold a canary; the plan must say that they need not be waited for."""
    seen = tuple(Look(START_S + hour * HOUR_S, ArmCounts(60), ArmCounts(60)) for hour in range(1, 11))
    now_s = START_S + 10 * HOUR_S
    waiting = analyse(PLAN, RolloutFacts(seen), START_S, now_s)
    assert codes(waiting) == ["LabelsMissing"]
    assert waiting.missing == ("0 of at least 200 labelled rows",)
    unlabelled = replace(PLAN, labels_min=0)
    assert codes(analyse(unlabelled, RolloutFacts(seen), START_S, now_s)) == ["AgreementMissing"]
    for passing in (
        replace(unlabelled, paired=False),
        replace(unlabelled, disagreement_max=None, score_shift_max=None),
    ):
        assert analyse(passing, RolloutFacts(seen), START_S, now_s).verdict is Verdict.SUCCESSFUL


def test_metrics_carry_everything_that_people_and_machines_read() -> None:
    """The console, the API and the journal show these."""
    seen = looks(generator(17), 60, 0.4)
    analysis = analyse(PLAN, RolloutFacts(seen), START_S, seen[-1].at_s)
    assert [metric.name for metric in analysis.metrics] == [
        "errors",
        "slow answers",
        "invalid outputs",
        "error rate limit",
        "latency limit",
        "invalid rate limit",
        "loss",
    ]
    primary = analysis.metrics[-1]
    assert primary.role == "primary"
    assert primary.interval is not None
    assert primary.value is not None
    assert primary.interval[0] <= primary.value <= primary.interval[1]
    assert primary.rows == sum(look.paired_champion_loss.size for look in seen)


def test_one_odd_day_does_not_decide() -> None:
    """A snowstorm: the challenger is worse on that day by 0.1 and equal on all others."""
    chance = generator(19)
    seen, independent = [], []
    for day in range(8):
        gap = 0.1 if day == 3 else 0.0
        rows = np.clip(chance.normal(gap, 0.12, 300), -1, 1)
        look = Look(
            START_S + (day + 0.5) * DAY_S,
            ArmCounts(225),
            ArmCounts(75),
            paired_champion_loss=np.maximum(-rows, 0),
            paired_challenger_loss=np.maximum(rows, 0),
        )
        seen.append(look)
        facts, now_s = RolloutFacts(tuple(seen)), look.at_s
        assert analyse(PLAN, facts, START_S, now_s).verdict is not Verdict.FAILED
        independent.append(analyse(replace(PLAN, block_s=0, margin=0.0), facts, START_S, now_s).verdict)
    assert Verdict.FAILED in independent
    assert "evidence weakened by" in analyse(PLAN, facts, START_S, now_s).metrics[-1].text


@pytest.mark.parametrize("paired", [True, False])
def test_independent_rows_are_soon_known_as_such(paired: bool) -> None:
    """On a stream without days or seasons the caution wears off."""
    chance = generator(20)
    names = ("paired_champion_loss", "paired_challenger_loss") if paired else ("champion_loss", "challenger_loss")
    seen = tuple(
        Look(START_S + day * DAY_S, **dict(zip(names, (chance.random(200), chance.random(200)), strict=True)))
        for day in range(60)
    )
    plan = replace(PLAN, paired=paired)
    assert overdispersion(plan, seen[:1]) == pytest.approx(4.0, abs=0.2)
    assert overdispersion(plan, seen) < 1.5
    shifted = tuple(
        replace(look, **{names[1]: np.clip(getattr(look, names[1]) + (0.2 if day % 2 else -0.2), 0, 1)})
        for day, look in enumerate(seen)
    )
    assert overdispersion(plan, shifted) > 8


def test_the_shares_of_alpha_sum_to_one() -> None:
    """The claim on the whole rests on this."""
    assert sum(ALPHA_SHARES.values()) == pytest.approx(1.0)
    compared = Look(START_S, compared=1, score_shift=shift_weights(np.zeros(1)))
    metrics = analyse(PLAN, RolloutFacts((compared,)), START_S, START_S).metrics
    assert set(ALPHA_SHARES) == {metric.name for metric in metrics}


@pytest.mark.parametrize("block_s", [0.0, DAY_S])
@pytest.mark.parametrize("noise", [0.4, 0.7, 1.2])
def test_verdict_interval_and_evidence_of_the_loss_agree(noise: float, block_s: float) -> None:
    """'failed' beside an interval that holds 0 would make nobody trust either."""
    plan = replace(PLAN, block_s=block_s)
    for seed in range(4):
        seen = looks(generator(900 + seed), 24 * 6, noise, errors=0.02)
        for count in range(12, len(seen) + 1, 12):
            analysis = analyse(plan, RolloutFacts(seen[:count]), START_S, seen[count - 1].at_s)
            for metric, floor, ceiling, alpha in (
                (analysis.metrics[-1], 0.0, plan.margin, plan.alpha * ALPHA_SHARES["loss"]),
                (analysis.metrics[0], 0.0, plan.guardrails.rate_margin, plan.alpha * ALPHA_SHARES["errors"]),
            ):
                if metric.verdict is Verdict.FAILED:
                    assert metric.interval is not None
                    assert metric.interval[0] >= floor
                    assert metric.e_value >= 1 / alpha
                    assert ">=" in metric.text
                elif metric.verdict is Verdict.SUCCESSFUL:
                    assert metric.interval is not None
                    assert metric.interval[1] <= ceiling
                else:
                    assert metric.e_value < 1 / alpha


def test_a_step_counts_from_when_the_servers_took_it() -> None:
    """The file system refused the new routes for four hours: the bake time did not run meanwhile."""
    seen, now = looks(generator(13), 24 * 7, 0.4), START_S + 7 * DAY_S
    late = now - 2 * HOUR_S

    def judged(taken_s: float | None, requests: int = 500) -> Analysis:
        return analyse(PLAN, RolloutFacts(seen, StepFacts(taken_s, requests)), now - 7 * HOUR_S, now)

    assert judged(now - 6.5 * HOUR_S).verdict is Verdict.SUCCESSFUL
    waits = judged(late)
    assert (waits.verdict, waits.missing) == (Verdict.INCONCLUSIVE, ("bake time 2h < 6h",))
    assert waits.ready_at_s == late + PLAN.bake_s
    never = judged(None, requests=0)
    assert never.verdict is Verdict.INCONCLUSIVE
    assert never.ready_at_s is None
    assert never.missing[0] == "bake time 0s < 6h (it counts from the first answer by the routes of this step)"
    assert "no traffic: no evidence" in never.missing[1]
    assert codes(judged(now - 6.5 * HOUR_S, requests=49)) == ["RequestsMissing"]


def test_servers_whose_clock_is_ahead_have_not_baked_yet() -> None:
    """A server's clock is ten minutes fast: its first answer lies in our future."""
    facts = RolloutFacts((), StepFacts(START_S + 600.0, 3))
    analysis = analyse(PLAN, facts, START_S, START_S + 60.0)
    assert analysis.missing[0] == "bake time 0s < 6h"
    assert analyse(PLAN, facts, START_S + 900.0, START_S + 960.0).missing[0] == "bake time 1m < 6h"


def test_the_loss_leads_the_reasons_and_what_stands_in_for_it_where_there_are_no_labels() -> None:
    """A person reads the first line."""
    seen = looks(generator(13), 24 * 7, 0.4)
    passed = analyse(PLAN, RolloutFacts(seen), START_S, START_S + 7 * DAY_S)
    assert passed.verdict is Verdict.SUCCESSFUL
    assert codes(passed)[0] == "LossWithinMargin"
    bare = tuple(replace(look, paired_champion_loss=np.empty(0), paired_challenger_loss=np.empty(0)) for look in seen)
    compared = tuple(
        replace(look, compared=200, disagreed=4, score_shift=shift_weights(np.full(200, 0.01))) for look in bare
    )
    by_agreement = analyse(replace(PLAN, labels_min=0), RolloutFacts(compared), START_S, START_S + 7 * DAY_S)
    assert by_agreement.verdict is Verdict.SUCCESSFUL
    assert by_agreement.reasons[0].text.startswith("predictions differ on 2 %")
