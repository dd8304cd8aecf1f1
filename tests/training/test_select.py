"""Periods, quarantine, label maturity, and the split by time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.domain.errors import DataError, UserError
from trimtab.core.domain.times import DAY_S
from trimtab.training.select import Selection, delay_quantile, mature_rows, select
from trimtab.training.spec import Quarantine, TrainSpec, from_json, to_json

AT = np.arange(0.0, 100.0) * DAY_S
NOW = 1000 * DAY_S


def _select(spec: TrainSpec, at: np.ndarray = AT, known: np.ndarray | None = None, **more: object) -> Selection:
    options = {"evaluation_share": 0.2, "label_maturity": None} | more
    return select(at, at if known is None else known, spec, **options)  # type: ignore[arg-type]


def _spec(**more: object) -> TrainSpec:
    return TrainSpec(**({"job": "j", "trigger": "demand", "now": NOW} | more))  # type: ignore[arg-type]


def test_the_newest_rows_are_held_out() -> None:
    """The plain case, rows in any order."""
    shuffled = np.random.default_rng(0).permutation(AT)
    found = _select(_spec(), at=shuffled)
    assert found.training == 80
    assert (shuffled[found.order] == AT).all()
    assert found.evaluation_from == AT[80]


def test_a_sliding_window_ends_at_the_newest_row() -> None:
    """Thirty days, up to the decision's time."""
    found = _select(_spec(strategy="sliding-window", window_s=30 * DAY_S, until=AT[89]))
    assert AT[found.order].min() == AT[60]
    assert AT[found.order].max() == AT[89]
    assert found.outside == 70


def test_rows_after_until_and_before_since_are_outside() -> None:
    """Train on what came after the change point."""
    found = _select(_spec(since=AT[20], until=AT[69]))
    assert (AT[found.order].min(), AT[found.order].max(), found.outside) == (AT[20], AT[69], 50)


def test_quarantined_rows_are_neither_trained_on_nor_evaluated_with() -> None:
    """A weather column arrived empty for three weeks, half of them in the evaluation period; another fault goes on."""
    quarantines = (Quarantine(AT[70], AT[89], ("rain",)), Quarantine(AT[95], None))
    found = _select(_spec(quarantines=quarantines))
    days = AT[found.order] / DAY_S
    assert not ((days >= 70) & (days <= 89)).any()
    assert days.max() == 94
    assert found.quarantined == 25


def test_labels_known_later_than_now_do_not_count() -> None:
    """A replay of last year: the label column holds what was known only afterwards."""
    found = _select(_spec(now=AT[50]), known=AT + 10 * DAY_S)
    assert AT[found.order].max() == AT[40]
    assert found.immature == 59


def test_young_cohorts_are_left_out_even_where_their_labels_came_early() -> None:
    """Cancellations come before stays: of young bookings only the cancelled ones are labelled."""
    rng = np.random.default_rng(1)
    at = np.sort(rng.uniform(0, 400 * DAY_S, 4000))
    cancelled = rng.random(4000) < 0.4
    delay = np.where(cancelled, rng.uniform(0, 20, 4000), 60.0) * DAY_S
    now = 400 * DAY_S
    rows = mature_rows(at, at + delay, now, 0.9)
    assert at[rows].max() <= now - 60 * DAY_S
    assert cancelled[rows].mean() == pytest.approx(0.4, abs=0.03)
    arrived = mature_rows(at, at + delay, now, None)
    assert cancelled[arrived & (at > now - 50 * DAY_S)].mean() == 1.0


def test_labels_without_a_time_are_not_known() -> None:
    """A gap in the label time column."""
    known = np.where(np.arange(100) % 2 == 0, AT, np.nan)
    assert _select(_spec(), known=known).immature == 50


def test_equal_times_are_never_on_both_sides() -> None:
    """Daily data: all rows of a day have the same time."""
    at = np.repeat(AT[:10], 10)
    found = _select(_spec(), at=at)
    times = at[found.order]
    assert times[found.training - 1] < times[found.training] == found.evaluation_from


@given(
    st.lists(st.integers(0, 30), min_size=2, max_size=200).filter(lambda days: len(set(days)) > 1),
    st.floats(0.05, 0.5),
)
def test_any_split_has_both_sides(days: list[int], share: float) -> None:
    """Whatever the times are, training rows are older than evaluation rows and both are there."""
    at = np.array(days, dtype=float)
    found = _select(_spec(), at=at, evaluation_share=share)
    assert 0 < found.training < len(days)
    assert at[found.order[: found.training]].max() < at[found.order[found.training :]].min()


def test_what_leaves_nothing_is_explained() -> None:
    """Everything is in quarantine, too young, or of one time."""
    with pytest.raises(DataError, match=r"0 of 100 rows are left to train on \(100 quarantined, 0 whose label"):
        _select(_spec(quarantines=(Quarantine(0.0, None),)))
    with pytest.raises(DataError, match=r"0 quarantined, 100 whose label is not mature.*as of 1970-01-01T00:00:00Z"):
        _select(_spec(now=0.0), known=AT + 1)
    with pytest.raises(DataError, match=r"all 50 rows have the time 1970-01-01T00:00:00Z, so there are no newer ones"):
        _select(_spec(), at=np.zeros(50))


def test_the_usual_delay_is_that_of_rows_old_enough_to_show_it() -> None:
    """Half of the labels take a day, half a month."""
    at = np.arange(0.0, 300.0)
    delay = np.where(np.arange(300) % 2 == 0, 1.0, 30.0)
    known = at + delay <= 300
    assert delay_quantile(at[known], (at + delay)[known], 0.9) == 30.0


def test_a_spec_survives_json() -> None:
    """The loop writes it, the job's process reads it."""
    spec = _spec(quarantines=(Quarantine(1.0, 2.0, ("rain", "wind")), Quarantine(5.0, None)), champion=3, since=1.0)
    assert from_json(to_json(spec)) == spec


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strategy": "nightly"}, "strategy 'nightly' is not known; write one of full, sliding-window"),
        ({"strategy": "sliding-window"}, "a sliding window needs window_s > 0, found None"),
        ({"since": 5.0, "until": 1.0}, "since 5.0 lies after until 1.0"),
        ({"quarantines": [["a"]]}, r"a quarantine is \[since, until, \[features\]\], found \['a'\]"),
        ({"windows": 3}, "training spec has unknown fields windows"),
    ],
)
def test_a_spec_that_cannot_be_is_refused(change: dict[str, object], message: str) -> None:
    """Written by hand, or by another version."""
    with pytest.raises(UserError, match=message):
        from_json(to_json(_spec()) | change)
    with pytest.raises(UserError, match="training spec lacks job, now, trigger"):
        from_json({})
