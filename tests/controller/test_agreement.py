"""Rows that both versions scored, joined as the log brings them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from tests.controller.desk import predictions
from trimtab.controller import agreement
from trimtab.controller.agreement import Agreement
from trimtab.core.domain.times import HOUR_S
from trimtab.core.profiles.pairs import SHIFT_GRID, shifts

AT = 50_000.0


def made() -> Agreement:
    return Agreement(champion=1, challenger=2, first_generation=3, look_s=HOUR_S)


def rows(name: str, version: int, scores: list[float], at: float = AT, generation: int = 3) -> pa.Table:
    ids = [f"{name}{k}" for k in range(len(scores))]
    return predictions(ids, version, scores, at=at, generation=generation, shadow=version == 2)


def add(agreement: Agreement, *tables: pa.Table) -> None:
    for table in tables:
        agreement.add(table, event_clock=False, scale=1.0)


def totals(agreement: Agreement) -> tuple[int, int, float]:
    cells = agreement.cells.values()
    shift = sum(float(cell.shift @ SHIFT_GRID) for cell in cells)
    return sum(cell.rows for cell in cells), sum(cell.disagreed for cell in cells), shift


def orders() -> Iterator[list[pa.Table]]:
    parts = [rows("a", 1, [0.7, 0.4, 0.9]), rows("a", 2, [0.8, 0.6, 0.9]), rows("b", 2, [0.1]), rows("b", 1, [0.3])]
    yield parts
    yield parts[::-1]
    yield [pa.concat_tables(parts)]


@pytest.mark.parametrize("order", range(3))
def test_the_same_rows_in_any_order_and_in_any_files(order: int) -> None:
    """Two workers' files are read in the order of their names, not of the requests."""
    found = made()
    add(found, *list(orders())[order])
    count, disagreed, shift = totals(found)
    assert (count, disagreed) == (4, 1)
    assert shift == pytest.approx(0.1 + 0.2 + 0.0 - 0.2)
    assert not found._waiting


def test_what_does_not_belong_to_the_comparison() -> None:
    """A third version, rows from before, errors, and scores that are no numbers."""
    found = made()
    add(found, rows("a", 1, [0.7]), rows("a", 3, [0.2]), rows("b", 1, [0.7], generation=2), rows("b", 2, [0.2]))
    add(found, rows("c", 1, [float("nan")]), rows("c", 2, [0.2]))
    failed = rows("d", 1, [0.7])
    place = failed.schema.get_field_index("error")
    add(found, failed.set_column(place, "error", pa.array(["timeout"])), rows("d", 2, [0.2]))
    assert totals(found) == (0, 0, 0.0)


def test_a_row_counts_in_the_look_of_its_later_half() -> None:
    """The shadow scores after the answer: across the hour."""
    found = made()
    add(found, rows("a", 1, [0.7]), rows("a", 2, [0.7], at=AT + HOUR_S))
    assert list(found.cells) == [int((AT + HOUR_S) // HOUR_S)]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shadow is down for a day: its halves never come."""
    monkeypatch.setattr(agreement, "WAITING_MAX", 10)
    found = made()
    add(found, rows("a", 1, [0.7] * 100))
    assert len(found._waiting) == 10
    add(found, rows("a", 2, [0.7] * 100))
    assert totals(found)[0] == 10
    assert len(found._waiting) == 10


def test_numbers_differ_when_further_apart_than_the_mean_absolute_error() -> None:
    """Regression: the champion errs by 20 on average, so 100 counts as 1."""
    found = made()

    def numbers(version: int, values: list[float]) -> pa.Table:
        table = rows("a", version, values).drop_columns(["y.score.no", "y.score.yes", "y.prediction"])
        return table.append_column("y.prediction", pa.array(values))

    for table in (numbers(1, [100.0, 100.0, 100.0]), numbers(2, [110.0, 130.0, 900.0])):
        found.add(table, event_clock=False, scale=100.0)
    count, disagreed, shift = totals(found)
    assert (count, disagreed) == (3, 2)
    assert shift == pytest.approx(0.1 + 0.3 + 1.0)


def test_of_many_classes_the_score_of_the_champions_choice() -> None:
    """Three carriers."""
    ours, theirs = np.array([[0.2, 0.5, 0.3]]), np.array([[0.1, 0.2, 0.7]])
    assert shifts(ours, theirs) == pytest.approx([-0.3])
