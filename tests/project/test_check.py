"""Does the data have what the project file says?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.project.tables import events
from trimtab.core.domain.errors import ConfigError
from trimtab.project.check import check_data
from trimtab.project.load import load

LINES = """\
name: flights
task: {task}
data:
  files: a.parquet
  time: {time}
  target: {target}
{more}  ignore: [flight_id, number, legs, landed_at, scheduled_at, delay, refund, country]
"""


def check(folder: Path, table: pa.Table, **changes: Any) -> list[str]:
    values = {"task": "classification", "time": "departed_at", "target": "late", "more": ""} | changes
    file = folder / "trimtab.yaml"
    file.write_text(LINES.format(**values))
    try:
        check_data(load(file), table, "a.parquet", file)
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_data_that_fits_passes(tmp_path: Path) -> None:
    assert check(tmp_path, events(200)) == []
    assert check(tmp_path, events(200).slice(0, 0)) == []


def test_every_column_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    found = check(tmp_path, events(200), time="departed", more="  entity: tailnumber\n")
    assert [line.split(":")[1].split()[0] for line in found] == ["5", "7"]
    assert "column 'departed' is not in a.parquet (did you mean 'departed_at'?)" in found[0]
    assert "did you mean 'tailnum'?" in found[1]


def test_times_must_be_times(tmp_path: Path) -> None:
    (found,) = check(tmp_path, events(200), time="carrier", more="  entity: tailnum\n")
    assert "trimtab.yaml:5 data.time: column 'carrier' is text (e.g. " in found
    (found,) = check(tmp_path, events(200), more="  label_time: wind\n")
    assert "data.label_time: column 'wind' is a number" in found


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": "regression"}, "'late' is true or false (e.g. "),
        ({"task": "regression", "target": "carrier"}, "regression predicts a number"),
        ({"target": "distance"}, "different values in the first 200 rows (task: regression"),
        ({"more": "  positive: maybe\n"}, "'maybe' is not a class of 'late' (classes: false, true)"),
        ({"target": "carrier", "more": "  positive: AA\n"}, "has no effect with 3 classes"),
    ],
)
def test_the_target_must_suit_the_task(tmp_path: Path, changes: dict[str, str], words: str) -> None:
    (found,) = check(tmp_path, events(200), **changes)
    assert words in found


def test_a_feature_that_cannot_be_one_is_named(tmp_path: Path) -> None:
    table = events(200).append_column("tags", pa.array([["a"]] * 200))
    (found,) = check(tmp_path, table)
    assert "column 'tags' is of type list" in found
    assert "add it to data.ignore" in found


def test_missing_times_are_named(tmp_path: Path) -> None:
    table = events(200)
    holes = pc.if_else(pc.equal(table["number"], 3), pa.scalar(None, table["departed_at"].type), table["departed_at"])
    (found,) = check(tmp_path, table.set_column(2, "departed_at", holes))
    assert "missing in 1 of the first 200 rows" in found
