"""From rows to arrow batches and files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.serving.servers import read_log
from trimtab.serving.package import InputSpec, RuntimeSpec, Signature
from trimtab.serving.process.metrics import ArmCounters
from trimtab.serving.record import columns
from trimtab.serving.record.records import BlockRecord, Layout, block_batches
from trimtab.serving.record.writer import LogWriter
from trimtab.serving.scoring.deployment import Slot

SIGNATURE = Signature(
    model="m",
    task="classification",
    target="y",
    inputs=(
        InputSpec("f", "float64"),
        InputSpec("i", "int64"),
        InputSpec("b", "bool"),
        InputSpec("s", "string"),
        InputSpec("t", "datetime"),
    ),
    classes=("no", "yes"),
    runtime=RuntimeSpec("native", ()),
)
NOON = 1370088000.0


class NoModel:
    """The log never calls the model."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.digest = ""

    def predict(self, _columns: Any) -> Any:
        raise AssertionError

    def predict_row(self, _values: Any) -> Any:
        raise AssertionError

    def predict_rows(self, _rows: Any) -> Any:
        raise AssertionError

    def predict_matrix(self, _matrix: Any) -> Any:
        raise AssertionError


def slot(signature: Signature = SIGNATURE, version: int = 3) -> Slot:
    return Slot(version, "champion", NoModel(signature), Layout(signature), ArmCounters())


def record(at: Slot, identity: str, values: Any, **more: Any) -> BlockRecord:
    time, error = more.get("time", NOON), more.get("error")
    return BlockRecord(
        slot=at,
        generation=12,
        shadow=more.get("shadow", False),
        error=error,
        ids=[identity],
        times=[time],
        event_times=[time - 5],
        entities=[more.get("entity")],
        latencies_ms=[1.5],
        inputs=values if values is None or isinstance(values, np.ndarray) else [values],
        prediction=None if error else [more.get("prediction", "yes")],
        scores=None if error else np.array([more.get("scores", (0.25, 0.75))]),
    )


def test_every_type_and_missing_values() -> None:
    """A row with everything, one with nothing, an error and a shadow row, in one flush."""
    at = slot()
    rows = [
        record(at, "a", [0.5, 3, True, "UA", NOON], entity="N1"),
        record(at, "b", [None, math.nan, None, None, None]),
        record(at, "c", [1.0, 2, False, "x", NOON], error="boom"),
        record(at, "d", None, shadow=True),
    ]
    table = pa.Table.from_batches([batch for _, batch in block_batches(rows)])
    got = {r["prediction_id"]: r for r in table.to_pylist()}
    assert (got["a"]["x.f"], got["a"]["x.i"], got["a"]["x.b"], got["a"]["x.s"]) == (0.5, 3, True, "UA")
    assert got["a"]["x.t"].timestamp() == NOON
    assert (got["a"]["entity"], got["b"]["entity"]) == ("N1", None)
    assert (got["a"]["y.prediction"], got["a"]["y.score.no"], got["a"]["y.score.yes"]) == ("yes", 0.25, 0.75)
    assert got["a"]["event_time"].timestamp() == NOON - 5
    assert {got["b"][f"x.{name}"] for name in "fibst"} == {None}
    failed = got["c"]
    assert (failed["error"], failed["y.prediction"], failed["y.score.no"], failed["x.f"]) == ("boom", None, None, 1)
    assert (got["d"]["shadow"], got["d"]["x.f"], got["d"]["y.prediction"]) == (True, None, "yes")
    assert table.schema.field("time").type == pa.timestamp("us", tz="UTC")
    assert table.schema.field("version").type == pa.int32()
    table.validate(full=True)


