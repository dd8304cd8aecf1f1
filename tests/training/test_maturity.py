"""When a row may be trained on: bookings that are settled on arrival, unless they are cancelled before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.training.rows import START, project, write
from trimtab.core.domain.times import DAY_S
from trimtab.training.history import load_history
from trimtab.training.maturity import due_of
from trimtab.training.select import mature_rows

DAYS = 400.0
NOW = START + DAYS * DAY_S


def bookings(rows: int = 8000, longest: float = 120.0) -> pd.DataFrame:
    """Booked up to ``longest`` days ahead; 30 % are cancelled, halfway to the arrival on average."""
    rng = np.random.default_rng(2)
    at = np.sort(rng.uniform(START, NOW, rows)).round(3)
    lead = rng.uniform(1.0, longest, rows)
    cancelled = rng.random(rows) < 0.3
    delay = np.where(cancelled, lead * rng.random(rows), lead)
    stamp = {
        name: pd.to_datetime((t * 1e6).round().astype("int64"), unit="us", utc=True)
        for name, t in (("sent_at", at), ("known_at", at + delay * DAY_S))
    }
    return pd.DataFrame({**stamp, "customer": "c", "row": np.arange(rows), "lead": lead, "late": cancelled})


def selected(root: Path, table: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    write(root, table)
    settled = project(label_time="known_at")
    history = load_history(root, settled)
    due_s = due_of(history, settled, NOW)
    return table, mature_rows(history.at, history.known_at, NOW, 0.9, due_s)


def test_what_is_trained_on_is_not_selected_by_its_outcome(tmp_path: Path) -> None:
    """Of the bookings of the newest months that are settled, most are cancelled; of those that are due, 30 % are."""
    table, mature = selected(tmp_path, bookings())
    at, known = (table[name].map(pd.Timestamp.timestamp).to_numpy() for name in ("sent_at", "known_at"))
    young = at > NOW - 90 * DAY_S
    cancelled = table["late"].to_numpy()
    assert cancelled[young & (known <= NOW)].mean() > 0.4
    assert cancelled[young & mature].mean() == pytest.approx(0.3, abs=0.04)
    assert (known[mature] <= NOW).all()


def test_rows_that_are_due_soon_need_not_wait_for_the_others(tmp_path: Path) -> None:
    """A booking for next week is settled next week, and need not wait for those of next summer."""
    table, mature = selected(tmp_path, bookings())
    at = table["sent_at"].map(pd.Timestamp.timestamp).to_numpy()
    newest = at[mature].max()
    lead = table["lead"].to_numpy()
    assert newest > NOW - 20 * DAY_S
    assert lead[mature & (at > NOW - 30 * DAY_S)].max() < 45


def test_nothing_is_learnt_where_labels_come_soon(tmp_path: Path) -> None:
    """Flights are late or not within hours: whole days will do."""
    write(tmp_path, bookings(3000, longest=1.5))
    settled = project(label_time="known_at")
    assert due_of(load_history(tmp_path, settled), settled, NOW) is None


def test_nothing_is_learnt_without_times_of_labels(tmp_path: Path) -> None:
    """All labels have the same delay."""
    write(tmp_path, bookings(1000).drop(columns="known_at"))
    settled = project()
    assert due_of(load_history(tmp_path, settled), settled, NOW) is None
