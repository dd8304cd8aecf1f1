"""Streams that wander by themselves: what happens to them must stand out from what they always do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.diagnosis.shop import ONSET, ROWS, reference, rows
from trimtab import api
from trimtab.core.diagnosis.rows.prior import shifted
from trimtab.core.domain.diagnosis import Diagnosis, Kind, Remedy
from trimtab.core.domain.errors import DataError

HALF = ("north",)


def wandering(frame: pd.DataFrame, seed: int, *, start: int) -> pd.DataFrame:
    """Outcomes of all customers alike are better in some weeks than in others."""
    rng = np.random.default_rng(seed)
    days = ((frame["at"] - pd.Timestamp("2023-12-01")).dt.days).to_numpy()
    mood = 0.5 * np.sin(days / 3.0 + start)
    fresh = rng.random(len(frame))
    luck = np.where(mood > 0, fresh < mood * 0.5, fresh < -mood * 0.5)
    return frame.assign(y=np.where(luck, mood > 0, frame["y"]).astype(float))


def say(current: pd.DataFrame, before: pd.DataFrame | None = None) -> Diagnosis:
    known = wandering(reference(), 1, start=0) if before is None else before
    return api.diagnose(known, current, "y", "at", ignore=["amount"]).diagnosis


def test_a_flip_in_one_region_is_found_though_all_regions_have_good_and_bad_weeks() -> None:
    """Buyers in the north turn round on the sixteenth day, in a market that rises and falls every few weeks."""
    now = wandering(rows(2), 2, start=0)
    rng = np.random.default_rng(3)
    hit = (now.index >= ONSET) & now["region"].isin(HALF) & (rng.random(ROWS) < 0.8)
    found = say(now.assign(y=np.where(hit, 1 - now["y"], now["y"])))
    assert found.remedy is Remedy.RETRAIN
    assert "region" in found.features


def test_good_and_bad_weeks_alone_are_no_reason_to_act() -> None:
    """The market rises and falls as it always did."""
    assert say(wandering(rows(2), 2, start=0)).remedy in (Remedy.NONE, Remedy.WATCH)


def test_a_class_of_three_that_mostly_stays_away_asks_for_recalibration() -> None:
    """Of three plans that customers choose, six tenths of the buyers of one go elsewhere; the others stay the same."""

    def three(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(y=np.select([frame["amount"] < 40, frame["amount"] < 70], ["small", "middle"], "large"))

    now = three(rows(2, 2 * ROWS))
    away = (now.index >= 2 * ONSET) & (now["y"] == "small") & (np.random.default_rng(0).random(len(now)) < 0.6)
    found = say(now[~away], three(reference()))
    assert found.kind is Kind.PRIOR_SHIFT, found


def test_a_code_for_missing_is_found_in_a_column_that_is_often_empty() -> None:
    """Half of the temperatures never came; now the sensor sends -999 where it has none."""
    rng = np.random.default_rng(5)
    known, now = reference(), rows(2)
    known["temperature"] = known["temperature"].where(rng.random(len(known)) < 0.5)
    now["temperature"] = now["temperature"].where(rng.random(len(now)) < 0.5)
    hit = (now.index >= ONSET) & (rng.random(len(now)) < 0.6)
    found = say(now.assign(temperature=now["temperature"].where(~hit, -999.0)), known)
    assert (found.remedy, found.features) == (Remedy.FIX_DATA, ("temperature",))


def test_a_renamed_level_is_found_beside_a_new_one() -> None:
    """A region is written in another way on the day on which a fourth region opens."""
    now = rows(2)
    late, rng = now.index >= ONSET, np.random.default_rng(6)
    fresh = now["region"].replace({"south": "South."}).where(rng.random(ROWS) > 0.2, "west")
    found = say(now.assign(region=now["region"].where(~late, fresh)), reference())
    assert found.remedy is Remedy.FIX_DATA


def test_labels_of_another_type_are_a_label_fault() -> None:
    """Training had 'yes' and 'no', production sends 1 and 0."""
    known = reference().assign(y=lambda frame: frame["y"].map({0.0: "no", 1.0: "yes"}))
    assert say(rows(2), known).remedy is Remedy.FIX_LABELS


def test_a_class_that_only_the_newest_rows_have_is_no_error() -> None:
    """A third outcome appeared in the last days before the training data were cut off."""
    known = reference()
    known["y"] = np.where(np.arange(len(known)) > len(known) - 60, 2.0, known["y"])
    assert say(rows(2), known).kind in set(Kind)


@pytest.mark.parametrize(("size", "words"), [(0, "no rows"), (4800, "oldest four fifths")])
def test_a_reference_that_teaches_nothing_is_named(size: int, words: str) -> None:
    """The table of the reference is empty, or its first months have a single outcome."""
    known = reference().iloc[: 6000 if size else 0]
    with pytest.raises(DataError, match=words):
        say(rows(2), known.assign(y=np.where(np.arange(len(known)) < 4800, 0.0, known["y"])))


def test_odds_are_shifted_to_the_mean_that_came() -> None:
    """Twice as many buyers: every expectation moves by one factor of its odds."""
    rng = np.random.default_rng(0)
    expected = rng.uniform(0.05, 0.5, 4000)
    outcome = (rng.random(4000) < 0.6).astype(float)
    every = np.ones(4000, dtype=np.bool_)
    now = shifted(expected, outcome, every)
    assert now.mean() == pytest.approx(outcome.mean(), abs=1e-3)
    factor = (now / (1 - now)) / (expected / (1 - expected))
    assert np.ptp(factor) < 1e-6 * factor.mean()
