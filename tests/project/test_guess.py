"""What 'trimtab init' makes of a table, and the file it writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.project.tables import START_S, events, times, write
from trimtab.core.domain.errors import NotFoundError, UserError
from trimtab.project.draft import draft, scalar
from trimtab.project.guess import Guess, guess
from trimtab.project.inspect import look
from trimtab.project.load import parse


def guessed(table: pa.Table, folder: Path, target: str = "late", time: str | None = None) -> Guess:
    return guess(look([write(table, folder / "data.parquet")]), target, time)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Guess:
    return guessed(events(), tmp_path_factory.mktemp("data"))


def test_the_event_time_is_told_from_the_other_times(found: Guess) -> None:
    """Four time columns: scheduled, departed, landed, labelled."""
    assert found.time.column in ("departed_at", "scheduled_at")


def test_the_time_that_was_named_is_taken(tmp_path: Path) -> None:
    named = guessed(events(), tmp_path, time="departed_at")
    assert named.time.column == "departed_at"
    assert named.label_time is not None
    assert named.label_time.column == "label_time"
    ignored = {noted.column: noted.why for noted in named.ignore}
    assert "known only 1h after departed_at" in ignored["landed_at"]
    assert "never comes back" in ignored["scheduled_at"]


def test_columns_that_cannot_be_features_are_left_out_with_the_reason(found: Guess) -> None:
    why = {noted.column: noted.why for noted in found.ignore}
    assert "identifier" in why["flight_id"]
    assert "identifier" in why["number"]
    assert why["country"] == "always the same"
    assert "list" in why["legs"]


def test_columns_that_tell_the_target_are_left_out(found: Guess) -> None:
    """The delay in minutes, and a refund that only the late ones got."""
    why = {noted.column: noted.why for noted in found.ignore}
    assert "alone tells late" in why["delay"]
    assert "alone tells late" in why["refund"]


def test_honest_columns_stay_features(found: Guess) -> None:
    assert {noted.column for noted in found.features} == {"carrier", "tailnum", "distance", "wind"}


def test_target_task_entity_slices_and_block(found: Guess) -> None:
    assert found.task == "classification"
    assert found.positive is True
    assert "false" in found.target.why
    assert "true" in found.target.why
    assert [noted.column for noted in found.entities] == ["tailnum"]
    assert [noted.column for noted in found.slices] == ["carrier"]
    assert found.block_s == 30 * 86400  # ten rows a day: neither a day nor a week holds 200


def test_a_number_makes_a_regression(tmp_path: Path) -> None:
    found = guessed(events().drop_columns(["late", "refund"]), tmp_path, target="delay", time="departed_at")
    assert found.task == "regression"
    assert found.positive is None


def test_a_column_that_repeats_a_numeric_target_is_a_leak(tmp_path: Path) -> None:
    table = events().drop_columns(["late", "refund"])
    table = table.append_column("minutes_x2", pc.multiply(table["delay"], 2.0))
    found = guessed(table, tmp_path, target="delay", time="departed_at")
    assert "minutes_x2" in {noted.column for noted in found.ignore}


def test_few_whole_numbers_are_classes(tmp_path: Path) -> None:
    table = events().append_column("grade", pa.array(np.arange(3000) % 3))
    assert guessed(table, tmp_path, target="grade").task == "classification"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns(["departed_at", "label_time", "landed_at", "scheduled_at"]), "holds a time"),
        (
            lambda t: t.set_column(t.schema.get_field_index("late"), "late", pa.array([True] * t.num_rows)),
            "always True",
        ),
        (lambda t: t.set_column(14, "late", pa.nulls(t.num_rows, pa.bool_())), "always missing"),
        (lambda t: t.set_column(14, "late", t["legs"]), "target 'late' is"),
        (lambda t: t.set_column(14, "late", t["flight_id"]), "different values in 3,000 rows; is this the target"),
        (lambda t: t.select(["departed_at", "late", "country"]), "no column is left as a feature"),
    ],
)
def test_data_that_cannot_be_learnt_from_is_refused_with_the_reason(tmp_path: Path, change, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=message):
        guessed(change(events()), tmp_path)


def test_a_time_that_is_text_is_named_with_the_way_out(tmp_path: Path) -> None:
    """CSV exported with its own date format, or a Parquet file of strings."""
    table = events().drop_columns(["label_time", "landed_at", "scheduled_at"])
    text = pc.strftime(table["departed_at"], "%Y-%m-%dT%H:%M:%S")
    table = table.set_column(2, "departed_at", text)
    with pytest.raises(UserError, match=r"'departed_at' looks like one: .*pandas\.to_datetime"):
        guessed(table, tmp_path)
    with pytest.raises(UserError, match="'departed_at' is text"):
        guessed(table, tmp_path, time="departed_at")


def test_a_time_with_gaps_is_refused(tmp_path: Path) -> None:
    seconds = START_S + np.arange(300.0)
    table = pa.table(
        {"t": pa.array([None, *times(seconds)[1:].to_pylist()], times(seconds).type), "x": seconds, "y": seconds % 2}
    )
    with pytest.raises(UserError, match="missing in 1 of 300 rows"):
        guessed(table, tmp_path, target="y", time="t")
    with pytest.raises(UserError, match="t is missing in 1 rows"):
        guessed(table, tmp_path, target="y")


def test_an_unknown_column_gets_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="did you mean 'late'"):
        guessed(events(), tmp_path, target="lat")


def test_the_written_file_reads_back_and_says_the_same(tmp_path: Path) -> None:
    path = write(events(), tmp_path / "data.parquet")
    seen = look([path])
    found = guess(seen, "late", "departed_at")
    project = parse(draft("flights", "data.parquet", seen, found))
    assert project.data.time == "departed_at"
    assert project.data.target == "late"
    assert project.data.positive is True
    assert project.data.label_time == "label_time"
    assert set(project.data.ignore) == {noted.column for noted in found.ignore}
    assert project.task == "classification"


AWKWARD = [
    "a: b",
    "on",
    "#x",
    "ünï",
    "two\nlines",
    "'",
    '"',
    "null",
    "1",
    "- y",
    "tab\t",
    "a\x85b",
    "}{",
    "~",
    "\\",
    "%",
]


def test_any_name_of_a_column_can_stand_in_the_file(tmp_path: Path) -> None:
    """Spreadsheets name columns as they like."""
    rows = 300
    seconds = START_S + 60.0 * np.arange(rows)
    chance = np.random.default_rng(1)
    table = pa.table(
        {"t": times(seconds), "y: z": np.arange(rows) % 2}
        | {name: ["same"] * rows for name in AWKWARD}
        | {"x": chance.normal(size=rows)}
    )
    seen = look([write(table, tmp_path / "data.parquet")])
    project = parse(draft("odd", "data.parquet", seen, guess(seen, "y: z", None)))
    assert project.data.target == "y: z"
    assert set(project.data.ignore) == set(AWKWARD)


@settings(deadline=None)
@given(
    st.one_of(st.text(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False))
)
def test_a_written_value_reads_back_as_itself(value: object) -> None:
    from ruamel.yaml import YAML

    read = YAML(typ="safe", pure=True).load(f"key: {scalar(value)}")["key"]
    assert read == value
    assert isinstance(read, type(value))


def test_where_most_columns_tell_the_target_none_is_left_out(tmp_path: Path) -> None:
    """Sensors of a machine that is plainly on or off: an easy target, not four leaks."""
    chance = np.random.default_rng(8)
    on = chance.uniform(size=1000) < 0.5
    sensors = {name: on * 10.0 + chance.normal(size=1000) for name in ("volts", "heat", "noise", "turns")}
    table = pa.table(
        {"t": times(START_S + 60.0 * np.arange(1000)), "on": on, **sensors, "room": chance.normal(size=1000)}
    )
    found = guessed(table, tmp_path, target="on")
    assert {noted.column for noted in found.features} == {"volts", "heat", "noise", "turns", "room"}
    assert any("most columns tell on by themselves" in note for note in found.notes)


def test_a_country_that_stands_there_until_check_in_is_left_out(tmp_path: Path) -> None:
    """Bookings keep the hotel's own country until the guest arrives; cancelled ones never get another."""
    chance = np.random.default_rng(9)
    names = np.array([f"C{i:02d}" for i in range(60)])
    cancelled = chance.uniform(size=6000) < 0.35
    real = chance.choice(names, 6000, p=np.r_[0.2, np.full(59, 0.8 / 59)])
    asked = np.where(cancelled & (chance.uniform(size=6000) < 0.6), "C00", real)
    table = pa.table(
        {
            "t": times(START_S + 600.0 * np.arange(6000)),
            "cancelled": cancelled,
            "country": asked,
            "agent": chance.choice(names, 6000),
            "nights": chance.integers(1, 9, 6000),
        }
    )
    found = guessed(table, tmp_path, target="cancelled")
    assert {noted.column: noted.why for noted in found.ignore}.keys() == {"country"}
    assert "'C00'" in found.ignore[0].why


def test_a_memory_of_the_row_before_is_used_with_a_note(tmp_path: Path) -> None:
    """Yesterday's price, beside the price of today."""
    chance = np.random.default_rng(10)
    price = np.cumsum(chance.normal(size=2001)) + 50
    table = pa.table(
        {
            "t": times(START_S + 86400.0 * np.arange(2000) / 8),
            "price": price[1:],
            "price_before": price[:-1],
            "wind": chance.normal(size=2000),
            "rain": chance.normal(size=2000),
        }
    )
    found = guessed(table, tmp_path, target="price")
    assert "price_before" in {noted.column for noted in found.features}
    assert any("as a memory of earlier rows" in note for note in found.notes)
