"""MLflow's scoring protocol over a real socket."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LinearRegression

from tests.serving.servers import Server, eventually, start
from trimtab.training.compile import build_package

ROWS = [{"carrier": "UA", "distance": 500.0}, {"carrier": "DL", "distance": 700}]
FORMS: list[dict[str, Any]] = [
    {"dataframe_records": ROWS},
    {"dataframe_split": {"columns": ["carrier", "distance"], "index": [0, 1], "data": [["UA", 500], ["DL", 700]]}},
    {"instances": ROWS},
    {"instances": [["UA", 500], ["DL", 700]]},
    {"inputs": {"carrier": ["UA", "DL"], "distance": [500, 700]}},
    {"inputs": {"carrier": [["UA"], ["DL"]], "distance": [[500], [700]]}},
    {"inputs": [["UA", 500], ["DL", 700]]},
]


def invoke(server: Server, body: bytes | str, media: str, **headers: str) -> tuple[int, Any]:
    status, _, answer = server.request("POST", "/invocations", body, {"Content-Type": media, **headers})
    return status, json.loads(answer)


@pytest.mark.parametrize("form", FORMS)
def test_every_json_form(flights: Server, form: dict[str, Any]) -> None:
    """Clients of `mlflow models serve` move over unchanged."""
    status, answer = invoke(flights, json.dumps(form), "application/json; charset=utf-8")
    assert status == 200, answer
    assert answer["predictions"] == ["late", "punctual"]
    assert len(set(answer["prediction_ids"])) == 2


def test_csv_parquet_arrow_and_gzip(flights: Server) -> None:
    """Batch jobs send files."""
    table = pa.table({"carrier": ["UA", "DL"], "distance": [500.0, 700.0], "tailnum": ["N7", None]})
    parquet, arrow = io.BytesIO(), io.BytesIO()
    pq.write_table(table, parquet)
    with pa.ipc.new_stream(arrow, table.schema) as writer:
        writer.write_table(table)
    bodies = {
        "text/csv": b"carrier,distance,tailnum\nUA,500,N7\nDL,700,\n",
        "application/vnd.apache.parquet": parquet.getvalue(),
        "application/vnd.apache.arrow.stream": arrow.getvalue(),
    }
    for media, body in bodies.items():
        status, answer = invoke(flights, body, media)
        assert status == 200, answer
        assert answer["predictions"] == ["late", "punctual"]
        status, answer = invoke(flights, gzip.compress(body), media, **{"Content-Encoding": "gzip"})
        assert status == 200, answer
    identity = answer["prediction_ids"][0]
    eventually(lambda: identity in flights.predictions().column("prediction_id").to_pylist())
    logged = next(r for r in flights.predictions().to_pylist() if r["prediction_id"] == identity)
    assert logged["entity"] == "N7"


@pytest.mark.parametrize(
    ("body", "media", "status", "said"),
    [
        ("{}", "application/json", 400, "exactly one of"),
        ('{"instances": [], "inputs": []}', "application/json", 400, "instances and inputs"),
        ('{"instances": []}', "application/json", 400, "no rows"),
        ('{"instances": [[1]]}', "application/json", 400, "instances[0]"),
        ('{"instances": [[1, 2]]}', "application/json", 400, "'carrier' takes text, found the number 1"),
        ('{"dataframe_split": {"columns": ["a"]}}', "application/json", 400, "'data'"),
        ('{"dataframe_split": {"columns": ["a", "a"], "data": []}}', "application/json", 400, "twice"),
        ('{"dataframe_records": [1]}', "application/json", 400, "dataframe_records[0]"),
        ('{"inputs": {"carrier": ["UA"], "distance": [1, 2]}}', "application/json", 400, "inputs.distance has 2"),
        ('{"dataframe_records": [{"carrier": "UA", "distance": "far"}]}', "application/json", 400, "the text 'far'"),
        ('{"dataframe_records": [{}]}', "application/json", 400, "no column of the model is given (nothing)"),
        ("carrier;distance\nUA;1\n", "text/csv", 400, "no column of the model is given (carrier;distance)"),
        ("not json", "application/json", 400, "not JSON"),
        ("carrier,distance\nUA,far\n", "text/csv", 400, "the text 'far'"),
        ("carrier,distance\nUA\n", "text/csv", 400, "CSV row 0"),
        ("", "text/csv", 400, "CSV"),
        ("no parquet", "application/vnd.apache.parquet", 400, "parquet"),
        ("<x/>", "text/xml", 415, "text/xml"),
    ],
)
def test_bad_invocations(flights: Server, body: str, media: str, status: int, said: str) -> None:
    """What MLflow clients see when they are wrong."""
    code, answer = invoke(flights, body, media)
    assert code == status, answer
    assert said in answer["message"]
    assert answer["error_code"] == "BAD_REQUEST"


def test_bad_encodings(flights: Server) -> None:
    """A proxy mangles the compression; somebody sends a bomb."""
    bomb = gzip.compress(b" " * (17 << 20))
    for body, encoding, status in ((b"x", "gzip", 400), (b"x", "br", 415), (bomb, "gzip", 413)):
        assert invoke(flights, body, "application/json", **{"Content-Encoding": encoding})[0] == status


def test_probes(flights: Server) -> None:
    """SageMaker asks /ping, others /health."""
    assert flights.request("GET", "/ping")[::2] == (200, b"\n")
    assert flights.request("GET", "/health")[0] == 200
    assert flights.request("GET", "/version")[0] == 200


def test_metrics_are_prometheus_text(flights: Server) -> None:
    """A scrape: every line is a comment or a sample, counters have the names that dashboards use."""
    invoke(flights, json.dumps(FORMS[0]), "application/json")
    text = flights.request("GET", "/metrics")[2].decode()
    from prometheus_client.parser import text_string_to_metric_families

    families = {family.name: family for family in text_string_to_metric_families(text)}
    sample = families["trimtab_predictions"].samples[0]
    assert sample.labels == {"model": "flights", "version": "1", "arm": "champion"}
    assert sample.value >= 1
    assert families["model_infer_request_success"].samples[0].labels == {"model": "flights", "version": "1"}
    buckets = [s for s in families["trimtab_prediction_duration_seconds"].samples if s.name.endswith("_bucket")]
    assert [s.value for s in buckets] == sorted(s.value for s in buckets)
    assert buckets[-1].labels["le"] == "+Inf"


def test_an_answer_beyond_all_numbers_is_no_answer(tmp_path: Path) -> None:
    """A linear model is sent a number so large that its answer overflows: told as such, not answered with null."""
    features = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0] * 5})
    estimator = LinearRegression().fit(features, features["x"] * 3)
    build_package(
        tmp_path / "linear", estimator=estimator, task="regression", model="linear", target="y", time=None, entity=None,
        features=features, classes=None, positive=None, baseline=b"-", requirements="", hostile=True,
    )  # fmt: skip
    with start(tmp_path, {1: tmp_path / "linear"}) as server:
        tensor = {"name": "x", "shape": [1], "datatype": "FP64", "data": [1.7e308]}
        many = {"name": "x", "shape": [2], "datatype": "FP64", "data": [1.0, -1.7e308]}
        for body in ({"inputs": [tensor]}, {"inputs": [many]}):
            status, answer = server.post("/v2/models/linear/infer", body)
            assert status == 400
            assert "input 'x' holds a number too large for the model" in answer["error"]
        assert server.post("/invocations", {"instances": [[2.0]]})[1]["predictions"] == [pytest.approx(6.0)]
