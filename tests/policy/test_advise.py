"""Whether a training run pays, in histories made by hand: one block after another, labels two blocks late."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from trimtab.core.policy import FIRST, FULL, ROLES, WINDOW, Facts, PayoffSettings, Trained, advise, members
from trimtab.core.policy.payoff import slope_of

BLOCKS, LATE, ROWS = 34, 2, 100.0
Loss = Callable[[Trained, int], float]
"""Of a version on a block."""


def facts_of(models: tuple[Trained, ...], loss: Loss, now: int) -> Facts:
    known = np.maximum(0, np.arange(now + 1) - LATE)
    size = int(known[-1])
    losses = np.array([[loss(m, b) if m.until <= b else np.nan for b in range(size)] for m in models])
    roles = np.zeros((len(ROLES), size))
    for place, role in enumerate(ROLES):
        for block in range(size):
            filled = members(role, models, block)
            roles[place, block] = np.mean([loss(models[i], block) for i in filled])
    available = 6 * ROWS + ROWS * known
    return Facts(models, known, available, losses.reshape(len(models), size), roles, 6 * ROWS)


def play(loss: Loss, settings: PayoffSettings | None = None) -> list[Trained]:
    """The runs that the advice leads to."""
    models: tuple[Trained, ...] = (Trained(FIRST, 0, 0, 6 * ROWS),)
    for now in range(1, BLOCKS):
        facts = facts_of(models, loss, now)
        advice = advise(settings or PayoffSettings(), facts)
        if advice.train:
            models = (*models, Trained(FULL, now, facts.labelled, float(facts.available[-1])))
    return list(models[1:])


def test_it_refuses_where_each_run_hurts() -> None:
    """On some real streams every refit is worse than the first version: each try waits longer than the one before."""
    runs = play(lambda model, block: 1.0 if model.kind == FIRST else 1.2)
    gaps = np.diff([0, *(run.started for run in runs)])
    assert len(runs) <= 4
    assert (np.diff(gaps) > 0).all(), gaps


def test_it_says_why_it_refuses() -> None:
    """`trimtab why` must be able to tell that nothing was trained because earlier runs gained nothing."""
    models = (Trained(FIRST, 0, 0, 600.0), Trained(FULL, 5, 3, 900.0), Trained(FULL, 9, 7, 1300.0))
    advice = advise(PayoffSettings(), facts_of(models, lambda m, _: 1.0 if m.kind == FIRST else 1.3, 14))
    assert not advice.train
    assert advice.reason.code == "RetrainDoesNotPay"
    assert "gained nothing" in advice.reason.text


def test_runs_space_out_where_more_data_is_all_that_a_run_brings() -> None:
    """A quiet stream: the gain goes with the logarithm of the data, so each run waits longer than the one before."""
    runs = play(lambda model, _: 1.0 - 0.1 * np.log(model.rows / 600.0))
    gaps = np.diff([run.started for run in runs])
    assert 3 <= len(runs) <= 8
    assert gaps[-1] > gaps[0]


def test_a_change_after_a_long_refusal_starts_a_run_again() -> None:
    """Runs hurt at first, so it stopped; then the world changes and losses triple: the refusal must not last."""

    def loss(model: Trained, block: int) -> float:
        if block < 20:
            return 1.0 if model.kind == FIRST else 1.1
        return 1.0 if model.until > 20 else 3.0

    runs = play(loss)
    assert any(22 <= run.started <= 26 for run in runs), [run.started for run in runs]


def test_a_level_that_runs_cannot_bring_down_asks_for_no_more_runs() -> None:
    """Labels become noise from block 12 on: nothing that is trained helps, and it is not tried for ever."""
    runs = play(lambda model, block: 1.0 if block < 12 else 3.0)
    assert len([run for run in runs if run.started > 14]) <= 4


def test_the_price_counts() -> None:
    """A dear run is started rarely."""
    loss: Loss = lambda model, _: 1.0 - 0.1 * np.log(model.rows / 600.0)  # noqa: E731
    assert len(play(loss, PayoffSettings(price=0.5))) < len(play(loss, PayoffSettings(price=0.02)))


def test_the_slope_is_what_runs_gained() -> None:
    """Many blocks outweigh the prior."""
    models = (Trained(FIRST, 0, 0, 600.0), Trained(FULL, 8, 6, 1200.0))
    facts = facts_of(models, lambda model, _: 1.0 if model.kind == FIRST else 0.8, 34)
    assert slope_of(PayoffSettings(), facts, FULL) == pytest.approx(0.2 / np.log(2), rel=0.2)
    assert slope_of(PayoffSettings(), facts, WINDOW) == pytest.approx(0.3)


def test_the_same_facts_give_the_same_advice_at_any_later_time() -> None:
    """A controller that starts again must come to the same debt from the journal alone."""
    models = (Trained(FIRST, 0, 0, 600.0), Trained(FULL, 5, 3, 900.0))
    loss: Loss = lambda model, block: 1.0 + 0.01 * block - (0.1 if model.kind == FULL else 0.0)  # noqa: E731
    early, late = facts_of(models, loss, 9), facts_of(models, loss, 20).as_of(9)
    assert advise(PayoffSettings(), early) == advise(PayoffSettings(), late)


def test_nothing_is_known_without_labels() -> None:
    """The first block is about to begin."""
    facts = facts_of((Trained(FIRST, 0, 0, 600.0),), lambda *_: 1.0, 1)
    assert advise(PayoffSettings(), facts).reason.code == "NoEvidence"


def test_a_run_must_gain_over_the_best_of_what_there_was() -> None:
    """Two bad versions in a row: the second is no worse than the first of them, and still worse than never training."""
    models = (Trained(FIRST, 0, 0, 600.0), Trained(FULL, 5, 3, 900.0), Trained(WINDOW, 9, 7, 1300.0))
    facts = facts_of(models, lambda m, _: 1.0 if m.kind == FIRST else 1.3, 25)
    assert slope_of(PayoffSettings(), facts, WINDOW) < 0.0


def test_a_run_that_came_to_nothing_pays_its_debt_too() -> None:
    """The gates rejected a version: the loop does not ask for the same run again at the next tick."""
    models = (Trained(FIRST, 0, 0, 600.0),)
    facts = facts_of(models, lambda *_: 1.0, 8)
    assert advise(PayoffSettings(), facts).train
    assert not advise(PayoffSettings(), replace(facts, tried=8)).train
