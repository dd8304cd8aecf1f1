"""Labels in bulk as Parquet and Arrow: what a nightly job posts from a warehouse."""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.serving.servers import Server, eventually

PARQUET, STREAM = "application/vnd.apache.parquet", "application/vnd.apache.arrow.stream"
NOON = datetime(2013, 6, 1, 12, tzinfo=UTC)


def parquet(table: pa.Table | dict[str, Any]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(table) if isinstance(table, dict) else table, out)
    return out.getvalue()


def arrow(columns: dict[str, Any]) -> bytes:
    out, table = io.BytesIO(), pa.table(columns)
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


def send(server: Server, body: bytes, media: str = PARQUET) -> tuple[int, Any]:
    status, _, answer = server.request("POST", "/labels", body, {"Content-Type": media})
    return status, json.loads(answer)


def test_a_table_is_taken_once(plain: Server) -> None:
    """The job posts, fails, and posts again; further columns and a day as a time are fine."""
    table = {
        "prediction_id": ["t-1", "t-2", "t-3"],
        "label": [True, False, True],
        "label_time": [NOON, None, NOON],
        "amount": [1.0, 2.0, 3.0],
    }
    assert send(plain, parquet(table)) == (200, {"accepted": 3, "repeated": 0, "conflicting": 0})
    assert send(plain, parquet(table)) == (200, {"accepted": 0, "repeated": 3, "conflicting": 0})
    assert send(plain, arrow(table), STREAM) == (200, {"accepted": 0, "repeated": 3, "conflicting": 0})
    days = {"prediction_id": ["t-4"], "label": ["true"], "label_time": pa.array([date(2013, 6, 2)])}
    assert send(plain, parquet(days))[0] == 200
    eventually(lambda: len({"t-1", "t-2", "t-3", "t-4"} & set(plain.labels().column("prediction_id").to_pylist())) == 4)
    logged = {r["prediction_id"]: r for r in plain.labels().to_pylist()}
    assert logged["t-1"]["label_time"] == NOON
    assert logged["t-2"]["label_time"] == logged["t-2"]["time"]
    assert logged["t-4"]["label_time"] == datetime(2013, 6, 2, tzinfo=UTC)
    assert [logged[f"t-{i}"]["label"] for i in (1, 2, 3)] == ["true", "false", "true"]


def test_a_large_table_is_read_beside_the_event_loop(plain: Server) -> None:
    """Thirty thousand labels in a request; dictionaries, nanoseconds and whole numbers, as pandas writes them."""
    rows = 30_000
    table = pa.table(
        {
            "prediction_id": [f"bulk-{i:06d}" for i in range(rows)],
            "label": pa.array([i % 2 for i in range(rows)], pa.int8()),
            "label_time": pa.array([1_370_088_000_000_000_001] * rows, pa.timestamp("ns")),
        }
    )
    assert send(plain, parquet(table)) == (200, {"accepted": rows, "repeated": 0, "conflicting": 0})
    texts = {"prediction_id": ["bulk-d"], "label": pa.array(["false"]).dictionary_encode()}
    assert send(plain, parquet(texts))[1]["accepted"] == 1


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"prediction_id": ["a", "b"], "label": ["true", "maybe"]}, "label in row 1: the text 'maybe' is no class"),
        ({"prediction_id": ["a", None], "label": [True, True]}, "prediction_id in row 1: expected an id"),
        ({"prediction_id": [1], "label": [True]}, "prediction_id in row 0: expected an id"),
        ({"prediction_id": ["a"], "label": pa.array([None], pa.bool_())}, "null is no class"),
        ({"prediction_id": ["a"], "label": [float("nan")]}, "no class"),
        ({"prediction_id": ["a"]}, "no column 'label'; it needs prediction_id, label, has prediction_id"),
        ({"id": ["a"], "label": [True]}, "no column 'prediction_id'"),
        ({"prediction_id": ["a"], "label": [True], "label_time": ["soon"]}, "label_time in row 0: 'soon' is no time"),
        ({"prediction_id": ["a"], "label": [[True]]}, "a list is no class"),
        ({"prediction_id": ["a"], "label": [True], "label_time": [{"at": 1}]}, "label_time in row 0"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_kept(plain: Server, table: dict[str, Any], said: str) -> None:
    """One wrong row in the table: the job's owner learns which, and may send all again."""
    before = plain.status()["counters"]["labels"]
    for body, media in ((parquet(table), PARQUET), (arrow(table), STREAM)):
        status, answer = send(plain, body, media)
        assert status == 400
        assert said in answer["error"]
    assert plain.status()["counters"]["labels"] == before


def test_bodies_that_are_no_tables_or_too_much(plain: Server) -> None:
    """Cut off on the way, of another type, a few bytes that stand for millions of rows."""
    good = parquet({"prediction_id": ["a"], "label": [True]})
    for body in (b"", b"PAR1", good[:-9], good[:40] + b"\xff" * 40 + good[80:], b"{}"):
        status, answer = send(plain, body)
        assert status == 400, answer
        assert "parquet" in answer["error"]
    assert send(plain, b"<x/>", "text/xml")[0] == 415
    million = pa.table({"prediction_id": pa.array(["a"] * 1_000_000), "label": pa.array([True] * 1_000_000)})
    body = parquet(million)
    assert len(body) < 1 << 20
    assert send(plain, body)[0] == 413
    wide = pa.table({"prediction_id": pa.array(["x" * 1_000_000] * 1000), "label": pa.array([True] * 1000)})
    status, answer = send(plain, parquet(wide))
    assert status == 413
    assert "unpacks to more than" in answer["error"]
    double = pa.table([["a"], ["b"], [True]], names=["prediction_id", "prediction_id", "label"])
    assert "twice" in send(plain, parquet(double))[1]["error"]


@pytest.mark.parametrize("path", ["/labels", "/invocations"])
def test_damaged_tables_are_the_callers_mistake(plain: Server, path: str) -> None:
    """Bytes change on the way: lengths, offsets and types that lie are told apart from labels, and harm nobody."""
    columns = {
        "prediction_id": ["dam-1", None],
        "label": [True, False],
        "a": [1.0, 2.0],
        "b": [1, 2],
        "at": [NOON, NOON],
    }
    rng = np.random.default_rng(7)
    for body, media in ((parquet(columns), PARQUET), (arrow(columns), STREAM)):
        for _ in range(150):
            damaged = bytearray(body)
            for at in rng.integers(0, len(body), rng.integers(1, 6)):
                damaged[at] = rng.integers(0, 256)
            status, _, answer = plain.request("POST", path, bytes(damaged), {"Content-Type": media})
            assert status in (200, 400, 413), answer
            assert status == 200 or b"error" in answer
    assert plain.get("/v2/health/ready")[0] == 200
