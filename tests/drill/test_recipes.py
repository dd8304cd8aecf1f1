"""What the recipes do to a table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from trimtab.replay.incidents import RECIPES, NotHereError, Stage


def stage(seed: int = 0, level: int = 1, classes: int = 2) -> Stage:
    rng = np.random.default_rng(seed)
    rows = 2000
    frame = pd.DataFrame(
        {
            "income": rng.gamma(3.0, 1000.0, rows),
            "age": rng.normal(40, 12, rows),
            "plan": pd.Series(rng.choice(["basic", "plus", "premium"], rows, p=[0.5, 0.3, 0.2]), dtype=object),
            "row": np.arange(rows),
            "event_time": np.arange(rows, dtype=float),
            "target": (rng.random(rows) < 0.4).astype(float),
        }
    )
    parts = frame.iloc[:1000].copy(), frame.iloc[1000:1300].copy(), frame.iloc[1300:].copy()
    return Stage(rng, level, *parts, 2 * rows, ["income", "age", "plan"], classes)


def clean(seed: int = 0) -> pd.DataFrame:
    return stage(seed).after


@pytest.mark.parametrize("name", ["unit", "nulls", "stuck", "rename", "swap"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_data_fault_changes_the_columns_that_it_names_and_no_other(name: str, seed: int) -> None:
    """A pipeline breaks one column; what is scored against must say which."""
    broken, before = stage(seed), clean(seed)
    RECIPES[name].breaks(broken)
    changed = [
        column
        for column in before.columns
        if not before[column]
        .astype(str)
        .reset_index(drop=True)
        .equals(broken.after[column].astype(str).reset_index(drop=True))
    ]
    assert sorted(changed) == sorted(broken.columns)
    assert broken.recipe


def test_rows_come_twice_or_not_at_all() -> None:
    """A feed is read again; a feed stops for a while. Identifiers of rows are carried along."""
    twice, gone, before = stage(), stage(), clean()
    RECIPES["duplicates"].breaks(twice)
    assert len(twice.after) == len(before) + int(0.3 * len(before))
    assert set(twice.after["row"]) == set(before["row"])
    RECIPES["gap"].breaks(gone)
    assert gone.after["row"].min() == before["row"].min() + int(0.4 * len(before))


def test_outcomes_turn_round_in_one_half_only() -> None:
    """Customers of one kind begin to behave the other way."""
    flipped, before = stage(), clean()
    RECIPES["sudden"].breaks(flipped)
    changed = flipped.after["target"].to_numpy() != before["target"].to_numpy()
    assert 0.2 < changed.mean() < 0.5
    assert flipped.columns == []


def test_a_new_segment_was_never_seen_before() -> None:
    """A new shop opens: no row of it is in the reference or in the warm-up."""
    opened = stage(seed=3)
    RECIPES["segment"].breaks(opened)
    assert len(opened.reference) < 1000
    assert len(opened.after) == len(clean())


def test_a_table_without_the_columns_for_it() -> None:
    """Only one number: nothing can be exchanged."""
    alone = stage()
    alone.top = ["income"]
    with pytest.raises(NotHereError):
        RECIPES["swap"].breaks(alone)
    number = stage(classes=0)
    with pytest.raises(NotHereError):
        RECIPES["prior"].breaks(number)
