"""Files and production become one history; what does not fit is named with its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.training.rows import frame, project, soon, texts, write, write_labels, write_log
from trimtab.adapters.files import ParquetLogReader
from trimtab.core.domain.errors import DataError
from trimtab.core.domain.times import HOUR_S
from trimtab.training.collect import collect
from trimtab.training.history import load_history, names_of

FEATURES = ("carrier", "distance", "rain", "pieces", "fragile")


def test_features_are_what_is_left(tmp_path: Path) -> None:
    """Target, time, entity and ignored columns never reach the model."""
    write(tmp_path, frame(100))
    found = load_history(tmp_path, project())
    assert found.features == FEATURES
    assert found.at[0] == pytest.approx(frame(100)["sent_at"].iloc[0].timestamp())
    assert (found.known_at == found.at).all()


def test_parquet_and_csv_give_the_same_rows(tmp_path: Path) -> None:
    """A data scientist exports to CSV what was Parquet before."""
    table = frame(200)
    write(tmp_path / "a", table)
    write(tmp_path / "b", table, "history.csv")
    one = load_history(tmp_path / "a", project())
    two = load_history(tmp_path / "b", project(files="data/*.csv"))
    assert one.at == pytest.approx(two.at)
    for name in (*FEATURES, "late"):
        left, right = one.table[name].to_pandas(), two.table[name].to_pandas()
        pd.testing.assert_series_equal(left, right, check_dtype=False), name


def test_several_files_are_joined(tmp_path: Path) -> None:
    """One file per month; the newest has whole numbers where the older have fractions."""
    table = frame(300)
    write(tmp_path, table.iloc[:100].assign(distance=lambda t: t["distance"].round().astype("int64")), "a.parquet")
    write(tmp_path, table.iloc[100:], "b.parquet")
    found = load_history(tmp_path, project(files=["data/a.parquet", "data/b.parquet", "data/*.parquet"]))
    assert found.table.num_rows == 300
    assert str(found.table.schema.field("distance").type) == "double"


def test_exact_duplicates_leave_and_are_counted(tmp_path: Path) -> None:
    """An export was run twice; a row that differs in an ignored id is another row."""
    table = frame(100)
    twice = pd.concat([table, table.iloc[:30], table.iloc[:10].assign(row=lambda t: t["row"] + 1000)])
    write(tmp_path, twice)
    found = load_history(tmp_path, project())
    assert (found.table.num_rows, found.duplicates) == (110, 30)


def test_rows_without_a_label_leave_and_are_counted(tmp_path: Path) -> None:
    """The newest parcels are still on their way."""
    table = frame(100).astype({"late": object})
    table.loc[90:, "late"] = None
    write(tmp_path, table)
    found = load_history(tmp_path, project())
    assert (found.table.num_rows, found.unlabelled) == (90, 10)


def _collected(tmp_path: Path, table: pd.DataFrame, labels: list[str]) -> tuple[Path, ...]:
    ids = write_log(tmp_path / "logs", table, "a")
    write_labels(tmp_path / "logs", ids, labels, soon(table), "l")
    return collect(ParquetLogReader(tmp_path / "logs"), tmp_path / "data/production", names_of(project().data)).parts


def test_collected_rows_have_the_files_types(tmp_path: Path) -> None:
    """Production goes on where the files end: the text labels of the log are the files' classes."""
    table = frame(400)
    write(tmp_path, table.iloc[:300])
    parts = _collected(tmp_path, table.iloc[300:], texts(table.iloc[300:]))
    found = load_history(tmp_path, project(), parts)
    assert found.table.num_rows == 400
    assert found.table["late"].to_pylist() == table["late"].tolist()
    assert found.table["pieces"].to_pylist() == table["pieces"].tolist()
    assert found.known_at[350] == pytest.approx(found.at[350] + 2 * HOUR_S)


def test_rows_that_production_and_the_files_both_hold_count_once(tmp_path: Path) -> None:
    """The nightly export of the warehouse contains what was served."""
    table = frame(200)
    write(tmp_path, table)
    parts = _collected(tmp_path, table.iloc[150:], texts(table.iloc[150:]))
    found = load_history(tmp_path, project(), parts)
    assert (found.table.num_rows, found.duplicates) == (200, 50)


def test_labels_that_are_no_class_are_left_out_and_told(tmp_path: Path) -> None:
    """Somebody posts 'maybe'."""
    table = frame(200)
    write(tmp_path, table.iloc[:150])
    parts = _collected(tmp_path, table.iloc[150:], ["maybe"] * 5 + texts(table.iloc[155:]))
    found = load_history(tmp_path, project(), parts)
    assert found.table.num_rows == 195
    assert found.notes == ("5 labels of production are not of type bool and are left out",)


def test_a_column_that_is_new_in_the_files_is_missing_in_older_production_rows(tmp_path: Path) -> None:
    """A feature was added; requests did not carry it yet."""
    table = frame(200).assign(weight=1.5)
    write(tmp_path, table.iloc[:150])
    parts = _collected(tmp_path, table.iloc[150:], texts(table.iloc[150:]))
    found = load_history(tmp_path, project(), parts)
    assert found.table["weight"].null_count == 50
    assert found.notes == ("column 'weight' is not in the prediction log: missing in 50 collected rows",)


