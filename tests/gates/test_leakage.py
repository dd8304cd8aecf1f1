"""The leakage gate: what tells the target, what is shared, what comes too late; and what is honest."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab.core.domain.verdict import Verdict
from trimtab.core.gates.leakage import ColumnFacts, Overlap, TimeFacts, copies, leakage_gate

FINE = TimeFacts(newest_training=1.0, oldest_evaluation=2.0, rows=1000)
NONE = Overlap(rows=1000)
WEAK = [ColumnFacts(name, 0.7, 0.1) for name in ("a", "b", "c")]


def gate(columns=(), overlap=NONE, time=FINE, classification=True, known=()):  # type: ignore[no-untyped-def]
    return leakage_gate(
        [*WEAK, *columns], overlap, time, target="late", classification=classification, known=frozenset(known)
    )


def test_the_target_in_other_words_fails() -> None:
    """The arrival delay among the inputs of 'late'."""
    result = gate([ColumnFacts("arr_delay", 1.0, 0.98)])
    assert result.verdict is Verdict.FAILED
    assert "arr_delay alone tells late (AUROC 1.000)" in result.text


def test_a_strong_column_asks_a_person_who_may_vouch_for_it() -> None:
    """A score of another team's model: honest, and as strong as a leak."""
    strong = ColumnFacts("score", 0.98, 0.85)
    asked = gate([strong])
    assert asked.verdict is Verdict.INCONCLUSIVE
    assert "gates.leakage.known: [score]" in asked.text
    vouched = gate([strong], known=["score"])
    assert vouched.verdict is Verdict.SUCCESSFUL
    assert "vouched for: score" in vouched.text


@pytest.mark.parametrize(("skill", "classification"), [(0.9, True), (0.84, False)])
def test_honest_strong_columns_pass(skill: float, classification: bool) -> None:
    """The departure's delay tells the arrival's: AUROC 0.90 of 'late', R2 0.84 of the minutes."""
    column = ColumnFacts("dep_delay", skill, 0.6)
    assert gate([column], classification=classification).verdict is Verdict.SUCCESSFUL


def test_a_memory_of_earlier_rows_is_honest() -> None:
    """Yesterday's price."""
    lag = ColumnFacts("price_yesterday", 0.98, 0.98, lag_skill=1.0)
    assert gate([lag], classification=False).verdict is Verdict.SUCCESSFUL
    now = ColumnFacts("price_now", 1.0, 1.0, lag_skill=0.98)
    assert gate([now], classification=False).verdict is Verdict.FAILED


def test_a_value_that_stands_until_the_outcome_is_suspicious() -> None:
    """``country`` of the hotel bookings: 'PRT' until check-in."""
    country = ColumnFacts("country", 0.68, 0.10, values=172, filler="'PRT'", filler_share=0.6, beyond=0.05)
    result = gate([country])
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "does 'PRT' stand there until the outcome?" in result.text
    honest = ColumnFacts("agent", 0.70, 0.13, values=326, filler="'9'", filler_share=0.45, beyond=0.02)
    assert gate([honest]).verdict is Verdict.SUCCESSFUL


def test_an_easy_target_refuses_nothing() -> None:
    """Most columns tell it: they can't all be leaks."""
    result = gate([ColumnFacts(name, 1.0, 1.0) for name in "wxyz"])
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "so do most columns" in result.text


def test_copies_of_training_rows_fail_and_discrete_rows_do_not() -> None:
    """Events logged twice with another time; and a survey of a few questions, where rows repeat honestly."""
    copied = Overlap(rows=1000, twins=300, agreeing=300, usual=0.7, expected=0.7)
    assert gate(overlap=copied).verdict is Verdict.FAILED
    few = Overlap(rows=1000, twins=60, agreeing=60, usual=0.7, expected=0.7)
    assert gate(overlap=few).verdict is Verdict.INCONCLUSIVE
    discrete = Overlap(rows=1000, twins=900, agreeing=740, usual=0.82, expected=0.8)
    assert gate(overlap=discrete).verdict is Verdict.SUCCESSFUL
    children = Overlap(rows=1000, twins=400, agreeing=400, usual=1.0, expected=0.97)
    assert gate(overlap=children).verdict is Verdict.SUCCESSFUL


def test_honest_twins_are_rarely_taken_for_copies() -> None:
    """False alarms over 400 seeds: rows repeat and outcomes are drawn anew."""
    chance = np.random.default_rng(4)
    alarms = 0
    for _ in range(400):
        share = chance.uniform(0.5, 0.95)
        usual = chance.binomial(500, share) / 500
        twins = int(chance.integers(30, 400))
        overlap = Overlap(1000, twins, int(chance.binomial(twins, share)), usual, share)
        alarms += copies(overlap) > 0.10
    assert alarms <= 20


@pytest.mark.parametrize(
    ("time", "verdict", "words"),
    [
        (TimeFacts(3.0, 2.0, 1000), Verdict.FAILED, "not older"),
        (TimeFacts(1.0, 2.0, 1000, before_event=100), Verdict.INCONCLUSIVE, "known before their event"),
        (
            TimeFacts(1.0, 2.0, 1000, after_event=(("arrival", 0.9, False),)),
            Verdict.INCONCLUSIVE,
            "arrival lies after its event in 90 %",
        ),
        (TimeFacts(1.0, 2.0, 1000, after_event=(("closed", 1.0, True),)), Verdict.FAILED, "never before its label"),
    ],
)
def test_violated_time_is_told(time: TimeFacts, verdict: Verdict, words: str) -> None:
    result = gate(time=time)
    assert result.verdict is verdict
    assert words in result.text


def test_without_rows_nothing_is_known() -> None:
    result = leakage_gate([], NONE, FINE, target="late", classification=True)
    assert result.verdict is Verdict.INCONCLUSIVE
