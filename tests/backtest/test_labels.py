"""Labels are seen when they would have been known, and not before."""

from __future__ import annotations

import numpy as np
import pytest

from tests.backtest.conftest import table
from trimtab.core.domain.times import DAY_S
from trimtab.replay.backtest.fits import Fits
from trimtab.replay.backtest.history import History, Question, load
from trimtab.replay.backtest.labels import schedule
from trimtab.replay.backtest.world import FIRST_MODEL, Bench, Model, View, single


def history(**more: object) -> History:
    ignore = () if "label_time" in more else ("known",)
    return load(table(), Question(target="late", time="at", ignore=ignore, batches=10, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize("more", [{"label_batches": 2}, {"label_delay_s": 5 * DAY_S}, {"label_time": "known"}])
def test_nothing_is_trained_on_before_its_label_is_known(more: dict[str, object]) -> None:
    """The label-delay trap: whoever looks ahead wins on paper and loses in life."""
    data = history(**more)
    when = schedule(data)
    for batch in range(data.batches):
        rows = when.rows("full", batch)
        later = rows[rows >= data.initial_rows]
        if data.known_at is not None:
            assert (data.known_at[later] <= data.starts(batch)).all()
        else:
            assert (later < data.cut[max(0, batch - 2)]).all()
        assert when.until[batch] == 0 or rows.max() < data.cut[when.until[batch]]
        assert rows.max() < data.cut[batch]


def test_a_batch_is_judged_by_the_labels_that_are_there() -> None:
    """Nine labels of ten are there when it is judged; the tenth comes later and changes nothing."""
    data = history(label_time="known")
    when = schedule(data)
    assert when.known[-1] > 0
    for batch in range(int(when.known[-1])):
        judged_at = int(np.searchsorted(when.known, batch, side="right"))
        rows = when.rows_judged(batch)
        assert data.known_at is not None
        assert (data.known_at[rows] <= data.starts(judged_at)).all()
        assert len(data.at[rows]) > 0.7 * (data.cut[batch + 1] - data.cut[batch])


def test_young_cohorts_are_left_out() -> None:
    """Labels that come early are not like those that come late: a cohort counts when nearly all of its are there."""
    data = history(label_time="known")
    when = schedule(data)
    rows = when.rows("full", 9)
    assert data.known_at is not None
    there = np.flatnonzero(data.known_at[: data.cut[9]] <= data.starts(9))
    assert len(rows) < len(there)
    assert data.at[rows].max() < data.starts(9) - 4 * DAY_S


def test_a_window_is_as_long_as_the_first_part() -> None:
    """The newest rows whose labels are known."""
    data = history(label_batches=2)
    rows = schedule(data).rows("sliding-window", 8)
    assert len(rows) == data.initial_rows
    assert rows[-1] == data.cut[6] - 1


def test_a_policy_that_looks_ahead_is_a_defect() -> None:
    """Whoever writes a policy must not be able to ask for what is not known."""
    data = history(label_batches=2)
    when = schedule(data)
    with Fits(data, when) as fits:
        bench = Bench(data, when, fits, "log_loss")
        view = View(bench, 5, [single(FIRST_MODEL)] * 5)
        assert view.loss(single(FIRST_MODEL), 2) > 0
        with pytest.raises(ValueError, match="not known"):
            view.loss(single(FIRST_MODEL), 3)
        with pytest.raises(ValueError, match="has not happened"):
            view.inputs(5)
        assert fits.get("full", 5).first == data.cut[3]
        assert bench.until(Model("full", 5)) == 3
