"""Labels over the wire."""

from __future__ import annotations

from typing import Any

import pytest

from tests.serving.servers import INFER, Server, eventually, row


def labels_of(server: Server, identity: str) -> list[dict[str, Any]]:
    table = server.labels()
    return [r for r in table.to_pylist() if r["prediction_id"] == identity] if table.num_rows else []


def test_single_and_bulk_labels(plain: Server) -> None:
    """The outcome of one prediction arrives, then a nightly job posts many; a repeat is not logged again."""
    ids = [plain.post(INFER, row())[1]["parameters"]["prediction_ids"][0] for _ in range(3)]
    one = {"prediction_id": ids[0], "label": True, "label_time": "2013-06-01T14:00:00Z"}
    assert plain.post("/labels", one) == (200, {"accepted": 1, "repeated": 0, "conflicting": 0})
    assert plain.post("/labels", one) == (200, {"accepted": 0, "repeated": 1, "conflicting": 0})
    bulk = [{"prediction_id": i, "label": False} for i in ids]
    assert plain.post("/labels", {"labels": bulk}) == (200, {"accepted": 2, "repeated": 0, "conflicting": 1})
    eventually(lambda: len(labels_of(plain, ids[0])) == 2)
    first = labels_of(plain, ids[0])[0]
    assert first["label"] == "true"
    assert first["label_time"].timestamp() == 1370095200.0
    assert [r["label"] for r in labels_of(plain, ids[1])] == ["false"]


@pytest.mark.parametrize(("label", "text"), [(True, "true"), (1, "true"), (0.0, "false"), ("false", "false")])
def test_a_class_may_be_written_in_several_ways(plain: Server, label: Any, text: str) -> None:
    """Databases hand out 0 and 1 for false and true."""
    identity = f"p-{type(label).__name__}"
    assert plain.post("/labels", {"prediction_id": identity, "label": label})[0] == 200
    eventually(lambda: [r["label"] for r in labels_of(plain, identity)] == [text])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"prediction_id": "x", "label": "maybe"}, "the text 'maybe' is no class of the model; there are false, true"),
        ({"prediction_id": "x", "label": 2}, "the number 2 is no class"),
        ({"prediction_id": "x", "label": None}, "null is no class"),
        ({"prediction_id": "x"}, "label is missing"),
        ({"label": True}, "prediction_id"),
        ({"prediction_id": 7, "label": True}, "the number 7"),
        (
            {"labels": [{"prediction_id": "ok", "label": True}, {"prediction_id": "x", "label": "no"}]},
            "labels[1].label",
        ),
        ({"labels": {}}, "labels"),
        ({"labels": [], "label": True}, "not both"),
        ({"prediction_id": "x", "label": True, "label_time": "soon"}, "'soon' is no time"),
        ("{", "not JSON"),
    ],
)
def test_a_bad_label_is_named_and_nothing_is_kept(plain: Server, body: Any, said: str) -> None:
    """One wrong label in a bulk: the caller learns which, and may send all again."""
    before = plain.status()["counters"]["labels"]
    status, answer = plain.post("/labels", body)
    assert status == 400
    assert said in answer["error"]
    assert plain.status()["counters"]["labels"] == before


def test_classes_with_names(flights: Server) -> None:
    """Text classes are matched as text."""
    assert flights.post("/labels", {"prediction_id": "f", "label": "late"})[0] == 200
    assert flights.post("/labels", {"prediction_id": "f", "label": True})[0] == 400