def test_times_as_text_and_seconds(tmp_path: Path) -> None:
    """Naive times are UTC; numbers are seconds since the epoch."""
    table = frame(50)
    for name, values in {
        "naive": table["sent_at"].dt.tz_localize(None),
        "text": table["sent_at"].dt.strftime("%Y-%m-%dT%H:%M:%S.%f"),
        "seconds": table["sent_at"].map(lambda t: t.timestamp()),
        "zone": table["sent_at"].dt.tz_convert("America/New_York"),
    }.items():
        write(tmp_path / name, table.assign(sent_at=values))
        assert load_history(tmp_path / name, project()).at == pytest.approx(
            table["sent_at"].map(lambda t: t.timestamp()).to_numpy(), abs=1e-5
        )


Spoil = Callable[[pd.DataFrame], pd.DataFrame]
BAD: dict[str, tuple[Spoil, dict[str, object], str]] = {
    "misspelt target": (
        lambda t: t.rename(columns={"late": "lat"}),
        {},
        r"column 'late' \(data.target\) is not in data/history.parquet; did you mean 'lat'\?; it has sent_at, row",
    ),
    "no time": (lambda t: t.drop(columns="sent_at"), {}, r"column 'sent_at' \(data.time\) is not in"),
    "misspelt ignore": (lambda t: t, {"ignore": ["row", "piecs"]}, r"'piecs' \(data.ignore\).*did you mean 'pieces'"),
    "times missing": (
        lambda t: t.assign(sent_at=t["sent_at"].where(t.index > 2)),
        {},
        r"\(data.time\) of data/history.parquet is missing in 3 of 100 labelled rows \(first: labelled row 1\)",
    ),
    "no time in text": (
        lambda t: t.assign(sent_at="yesterday"),
        {},
        r"row 1 is 'yesterday', not a time in ISO 8601",
    ),
    "truth as time": (lambda t: t.assign(sent_at=True), {}, r"column 'sent_at' \(data.time\) .* is bool, not a time"),
    "target of fractions": (
        lambda t: t.assign(late=np.linspace(0, 1, len(t))),
        {},
        r"column 'late' \(data.target\) .* has 0\.\d+; with numbers like this, is the task regression\?",
    ),
    "list column": (
        lambda t: t.assign(tags=[["a"]] * len(t)),
        {},
        r"column 'tags' of data/history.parquet is list.*put it into data.ignore",
    ),
    "text to regress": (
        lambda t: t.assign(late="x"),
        {"task": "regression"},
        r"is (large_)?string; task 'regression' needs",
    ),
    "nothing to learn from": (
        lambda t: t[["sent_at", "row", "customer", "late"]],
        {},
        r"data/history.parquet has no feature columns",
    ),
}


@pytest.mark.parametrize("case", list(BAD))
def test_what_is_wrong_is_named(tmp_path: Path, case: str) -> None:
    """A project file that does not fit its data, in ways people get it wrong."""
    spoil, data, message = BAD[case]
    write(tmp_path, spoil(frame(100)))
    with pytest.raises(DataError, match=message):
        load_history(tmp_path, project(**data))


def test_files_that_are_not_there_or_cannot_be_read(tmp_path: Path) -> None:
    """A typo in a path; a download that broke off; a spreadsheet."""
    path = write(tmp_path, frame(100))
    with pytest.raises(
        DataError, match=r"'data/histroy.parquet' names no file under .*; did you mean 'history.parquet'\?"
    ):
        load_history(tmp_path, project(files="data/histroy.parquet"))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match=r"data/history.parquet cannot be read as PARQUET: "):
        load_history(tmp_path, project())
    (tmp_path / "data/book.xlsx").write_bytes(b"x")
    with pytest.raises(DataError, match=r"data/book.xlsx is neither Parquet nor CSV"):
        load_history(tmp_path, project(files="data/*.xlsx"))
    (tmp_path / "data/empty.csv").write_text("sent_at,late\n")
    with pytest.raises(DataError, match=r"data/empty.csv has no rows"):
        load_history(tmp_path, project(files="data/*.csv"))


def test_files_that_do_not_go_together(tmp_path: Path) -> None:
    """The export's schema changed in March."""
    table = frame(100)
    write(tmp_path, table.iloc[:50], "a.parquet")
    write(tmp_path, table.iloc[50:].drop(columns="rain"), "b.parquet")
    with pytest.raises(DataError, match=r"column 'rain' of data/a.parquet is not in data/b.parquet"):
        load_history(tmp_path, project())
    write(tmp_path, table.iloc[50:].assign(extra=1), "b.parquet")
    with pytest.raises(DataError, match=r"column 'extra' of data/b.parquet is not in data/a.parquet"):
        load_history(tmp_path, project())
    write(tmp_path, table.iloc[50:].assign(rain="wet"), "b.parquet")
    with pytest.raises(DataError, match=r"column 'rain' is string in data/b.parquet and double in data/a.parquet"):
        load_history(tmp_path, project())
