"""The performance gate: three answers, and how often each is given."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab.core.domain.verdict import Verdict
from trimtab.core.gates.metrics import Answers
from trimtab.core.gates.performance import Reference, performance_gate

RNG = np.random.default_rng(11)


def _pair(n: int, worse: float, seed: int = 0) -> tuple[Answers, Answers]:
    """Candidate and champion on n rows; the candidate's probability of the truth is lower by about ``worse``."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n).astype(float)
    of_truth = rng.uniform(0.5, 0.9, n)

    def answers(p: np.ndarray) -> Answers:
        scores = np.where(truth[:, None] == np.arange(2), p[:, None], 1 - p[:, None])
        return Answers(truth, scores.argmax(axis=1).astype(float), scores)

    return answers(np.clip(of_truth - worse + rng.normal(0, 0.02, n), 0.01, 0.99)), answers(of_truth)


def _gate(ours: Answers, theirs: Answers, **more: object) -> object:
    reference = Reference("champion v7", theirs, more.pop("unseen", None), bool(more.pop("trivial", False)))  # type: ignore[arg-type]
    options = {"metric": "log_loss", "allowance": lambda _: 0.01, "rows_min": 200} | more
    return performance_gate(ours, reference, **options)  # type: ignore[arg-type]


def test_an_equal_candidate_passes() -> None:
    """A retrain without drift: as good as before."""
    result = _gate(*_pair(5000, 0.0))
    assert result.verdict is Verdict.SUCCESSFUL
    assert "<= " in result.text
    assert "champion v7 + 0.01" in result.text
    assert "5,000 rows" in result.text
    assert result.value < result.limit == 0.01


def test_a_candidate_that_is_worse_by_more_than_allowed_fails_and_says_by_how_much() -> None:
    """Trained on broken data."""
    result = _gate(*_pair(5000, 0.1))
    assert result.verdict is Verdict.FAILED
    assert result.value > 0.1
    assert " > " in result.text


def test_too_few_rows_to_tell_is_neither() -> None:
    """Noise of the size of the allowance on a small evaluation set."""
    ours, theirs = _pair(260, 0.006)
    result = _gate(ours, theirs)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "around" in result.text


def test_fewer_rows_than_asked_for_is_inconclusive() -> None:
    """A project with a hundred labelled rows."""
    result = _gate(*_pair(100, -0.3))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.text == "100 rows to compare on < 200 that are needed"


def test_rows_that_the_champion_was_trained_on_do_not_count() -> None:
    """A full retrain after a sliding window: its evaluation set reaches back into the champion's training rows."""
    ours, theirs = _pair(2000, 0.0)
    result = _gate(ours, theirs, unseen=np.arange(2000) >= 1500)
    assert "500 rows;" in result.text
    assert "1,500 rows that champion v7 was trained on are left out" in result.text
    none_left = _gate(ours, theirs, unseen=np.zeros(2000, bool))
    assert none_left.verdict is Verdict.INCONCLUSIVE
    assert "champion v7 was trained on the other 2,000" in none_left.text


def test_a_first_version_must_beat_the_constant() -> None:
    """Features that carry nothing: the first model may not serve just because nothing serves yet."""
    truth = RNG.integers(0, 2, 3000).astype(float)
    constant = Answers(truth, np.ones(3000), np.tile([0.5, 0.5], (3000, 1)))
    assert _gate(constant, constant, trivial=True).verdict is Verdict.FAILED
    ours, _ = _pair(3000, 0.0)
    base = Answers(ours.truth, np.ones(3000), np.tile([0.5, 0.5], (3000, 1)))
    assert _gate(ours, base, trivial=True).verdict is Verdict.SUCCESSFUL


def test_where_more_is_better_the_sign_turns() -> None:
    """gates.metric: f1, and a candidate that is better, then one that is worse."""
    worse, better = _pair(4000, 0.2)
    good = _gate(better, worse, metric="f1")
    assert good.verdict is Verdict.SUCCESSFUL
    assert "F1 1.000 >= " in good.text
    bad = _gate(worse, better, metric="f1")
    assert bad.verdict is Verdict.FAILED
    assert "difference -0." in bad.text


def test_the_allowance_of_a_regression_is_a_share_of_the_champions_error() -> None:
    """Rentals are in the hundreds: 0.01 of them would be no allowance at all."""
    truth = RNG.normal(300, 50, 2000)
    noise = RNG.normal(0, 30, 2000)
    champion, candidate = Answers(truth, truth + noise), Answers(truth, truth + 1.005 * noise)
    result = _gate(candidate, champion, metric="mae", allowance=lambda error: 0.01 * error)
    assert result.verdict is Verdict.SUCCESSFUL
    assert result.limit == pytest.approx(0.01 * np.abs(noise).mean())


def test_a_metric_that_the_rows_do_not_define_is_an_error_not_a_pass() -> None:
    """AUROC on a quiet month without any fraud."""
    answers = Answers(np.zeros(500), np.zeros(500), np.tile([0.9, 0.1], (500, 1)))
    assert _gate(answers, answers, metric="auroc").verdict is Verdict.ERROR


def test_a_candidate_exactly_at_the_limit_passes_rarely() -> None:
    """The stated risk: a candidate that is worse by exactly the allowance passes in 2.5 % of cases."""
    passed = 0
    true_excess = 0.0605  # mean of | |e| + N(.05, .2) | - |e|, by simulation over 10^7 draws
    for seed in range(400):
        rng = np.random.default_rng(seed)
        truth = rng.normal(size=1000)
        error = rng.normal(size=1000)
        candidate = Answers(truth, truth + np.abs(error) + rng.normal(0.05, 0.2, 1000) * 1.0)
        champion = Answers(truth, truth + np.abs(error))
        excess = np.abs(candidate.predicted - truth).mean() - np.abs(error).mean()
        assert abs(excess - true_excess) < 0.05
        gate = performance_gate(
            candidate, Reference("v1", champion), metric="mae", allowance=lambda _: true_excess, rows_min=30
        )
        passed += gate.verdict is Verdict.SUCCESSFUL
    assert passed / 400 < 0.05