@given(st.lists(st.one_of(st.none(), st.text(st.characters(), max_size=5)), max_size=40))
def test_strings_round_trip(values: list[str | None]) -> None:
    """Whatever text a client sends; what UTF-8 cannot hold does not stop the log."""
    array = columns.strings(values)
    array.validate(full=True)
    assert array.to_pylist() == [None if v is None else v.encode("utf-8", "replace").decode() for v in values]


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False)), max_size=40))
def test_floats_round_trip(values: list[float | None]) -> None:
    """Missing numbers are null, everything else is as it was."""
    array = columns.floats(np.array([math.nan if v is None else v for v in values], dtype=np.float64))
    array.validate(full=True)
    assert array.to_pylist() == values


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 100])
def test_constant_columns(count: int) -> None:
    """Columns that say the same in every row."""
    for array, value in ((columns.same_text("é", count), "é"), (columns.same_text(None, count), None)):
        array.validate(full=True)
        assert array.to_pylist() == [value] * count
    for kind in (pa.float64(), pa.string(), pa.bool_(), columns.TIME, pa.int64()):
        columns.nulls(kind, count).validate(full=True)
        assert columns.nulls(kind, count).null_count == count


def test_blocks_and_rows_make_the_same_file(tmp_path: Path) -> None:
    """Batches and single rows of a version stand side by side; another version with other inputs gets its own file."""
    writer = LogWriter(tmp_path, "w", 0.05, 1000)
    writer.start()
    at = slot()
    writer.add(record(at, "a", [0.5, 3, True, "UA", NOON]))
    block = BlockRecord(
        slot=at,
        generation=12,
        shadow=False,
        error=None,
        ids=["b", "c"],
        times=[NOON, NOON],
        event_times=[NOON, NOON],
        entities=["N1", None],
        latencies_ms=[2.0, 2.0],
        inputs={
            "f": np.array([1.0, math.nan]),
            "i": np.array([1.0, 2.0]),
            "b": np.array([0.0, 1.0]),
            "s": np.array(["x", None], dtype=object),
            "t": np.array([NOON, NOON]),
        },
        prediction=np.array(["no", "yes"], dtype=object),
        scores=np.array([[0.9, 0.1], [0.2, 0.8]]),
    )
    writer.add(block)
    floats = Signature(
        model="m",
        task="classification",
        target="y",
        inputs=(InputSpec("f", "float64"), InputSpec("g", "float64")),
        classes=("no", "yes"),
        runtime=RuntimeSpec("native", ()),
    )
    other = slot(floats, 4)
    for identity, values in (("d", [1.0, 2.0]), ("e", [math.nan, 2.0])):
        writer.add(record(other, identity, np.array([values]), prediction="no", scores=(0.75, 0.25)))
    writer.close()
    got = {r["prediction_id"]: r for r in read_log(tmp_path / "predictions").to_pylist()}
    assert sorted(got) == ["a", "b", "c", "d", "e"]
    assert (got["c"]["x.f"], got["c"]["x.s"], got["c"]["y.score.yes"]) == (None, None, 0.8)
    assert (got["e"]["x.f"], got["e"]["x.g"], got["e"]["y.prediction"]) == (None, 2.0, "no")
    assert writer.written == 5
    assert len(list(tmp_path.rglob("*.parquet"))) == 2


def test_rows_stand_in_the_hour_in_which_they_arrived(tmp_path: Path) -> None:
    """A flush at the turn of the hour, and a day later."""
    writer = LogWriter(tmp_path, "w", 10.0, 1000)
    at = slot()
    for i, time in enumerate((NOON - 0.001, NOON, NOON + 86400)):
        writer.add(record(at, str(i), None, time=time))
    writer.start()
    writer.close()
    folders = sorted(str(path.parent.relative_to(tmp_path / "predictions")) for path in tmp_path.rglob("*.parquet"))
    assert folders == ["date=2013-06-01/hour=11", "date=2013-06-01/hour=12", "date=2013-06-02/hour=12"]


def test_a_full_queue_drops_and_counts(tmp_path: Path) -> None:
    """The disk hangs and requests keep coming: memory stays bounded."""
    writer = LogWriter(tmp_path, "w", 10.0, 10)
    at = slot()
    for i in range(25):
        writer.add(record(at, str(i), None))
    assert writer.health.dropped == 15
    writer.start()
    writer.close()
    assert writer.written == 10
