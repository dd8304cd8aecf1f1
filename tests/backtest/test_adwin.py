"""ADWIN on errors: quiet while nothing changes, quick when something does."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab.replay.backtest.adwin import Adwin


def test_no_cut_while_nothing_changes() -> None:
    """A model errs in a fifth of the rows, day after day."""
    rng = np.random.default_rng(5)
    cuts = sum(Adwin().add_all((rng.random(3000) < 0.2).astype(float)) is not None for _ in range(20))
    assert cuts <= 1


def test_a_rise_is_found_soon() -> None:
    """From row 2,000 on it errs in half of them."""
    rng = np.random.default_rng(6)
    detector = Adwin()
    assert detector.add_all((rng.random(2000) < 0.2).astype(float)) is None
    found = detector.add_all((rng.random(300) < 0.5).astype(float))
    assert found is not None
    before, after = found
    assert before == pytest.approx(0.2, abs=0.06)
    assert after > before


def test_the_window_forgets_what_was_before_a_change() -> None:
    """After the change, the new level is the usual one."""
    rng = np.random.default_rng(7)
    detector = Adwin()
    detector.add_all(np.concatenate([np.zeros(1000), np.ones(1000)]))
    assert detector.add_all(np.ones(2000) - 0.01 * rng.random(2000)) is None
