"""The LogReader port: Parquet files and the fake keep the same promises."""

import datetime as dt
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trimtab.adapters.files import ParquetLogReader
from trimtab.logs import TIME
from trimtab.ports import LogReader
from trimtab.replay.fakes import MemoryLogReader

START = dt.datetime(2026, 11, 22, 5, tzinfo=dt.UTC)


def at(second: float) -> dt.datetime:
    return START + dt.timedelta(seconds=second)


def predictions(*ids: str, version: int = 1, **columns: list[Any]) -> pa.Table:
    """Rows as the data plane writes them, with inputs and outputs of a version."""
    count = len(ids)
    return pa.table(
        {
            "prediction_id": pa.array(ids, pa.string()),
            "time": pa.array([at(index) for index in range(count)], TIME),
            "version": pa.array([version] * count, pa.int32()),
            "shadow": pa.array([False] * count),
            **columns,
        }
    )


def labels(*rows: tuple[str, Any, float]) -> pa.Table:
    """(prediction id, label, second of arrival)."""
    return pa.table(
        {
            "prediction_id": pa.array([row[0] for row in rows], pa.string()),
            "label": [row[1] for row in rows],
            "label_time": pa.array([at(row[2]) for row in rows], TIME),
            "time": pa.array([at(row[2]) for row in rows], TIME),
        }
    )


class Log(Protocol):
    """A reader, and the data plane that writes what it reads."""

    reader: LogReader

    def add(self, name: str, table: pa.Table) -> None: ...


class Memory:
    def __init__(self) -> None:
        self.fake = MemoryLogReader()
        self.reader: LogReader = self.fake

    def add(self, name: str, table: pa.Table) -> None:
        kind, _, rest = name.partition("/")
        (self.fake.add_predictions if kind == "predictions" else self.fake.add_labels)(rest, table)


class Files:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reader: LogReader = ParquetLogReader(folder)

    def add(self, name: str, table: pa.Table) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)


@pytest.fixture(params=["memory", "files"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Log:
    return Memory() if request.param == "memory" else Files(tmp_path / "logs")


FIVE, SIX = "date=2026-11-22/hour=05", "date=2026-11-22/hour=06"


def test_an_empty_log_has_no_rows_but_its_columns(log: Log) -> None:
    """The first tick, before any request."""
    found = log.reader.read(frozenset())
    assert (found.predictions.num_rows, found.labels.num_rows, found.cursor) == (0, 0, frozenset())
    assert {"prediction_id", "time", "version", "arm", "shadow", "error"} <= set(found.predictions.column_names)
    assert {"prediction_id", "label", "label_time", "time"} <= set(found.labels.column_names)


def test_each_file_is_read_once(log: Log) -> None:
    """A tick, new traffic, the next tick."""
    log.add(f"predictions/{FIVE}/a-1.parquet", predictions("p1", "p2"))
    first = log.reader.read(frozenset())
    log.add(f"predictions/{FIVE}/a-2.parquet", predictions("p3"))
    log.add(f"labels/{FIVE}/a-1.parquet", labels(("p1", "true", 9)))
    second = log.reader.read(first.cursor)
    assert first.predictions.column("prediction_id").to_pylist() == ["p1", "p2"]
    assert second.predictions.column("prediction_id").to_pylist() == ["p3"]
    assert second.labels.column("label").to_pylist() == ["true"]
    assert log.reader.read(second.cursor).predictions.num_rows == 0


def test_the_cursor_survives_a_restart(log: Log) -> None:
    """The controller comes back with the cursor that its journal had."""
    log.add(f"predictions/{FIVE}/a-1.parquet", predictions("p1"))
    log.add(f"predictions/{SIX}/a-2.parquet", predictions("p2"))
    cursor = frozenset(str(name) for name in log.reader.read(frozenset(), limit=1).cursor)
    assert cursor == {f"predictions/{FIVE}/a-1.parquet"}
    assert log.reader.read(cursor).predictions.column("prediction_id").to_pylist() == ["p2"]


def test_a_backlog_is_read_oldest_partition_first(log: Log) -> None:
    """The controller was down for a day: predictions come with or before their labels, in bounded pieces."""
    log.add(f"labels/{FIVE}/a-2.parquet", labels(("p1", "true", 9)))
    log.add(f"predictions/{SIX}/a-3.parquet", predictions("p2"))
    log.add(f"predictions/{FIVE}/b-1.parquet", predictions("p1"))
    cursor: frozenset[str] = frozenset()
    seen = []
    for _ in range(3):
        found = log.reader.read(cursor, limit=1)
        seen += sorted(found.cursor - cursor)
        cursor = found.cursor
    assert seen == [
        f"predictions/{FIVE}/b-1.parquet",
        f"labels/{FIVE}/a-2.parquet",
        f"predictions/{SIX}/a-3.parquet",
    ]


def test_versions_with_different_inputs_become_one_table(log: Log) -> None:
    """During a canary the challenger takes another column and counts in whole numbers."""
    old = predictions("p1", version=1, **{"x.distance": [1.5], "x.carrier": ["AA"]})
    new = predictions("p2", version=2, **{"x.distance": [2], "x.wind": [3.5]})
    log.add(f"predictions/{FIVE}/a-1.parquet", old)
    log.add(f"predictions/{FIVE}/a-2.parquet", new)
    table = log.reader.read(frozenset()).predictions
    assert table.column("x.distance").to_pylist() == [1.5, 2.0]
    assert table.column("x.carrier").to_pylist() == ["AA", None]
    assert table.column("x.wind").to_pylist() == [None, 3.5]


def test_an_input_that_changed_its_type_becomes_text(log: Log) -> None:
    """A code was a number in one version and is a category in the next; an unchanged column keeps its type."""
    log.add(f"predictions/{FIVE}/a-1.parquet", predictions("p1", **{"x.code": [12], "x.distance": [1.5]}))
    log.add(f"predictions/{FIVE}/a-2.parquet", predictions("p2", **{"x.code": ["B7"], "x.distance": [2.5]}))
    categories = pa.array(["B8"]).dictionary_encode()
    log.add(f"predictions/{FIVE}/a-3.parquet", predictions("p3", **{"x.code": categories, "x.distance": [3.5]}))
    table = log.reader.read(frozenset()).predictions
    assert table.column("x.code").to_pylist() == ["12", "B7", "B8"]
    assert table.column("x.distance").to_pylist() == [1.5, 2.5, 3.5]


def test_the_first_label_to_arrive_counts(log: Log) -> None:
    """A label service repeats itself, and once says otherwise; another worker wrote the earlier one later."""
    log.add(f"labels/{FIVE}/a-1.parquet", labels(("p1", "true", 5), ("p2", "false", 6), ("p1", "true", 7)))
    log.add(f"labels/{FIVE}/b-1.parquet", labels(("p2", "true", 2), ("p3", "true", 8)))
    found = log.reader.read(frozenset())
    said = dict(zip(found.labels["prediction_id"].to_pylist(), found.labels["label"].to_pylist(), strict=True))
    assert said == {"p1": "true", "p2": "true", "p3": "true"}
    assert found.labels.num_rows == 3
    assert found.conflicting == 1
