"""Rows that come twice."""

from __future__ import annotations

import numpy as np

from tests.controller.desk import predictions
from trimtab.controller.repeats import Repeats, row_keys
from trimtab.core.diagnosis.repeats import repeated_rows
from trimtab.core.diagnosis.result import Block
from trimtab.core.profiles import Baseline

BASELINE = Baseline.fit({"x": np.arange(500.0)})
DAY = BASELINE.profile({"x": np.arange(200.0)})


def blocks(repeated: list[int]) -> list[Block]:
    return [Block(day * 86400.0, (day + 1) * 86400.0, DAY, None, count) for day, count in enumerate(repeated)]


def test_a_feed_that_is_read_twice_for_three_days() -> None:
    """Two in a hundred repeat by nature; then a third of the rows, until somebody mends it."""
    (fault,), under = repeated_rows(blocks([4] * 10 + [60] * 3 + [4] * 2), 50)
    assert (fault.code, fault.since_s, fault.until_s) == ("DuplicatedRows", 10 * 86400.0, 13 * 86400.0)
    assert under.tolist() == [False] * 10 + [True] * 3 + [False] * 2


def test_one_bad_day_and_coarse_times_are_none() -> None:
    """A client sent a batch again once; where times are whole days, many rows are alike all the time."""
    assert repeated_rows(blocks([4] * 10 + [60] + [4] * 3), 50)[0] == ()
    assert repeated_rows(blocks([80] * 14), 50)[0] == ()


def test_equal_rows_are_found_across_files_of_the_log() -> None:
    """The second sending has ids of its own and stands in another file; another time is another row."""
    first = predictions(["a", "b", "c"], 1, [0.1, 0.2, 0.3], at=1000.0, generation=1)
    again = predictions(["d", "e", "f"], 1, [0.1, 0.2, 0.3], at=1000.0, generation=1)
    later = predictions(["g", "h", "i"], 1, [0.1, 0.2, 0.3], at=2000.0, generation=1)
    seen = Repeats()
    for table in (first, again, later):
        seen.add(0, row_keys(table))
    assert seen.counts == {0: 3}
