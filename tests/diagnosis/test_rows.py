"""What is said of two tables when one thing went wrong on the sixteenth day."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from tests.diagnosis.shop import ONSET, ROWS, reference, rows, since
from trimtab import api
from trimtab.core.domain.diagnosis import Diagnosis, Kind, Remedy
from trimtab.core.domain.verdict import Severity

Change = Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]


def look(change: Change, target: str = "y", seed: int = 2, **options: object) -> Diagnosis:
    current = change(rows(seed), np.random.default_rng(seed))
    other = "amount" if target == "y" else "y"
    return api.diagnose(reference(), current, target, "at", ignore=[other], **options).diagnosis  # type: ignore[arg-type]


def changed(name: str, how: Callable[[pd.Series], object], share: float = 1.0) -> Change:
    """``how`` applied to a column from the onset on."""

    def change(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        hit = since(frame) & (rng.random(len(frame)) < share)
        new = pd.Series(how(frame[name]), index=frame.index)
        return frame.assign(**{name: frame[name].where(~hit, new)})

    return change


def swapped(frame: pd.DataFrame, _rng: np.random.Generator) -> pd.DataFrame:
    hit = since(frame)
    return frame.assign(age=frame["age"].where(~hit, frame["spend"]), spend=frame["spend"].where(~hit, frame["age"]))


def doubled(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    again = np.sort(rng.choice(np.arange(ONSET, ROWS), 400, replace=False))
    return pd.concat([frame, frame.iloc[again]]).sort_values("at", kind="stable").iloc[:ROWS]


def replayed(frame: pd.DataFrame, _rng: np.random.Generator) -> pd.DataFrame:
    old = frame.iloc[200 : 200 + ROWS - ONSET].copy()
    old["at"] = frame["at"].iloc[ONSET:].to_numpy()
    return pd.concat([frame.iloc[:ONSET], old])


def silent(frame: pd.DataFrame, _rng: np.random.Generator) -> pd.DataFrame:
    return frame.drop(index=range(ONSET, ONSET + 500))


@pytest.mark.parametrize(
    ("change", "code", "features"),
    [
        (changed("income", lambda v: v / 12), "UnitChange", ("income",)),
        (changed("temperature", lambda v: v * 1.8 + 32), "UnitChange", ("temperature",)),
        (changed("spend", lambda v: v * 1000, 0.4), "UnitChange", ("spend",)),
        (changed("age", lambda v: np.nan, 0.5), "MissingFlood", ("age",)),
        (changed("income", lambda v: -1.0, 0.5), "MissingFlood", ("income",)),
        (changed("region", lambda v: "unknown", 0.5), "MissingFlood", ("region",)),
        (changed("income", lambda v: v.iloc[ONSET - 1]), "ConstantColumn", ("income",)),
        (changed("plan", lambda v: v.replace({"Basic": "basis"})), "RenamedCategories", ("plan",)),
        (changed("plan", lambda v: v.str.encode("utf-8").str.decode("latin-1")), "EncodingDamage", ("plan",)),
        (
            changed("region", lambda v: v.map({"north": "1", "south": "2", "east": "3"})),
            "RenamedCategories",
            ("region",),
        ),
        (changed("plan", lambda v: v.str.upper()), "EncodingDamage", ("plan",)),
        (swapped, "SwappedColumns", ("age", "spend")),
        (changed("age", lambda v: 9000 + (v * 7919) % 977), "OutOfRange", ("age",)),
        (
            changed("income", lambda v: v.sample(frac=1, random_state=1).to_numpy() * 1.25),
            "BrokenRelation",
            ("income",),
        ),
        (changed("age", lambda v: v.astype(str) + " years"), "WrongType", ("age",)),
        (doubled, "DuplicatedRows", ()),
        (replayed, "DuplicatedRows", ()),
        (silent, "MissingRows", ()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_broken_data_are_named_and_dated(change: Change, code: str, features: tuple[str, ...]) -> None:
    """An upstream team deployed on the sixteenth day and told nobody."""
    found = look(change)
    assert (found.kind, found.remedy) == (Kind.DATA_FAULT, Remedy.FIX_DATA), found
    assert found.reasons[0].code == code, found.reasons
    assert set(found.features) == set(features)
    assert found.since is not None
    onset = rows(2)["at"].iloc[ONSET + (500 if code == "MissingRows" else 0)].timestamp()
    assert abs(found.since - onset) < 1.5 * 86400


def test_a_column_that_does_not_come(capsys: pytest.CaptureFixture[str]) -> None:
    """Renamed in the source: 'income' is 'income_eur' now."""
    found = look(lambda frame, _rng: frame.rename(columns={"income": "income_eur"}))
    assert (found.kind, found.features) == (Kind.DATA_FAULT, ("income",))
    assert "'income_eur' came instead" in found.reasons[0].text


def labels(how: Callable[[pd.Series, np.random.Generator], object], target: str = "y") -> Change:
    def change(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        hit = since(frame)
        new = pd.Series(np.asarray(how(frame[target], rng), dtype=float), index=frame.index)
        return frame.assign(**{target: frame[target].where(~hit, new)})

    return change


@pytest.mark.parametrize(
    ("change", "target", "code"),
    [
        (labels(lambda y, _rng: y * 0), "y", "ConstantLabels"),
        (labels(lambda y, rng: rng.permutation(y)), "y", "LabelsUnrelated"),
        (labels(lambda y, _rng: y + 1), "y", "UnknownLabels"),
        (labels(lambda y, _rng: 1 - y), "y", "LabelsTurned"),
        (labels(lambda y, _rng: y * 100, "amount"), "amount", "LabelUnitChange"),
        (labels(lambda y, rng: rng.permutation(y), "amount"), "amount", "LabelsUnrelated"),
    ],
)
def test_broken_labels_are_never_trained_on(change: Change, target: str, code: str) -> None:
    """The join that brings labels back was rewritten."""
    found = look(change, target)
    assert (found.kind, found.remedy) == (Kind.LABEL_FAULT, Remedy.FIX_LABELS), found
    assert found.reasons[0].code == code


def test_a_hole_in_the_labels() -> None:
    """The labelling service was down for a week and came back."""
    hole = slice(1500, 2200)

    def change(frame: pd.DataFrame, _rng: np.random.Generator) -> pd.DataFrame:
        frame.loc[frame.index[hole], "y"] = np.nan
        return frame

    found = look(change)
    assert (found.kind, found.reasons[0].code) == (Kind.LABEL_FAULT, "MissingLabels")


def flipped(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    hit = since(frame) & (frame["temperature"] > 12) & (rng.random(len(frame)) < 0.7)
    return frame.assign(y=frame["y"].where(~hit, 1 - frame["y"]))


def test_a_changed_relation_is_placed() -> None:
    """On warm days people now decide the other way round."""
    found = look(flipped)
    assert (found.kind, found.remedy) == (Kind.SUDDEN_DRIFT, Remedy.RETRAIN)
    assert "temperature" in found.features
    assert found.severity is Severity.SEVERE


def test_a_relation_that_changes_bit_by_bit() -> None:
    """Every day some more of the well-to-do turn away, until nearly all have."""
    current = rows(2, 2 * ROWS)
    p = np.clip((current.index - 2000) / 4000, 0, 1)
    hit = (current["region"] != "south") & (np.random.default_rng(0).random(len(current)) < p)
    current["y"] = current["y"].where(~hit, 1 - current["y"])
    found = api.diagnose(reference(), current, "y", "at", ignore=["amount"]).diagnosis
    assert (found.kind, found.remedy) == (Kind.GRADUAL_DRIFT, Remedy.RETRAIN)
    assert found.since is not None
    assert abs(found.since - current["at"].iloc[2000].timestamp()) < 12 * 86400


def test_slices_that_suffer_are_named() -> None:
    """Only the east changed; people asked for regions."""

    def change(frame: pd.DataFrame, _rng: np.random.Generator) -> pd.DataFrame:
        hit = since(frame) & (frame["region"] == "east")
        return frame.assign(y=frame["y"].where(~hit, 1 - frame["y"]))

    found = look(change, slices=["region"])
    assert found.remedy is Remedy.RETRAIN
    assert found.slices == ("region=east",)
    assert found.reasons[-1].code == "SliceWorse"


def test_a_new_segment() -> None:
    """A country is opened: a region that nobody knew, beside the others."""

    def change(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        hit = since(frame) & (rng.random(len(frame)) < 0.25)
        return frame.assign(region=frame["region"].where(~hit, "west"), y=frame["y"].where(~hit, 1 - frame["y"]))

    found = look(change)
    assert (found.kind, found.remedy, found.slices) == (Kind.NEW_SEGMENT, Remedy.RETRAIN, ("region=west",))


def left_out(drop: Callable[[pd.DataFrame], pd.Series], share: float) -> Change:
    def change(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        return frame[~(since(frame) & drop(frame) & (rng.random(len(frame)) < share))]

    return change


def test_prior_shift_is_recalibrated() -> None:
    """Fewer people only look round: those who buy are as they were."""
    found = look(left_out(lambda frame: frame["y"] == 0, 0.7))
    assert (found.kind, found.remedy) == (Kind.PRIOR_SHIFT, Remedy.RECALIBRATE)


@pytest.mark.parametrize(
    "change",
    [
        lambda frame, _rng: frame,
        left_out(lambda frame: frame["region"] == "north", 0.8),
        left_out(lambda frame: frame["age"] > 60, 0.8),
        changed("y", lambda v: np.nan),
    ],
    ids=["nothing", "a region fades", "the old stay away", "labels are late"],
)
@pytest.mark.parametrize("seed", [2, 3])
def test_what_does_no_harm_is_let_be(change: Change, seed: int) -> None:
    """Most weeks."""
    found = look(change, seed=seed)
    assert found.remedy in (Remedy.NONE, Remedy.WATCH), found


def test_an_earlier_version_that_does_better() -> None:
    """The new version was trained on a broken extract; the one before still knows."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    old = reference()
    names = ["income", "spend", "age", "temperature"]
    good = HistGradientBoostingClassifier(max_iter=30).fit(old[names], old["y"])
    bad = HistGradientBoostingClassifier(max_iter=30).fit(
        old[names].assign(income=old["income"].to_numpy()[::-1], spend=old["spend"].to_numpy()[::-1]), old["y"]
    )
    found = api.diagnose(
        old, rows(2), "y", "at", ignore=["amount", "plan", "region"], model=bad, rivals={"7": good}
    ).diagnosis
    assert (found.kind, found.remedy) == (Kind.SERVING_FAULT, Remedy.ROLLBACK)
    assert "version 7" in found.reasons[0].text


def test_weights_are_shares() -> None:
    """The answer and what else it could be add up to no more than everything."""
    found = look(flipped)
    assert 0 <= sum(each.weight for each in found.alternatives) < 1


@pytest.mark.parametrize(
    ("reference_too", "value"), [(True, np.nan), (False, 1.0)], ids=["stays empty", "is filled since"]
)
def test_a_column_that_was_always_empty(reference_too: bool, value: float) -> None:
    """Half of a wide table's columns were planned for later."""
    old, now = reference().assign(later=np.nan), rows(2).assign(later=np.nan if reference_too else value)
    found = api.diagnose(old, now, "y", "at", ignore=["amount"]).diagnosis
    assert found.remedy in (Remedy.NONE, Remedy.WATCH)


@pytest.mark.parametrize("size", [1, 3, 30])
def test_too_few_rows_say_nothing(size: int) -> None:
    """Somebody asks on the first morning."""
    found = api.diagnose(reference(), rows(2)[:size], "y", "at", ignore=["amount"]).diagnosis
    assert found.remedy is Remedy.NONE
