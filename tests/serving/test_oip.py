"""Open Inference Protocol v2 over a real socket."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.serving.servers import INFER, Server, eventually, row


def test_one_tensor_for_all_features(plain: Server) -> None:
    """The usual request: one row, all numbers in one tensor."""
    status, answer = plain.post(INFER, row(id="r-1"))
    assert status == 200
    assert answer["model_name"] == "plain"
    assert answer["model_version"] == "1"
    assert answer["id"] == "r-1"
    assert len(answer["parameters"]["prediction_ids"]) == 1
    predict, scores = answer["outputs"]
    assert predict["name"] == "predict"
    assert predict["datatype"] == "BOOL"
    assert predict["shape"] == [1]
    assert scores["shape"] == [1, 2]
    assert sum(scores["data"]) == pytest.approx(1.0)
    assert predict["data"] == [scores["data"][1] > 0.5]


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT64"])
def test_every_way_to_send_the_same_rows_gives_the_same_answer(plain: Server, datatype: str) -> None:
    """Clients send one tensor or a column each, flat or nested, in whatever number type they have."""
    flat = {"inputs": [{"name": "x", "shape": [2, 4], "datatype": datatype, "data": [1, 2, 3, 4, 5, 6, 7, 8]}]}
    nested = {"inputs": [{"name": "x", "shape": [2, 4], "datatype": datatype, "data": [[1, 2, 3, 4], [5, 6, 7, 8]]}]}
    columns = {
        "inputs": [
            {"name": name, "shape": shape, "datatype": datatype, "data": data}
            for name, shape, data in zip(
                "abcd", ([2], [2, 1], [2], [2, 1]), ([1, 5], [[2], [6]], [3, 7], [4, 8]), strict=True
            )
        ]
    }
    answers = [plain.post(INFER, body) for body in (flat, nested, columns)]
    assert [status for status, _ in answers] == [200, 200, 200]
    first = answers[0][1]["outputs"]
    assert first[0]["shape"] == [2]
    assert first[1]["shape"] == [2, 2]
    for _, answer in answers[1:]:
        assert answer["outputs"] == first


def test_single_row_and_batch_agree(plain: Server) -> None:
    """A row gives the same scores alone and among others."""
    alone = plain.post(INFER, row(0.5, -1.0, 2.0, 0.25))[1]["outputs"][1]["data"]
    two = {"inputs": [{"name": "x", "shape": [2, 4], "datatype": "FP64", "data": [0.5, -1.0, 2.0, 0.25, 0, 0, 0, 0]}]}
    assert plain.post(INFER, two)[1]["outputs"][1]["data"][:2] == pytest.approx(alone, abs=1e-12)


def test_outputs_can_be_chosen(plain: Server) -> None:
    """A client that needs the class alone asks for it."""
    status, answer = plain.post(INFER, row(outputs=[{"name": "predict"}]))
    assert status == 200
    assert [output["name"] for output in answer["outputs"]] == ["predict"]
    status, answer = plain.post(INFER, row(outputs=[{"name": "logits"}]))
    assert status == 400
    assert "logits" in answer["error"]
    assert "scores" in answer["error"]


def test_explicit_version_answers_if_loaded(plain: Server) -> None:
    """A debugging person asks one version directly."""
    assert plain.post("/v2/models/plain/versions/1/infer", row())[1]["model_version"] == "1"
    for version in ("7", "one", "-1", "²"):
        status, answer = plain.post(
            f"/v2/models/plain/versions/{version.encode().hex() if version == '²' else version}/infer", row()
        )
        assert status == 404
        assert "there are 1" in answer["error"]


def test_metadata(plain: Server, flights: Server) -> None:
    """A generic client looks before it sends."""
    assert plain.get("/v2")[1]["name"] == "trimtab"
    assert plain.get("/v2/health/live") == (200, {"live": True})
    assert plain.get("/v2/health/ready") == (200, {"live": True, "ready": True})
    assert plain.get("/v2/models/plain/ready") == (200, {"name": "plain", "ready": True})
    assert plain.get("/v2/models/plain/versions/1/ready")[0] == 200
    assert plain.get("/v2/models/plain/versions/9/ready")[0] == 404
    status, model = flights.get("/v2/models/flights")
    assert status == 200
    assert model["versions"] == ["1"]
    assert [(i["name"], i["datatype"], i["shape"]) for i in model["inputs"]] == [
        ("carrier", "BYTES", [-1]),
        ("distance", "FP64", [-1]),
    ]
    assert [o["name"] for o in model["outputs"]] == ["predict", "scores"]
    assert model["outputs"][1]["parameters"]["classes"] == ["late", "punctual"]


def flight(carrier: Any = "UA", distance: Any = 500.0, **parameters: Any) -> dict[str, Any]:
    inputs = [
        {"name": "carrier", "shape": [1], "datatype": "BYTES", "data": [carrier]},
        {"name": "distance", "shape": [1], "datatype": "FP64", "data": [distance]},
    ]
    return {"inputs": inputs, "parameters": parameters}


def test_texts_entity_and_event_time(flights: Server) -> None:
    """Entity and event time come as parameters, or as columns of rows."""
    status, answer = flights.post(
        "/v2/models/flights/infer", flight(entity="N1", event_time="2013-06-01T12:00:00Z", prediction_id="mine-1")
    )
    assert status == 200, answer
    assert answer["outputs"][0] == {"name": "predict", "shape": [1], "datatype": "BYTES", "data": ["late"]}
    assert answer["parameters"]["prediction_ids"] == ["mine-1"]
    columns = {
        "inputs": [
            {"name": "carrier", "shape": [2], "datatype": "BYTES", "data": ["DL", "UA"]},
            {"name": "distance", "shape": [2], "datatype": "INT32", "data": [100, 200]},
            {"name": "tailnum", "shape": [2], "datatype": "BYTES", "data": ["N2", "N3"]},
            {"name": "departed_at", "shape": [2], "datatype": "FP64", "data": [1370088000, 1370088060]},
        ]
    }
    status, answer = flights.post("/v2/models/flights/infer", columns)
    assert status == 200, answer
    ids = ["mine-1", *answer["parameters"]["prediction_ids"]]
    eventually(lambda: flights.status()["log"]["waiting"] == 0)
    log = {r["prediction_id"]: r for r in flights.predictions().to_pylist() if r["prediction_id"] in ids}
    assert [log[i]["entity"] for i in ids] == ["N1", "N2", "N3"]
    assert [log[i]["event_time"].timestamp() for i in ids] == [1370088000.0, 1370088000.0, 1370088060.0]
    assert [log[i]["x.carrier"] for i in ids] == ["UA", "DL", "UA"]
    assert [log[i]["y.prediction"] for i in ids] == ["late", "punctual", "late"]


def test_unknown_inputs_are_ignored_and_counted(plain: Server) -> None:
    """A client sends a column that a newer version will take."""
    before = plain.status()["counters"]["ignored_inputs"]
    body = row()
    body["inputs"] = [{"name": n, "shape": [1], "datatype": "FP64", "data": [1.0]} for n in ("a", "b", "c", "d", "new")]
    assert plain.post(INFER, body)[0] == 200
    assert plain.status()["counters"]["ignored_inputs"] == before + 1


BAD: list[tuple[Any, str]] = [
    ("", "not JSON"),
    ("{", "not JSON"),
    ("[]", "protocol"),
    ("{}", "inputs"),
    ('{"inputs": []}', "inputs is empty"),
    ('{"inputs": [{"name": "x", "shape": [1,4], "datatype": "FP64", "data": [1,2,3,NaN]}]}', "send null"),
    ('{"inputs": [{"name": "x", "shape": [1,4], "datatype": "FP64", "data": [1,2,3,1e999]}]}', "out of range"),
    ('{"inputs": [{"name": "x", "shape": [1,4], "datatype": "FP64", "data": [1,2,3]}]}', "needs 4 values"),
    ('{"inputs": [{"name": "x", "shape": [1,3], "datatype": "FP64", "data": [1,2,3]}]}', "[n, 4]"),
    ('{"inputs": [{"name": "x", "shape": [4], "datatype": "FP64", "data": [1,2,3,4]}]}', "[n, 4]"),
    ('{"inputs": [{"name": "x", "shape": [-1,4], "datatype": "FP64", "data": [1,2,3,4]}]}', "negative"),
    ('{"inputs": [{"name": "x", "shape": [0,4], "datatype": "FP64", "data": []}]}', "no rows"),
    ('{"inputs": [{"name": "x", "shape": [1,4], "datatype": "FP65", "data": [1,2,3,4]}]}', "FP65"),
    ('{"inputs": [{"name": "x", "shape": [1,4], "datatype": "FP64", "data": [1,2,3,"4"]}]}', "the text '4'"),
    ('{"inputs": [{"name": "x", "shape": [1,4], "datatype": "INT64", "data": [1,2,3,4.5]}]}', "the number 4.5"),
    ('{"inputs": [{"name": "x", "shape": [1,4], "datatype": "INT8", "data": [1,2,3,400]}]}', "does not fit INT8"),
    ('{"inputs": [{"name": "x", "shape": [1,4], "datatype": "BYTES", "data": ["1","2","3","4"]}]}', "takes float64"),
    ('{"inputs": [{"name": "x", "shape": [1,4], "datatype": "FP64", "data": [[1,2],3,4]}]}', "mixes"),
    ('{"inputs": [{"name": "x", "shape": [1,4], "datatype": "FP64"}]}', "data must be a list"),
    ('{"inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "data": [1]}]}', "'b' (float64) is missing"),
    ('{"inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "data": [1]},'
     ' {"name": "b", "shape": [2], "datatype": "FP64", "data": [1, 2]}]}', "2 rows"),
    ('{"id": 5, "inputs": [{"name": "x", "shape": [1,4], "datatype": "FP64", "data": [1,2,3,4]}]}', "$.id"),
    (json.dumps(row(parameters={"entity": {"no": 1}})), "entity"),
    (json.dumps(row(parameters={"event_time": "yesterday"})), "'yesterday' is no time"),
    (json.dumps(row(parameters={"event_time": 1370088000000})), "milliseconds"),
    (json.dumps(row(parameters={"event_time": [1, 2]})), "2 values for 1 rows"),
    (json.dumps(row(parameters={"prediction_id": ""})), "expected an id"),
    ("[" * 100_000, "protocol"),
    ('{"inputs": ' + "[" * 3000 + "]" * 3000 + "}", "protocol"),
    ('{"inputs": [{"name": "x", "shape": [1,4], "datatype": "FP64", "data": ' + "[" * 3000 + "]" * 3000 + "}]}", ""),
    (b'{"inputs": "\xff\xfe"}', "protocol"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "said"), BAD)
def test_bad_bodies_get_400_and_a_reason(plain: Server, body: str | bytes, said: str) -> None:
    """A client's mistake is the client's: 400, the field is named, nothing is logged as a failure of the model."""
    status, answer = plain.post(INFER, body)
    assert status == 400, answer
    assert said in answer["error"]


def test_wrong_content_type_model_and_method(plain: Server) -> None:
    """curl without a header, a misspelt model, GET instead of POST."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    status, _, body = plain.request("POST", INFER, json.dumps(row()), form)
    assert status == 415
    assert b"Content-Type: application/json" in body
    status, answer = plain.post("/v2/models/plane/infer", row())
    assert status == 404
    assert "there is 'plain'" in answer["error"]
    status, headers, _ = plain.request("GET", INFER)
    assert status == 405
    assert headers["allow"] == "POST"
    assert plain.request("DELETE", "/v2")[0] == 405
    assert plain.request("GET", "/nothing")[0] == 404
    assert plain.request("HEAD", "/v2/health/live")[::2] == (200, b"")
