"""Logs that other servers wrote, in the shapes that their sources write."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trimtab.core.domain.errors import DataError, NotFoundError, UserError
from trimtab.wiring import import_foreign, whole_log

CLASSES = ("no", "yes")


def v2(rows: list[list[float]]) -> dict[str, Any]:
    flat = [value for row in rows for value in row]
    return {"inputs": [{"name": "x", "shape": [len(rows), 2], "datatype": "FP64", "data": flat}]}


def structured(identity: str, kind: str, data: Any, at: str = "2026-11-20T10:00:00.25Z", **more: Any) -> dict[str, Any]:
    """As KServe's agent sends it, in structured mode."""
    return {
        "specversion": "1.0",
        "id": identity,
        "source": "http://localhost:9081/",
        "type": f"org.kubeflow.serving.inference.{kind}",
        "time": at,
        "datacontenttype": "application/json",
        "inferenceservicename": "credit",
        "data": data,
        **more,
    }


def lines(path: Path, records: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(record) for record in records) + "\n")
    return path


def logged(into: Path) -> list[dict[str, Any]]:
    predictions, _ = whole_log(into)
    return predictions.sort_by("prediction_id").to_pylist()


def test_kserve_pairs_are_joined_by_id(tmp_path: Path) -> None:
    """A request of two rows, answered with scores; the response arrives first in the file."""
    events = lines(
        tmp_path / "events.jsonl",
        [
            structured("a1", "response", {"predictions": [[0.9, 0.1], [0.2, 0.8]]}),
            structured("a1", "request", {"instances": [[1.0, "red"], [2.0, None]]}),
            structured("a1", "feedback", {"truth": 1}),
        ],
    )
    done = import_foreign("kserve", [events], tmp_path / "logs", columns=("age", "colour"), classes=CLASSES)
    rows = logged(tmp_path / "logs")
    assert (done["rows"], done["ignored"], done["waiting"]) == (2, 1, 0)
    assert [row["prediction_id"] for row in rows] == ["a1-0", "a1-1"]
    assert [row["y.prediction"] for row in rows] == ["no", "yes"]
    assert [row["y.score.yes"] for row in rows] == [0.1, 0.8]
    assert [row["x.colour"] for row in rows] == ["red", None]
    assert rows[0]["time"].isoformat() == "2026-11-20T10:00:00.250000+00:00"


def test_a_run_that_is_repeated_writes_nothing_twice(tmp_path: Path) -> None:
    """Cron names the same folder every minute; on the third minute the state file was lost."""
    folder, into = tmp_path / "events", tmp_path / "logs"
    pair = [structured("a", "request", v2([[1, 2]])), structured("a", "response", {"predictions": [0.7]})]
    lines(folder / "1.jsonl", pair)
    assert import_foreign("kserve", [folder], into, classes=CLASSES)["rows"] == 1
    again = import_foreign("kserve", [folder], into, classes=CLASSES)
    assert (again["rows"], again["unchanged"]) == (0, 1)
    (into / "imported" / "state.json").unlink()
    lost = import_foreign("kserve", [folder], into, classes=CLASSES)
    assert (lost["rows"], lost["repeated"]) == (0, 1)
    assert len(logged(into)) == 1


def test_a_response_in_a_later_file_finds_its_request(tmp_path: Path) -> None:
    """The receiver rotated its file between request and response."""
    folder, into = tmp_path / "events", tmp_path / "logs"
    lines(folder / "1.jsonl", [structured("a", "request", v2([[1, 2]]))])
    first = import_foreign("kserve", [folder], into, classes=CLASSES)
    lines(folder / "2.jsonl", [structured("a", "response", {"predictions": ["yes"]})])
    second = import_foreign("kserve", [folder], into, classes=CLASSES)
    assert (first["rows"], first["waiting"], second["rows"], second["waiting"]) == (0, 1, 1, 0)
    assert logged(into)[0]["x.x1"] == 2.0


@pytest.mark.parametrize("suffix", ["json", "parquet"])
def test_what_kserve_stores_in_a_bucket(tmp_path: Path, suffix: str) -> None:
    """Its logger has a storage mode: base64 bodies, as a JSON array or Parquet; the time is an input."""
    asked = base64.b64encode(json.dumps({"instances": [{"age": 3, "at": "2026-11-20T10:00:00"}]}).encode()).decode()
    told = base64.b64encode(json.dumps({"predictions": [[0.4, 0.6]]}).encode()).decode()
    common = {"contentType": "application/json", "id": "k", "inferenceService": "credit", "sourceUri": "http://h/"}
    kind = "org.kubeflow.serving.inference"
    records = [
        {**common, "reqType": f"{kind}.request", "bytes": asked},
        {**common, "reqType": f"{kind}.response", "bytes": told},
    ]
    path = tmp_path / f"batch.{suffix}"
    if suffix == "json":
        path.write_text(json.dumps(records))
    else:
        pq.write_table(pa.Table.from_pylist(records), path)
    import_foreign("kserve", [path], tmp_path / "logs", classes=CLASSES, event_time="at")
    (row,) = logged(tmp_path / "logs")
    assert (row["x.age"], row["y.score.yes"], row["event_time"].hour) == (3.0, 0.6, 10)
    assert "x.at" not in row


def test_seldon_in_binary_mode(tmp_path: Path) -> None:
    """CloudEvents 0.3 by headers, as MLServer names them; request and response share the request id only."""
    body = {"data": {"names": ["age", "income"], "ndarray": [[40, 5.5]]}}
    answer = {"data": {"names": ["t:0", "t:1"], "ndarray": [[0.25, 0.75]]}}

    def dumped(identity: str, kind: str, data: Any) -> dict[str, Any]:
        return {
            "headers": {
                "Ce-Id": identity,
                "Ce-Specversion": "0.3",
                "Ce-Source": "io.seldon.serving.deployment.credit.default",
                "Ce-Type": f"io.seldon.serving.inference.{kind}",
                "Ce-Requestid": "r-1",
                "Ce-Inferenceservicename": "credit",
                "Ce-Time": "2026-11-20T10:00:00Z",
                "Content-Type": "application/json",
            },
            "body": json.dumps(data),
        }

    path = lines(tmp_path / "s.ndjson", [dumped("1", "request", body), dumped("2", "response", answer)])
    import_foreign("seldon", [path], tmp_path / "logs", classes=("0", "1"))
    (row,) = logged(tmp_path / "logs")
    assert (row["prediction_id"], row["x.age"], row["x.income"], row["y.prediction"]) == ("r-1", 40.0, 5.5, "1")


def captured(identity: str, data: str, answer: str, media: str = "text/csv", encoding: str = "CSV") -> dict[str, Any]:
    """A line of SageMaker's data capture."""
    return {
        "captureData": {
            "endpointInput": {"observedContentType": media, "mode": "INPUT", "data": data, "encoding": encoding},
            "endpointOutput": {
                "observedContentType": "text/csv; charset=utf-8",
                "mode": "OUTPUT",
                "data": answer,
                "encoding": "CSV",
            },
        },
        "eventMetadata": {"eventId": identity, "inferenceTime": "2026-11-20T10:00:00Z"},
        "eventVersion": "0",
    }


def test_sagemaker_data_capture(tmp_path: Path) -> None:
    """XGBoost's container: CSV in, a score out; a batch of two on one line; a base64 body."""
    based = base64.b64encode(b"7,,blue").decode()
    records = [
        captured("e1", "1,2.5,red", "0.01"),
        captured("e2", "3,4,red\n5,6,blue", "0.2,0.9"),
        captured("e3", based, "0.6", encoding="BASE64"),
    ]
    path = lines(tmp_path / "capture" / "10" / "x.jsonl", records)
    done = import_foreign("sagemaker", [path.parents[1]], tmp_path / "logs", columns=("a", "b", "c"), classes=CLASSES)
    rows = logged(tmp_path / "logs")
    assert done["rows"] == 4
    assert [row["y.score.yes"] for row in rows] == [0.01, 0.2, 0.9, 0.6]
    assert [row["x.b"] for row in rows] == [2.5, 4.0, 6.0, None]


def test_a_table_with_columns_of_its_own(tmp_path: Path) -> None:
    """An in-house log with labels in the same row, and more that came later."""
    table = pa.table(
        {
            "key": ["r1", "r2", "r3"],
            "at": ["2026-11-20 10:00", "2026-11-20 11:00", "2026-11-21 09:00"],
            "p": [0.2, 0.7, 0.9],
            "late": pa.array([0, None, None], pa.int64()),
            "age": [20, 30, 40],
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    (tmp_path / "labels.csv").write_text("key,late,known\nr2,1,2026-11-22\nr9,0,2026-11-22\nr1,1,2026-11-22\n")
    mapping = {
        **dict.fromkeys(("prediction", "label_time", "event_time")),
        "id": "key",
        "time": "at",
        "scores": ("p",),
        "label": "late",
        "ignore": (),
    }
    into = tmp_path / "logs"
    import_foreign("table", [tmp_path / "rows.parquet"], into, classes=("0", "1"), mapping=mapping)
    later = (tmp_path / "labels.csv", "key", "late", "known")
    for _ in range(2):
        done = import_foreign("table", [], into, classes=("0", "1"), labels=later)
    _, labels = whole_log(into)
    assert {row["prediction_id"]: row["label"] for row in labels.to_pylist()} == {"r1": "0", "r2": "1", "r9": "0"}
    assert (done["labels"], done["repeated_labels"]) == (0, 3)
    assert [row["x.age"] for row in logged(into)] == [20.0, 30.0, 40.0]


@pytest.mark.parametrize(
    ("format_", "record", "message"),
    [
        ("kserve", {"specversion": "1.0", "id": "a", "type": "x"}, r"e\.jsonl:2: the event has no 'source'"),
        ("kserve", structured("a", "request", {}, specversion="2.0"), r"e\.jsonl:2: specversion '2\.0'"),
        ("kserve", structured("a", "request", {"rows": {}}), r"e\.jsonl:2: a request with the keys rows"),
        ("kserve", structured("a", "request", v2([[1, 2]]) | {"x": 1}, at="yesterday"), "'yesterday' is not a time"),
        ("kserve", structured("a", "response", {"predictions": [[0.1, 0.2, 0.7]]}), "3 values, but 2 classes"),
        ("kserve", structured("a", "response", {"predictions": [0.1, 0.2]}), "1 rows were asked, but 2 answers"),
        ("kserve", structured("a", "response", {"predictions": ["maybe"]}), "'maybe' is not one of the classes"),
        ("sagemaker", {"captureData": {}}, r"e\.jsonl:2: 'eventMetadata' needs"),
        ("sagemaker", captured("e", "1,2", "0.5"), r"a row has 2 values, but 1 columns are named"),
        ("sagemaker", captured("e", "{", "0.5", media="application/json", encoding="JSON"), "the body is no JSON"),
    ],
)
def test_a_record_that_cannot_be_understood_is_named(
    tmp_path: Path, format_: Any, record: dict[str, Any], message: str
) -> None:
    """Somebody's exporter changed: file, line and what was found are told, and nothing of the file is written."""
    first = structured("a", "request", v2([[5, 6]])) if format_ == "kserve" else captured("e0", "5", "0.5")
    path = lines(tmp_path / "e.jsonl", [first, record])
    columns = ("only",) if format_ == "sagemaker" else ()
    with pytest.raises(DataError, match=message):
        import_foreign(format_, [path], tmp_path / "logs", columns=columns, classes=CLASSES)
    assert not (tmp_path / "logs" / "predictions").exists()


def test_classes_without_scores_have_an_accuracy(tmp_path: Path) -> None:
    """A rule engine answers yes or no."""
    from trimtab.offline.realized import performance_of
    from trimtab.offline.scored import scored_of_log

    rows = ["key,at,said,true\n"]
    rows += [
        f"{n},2026-11-20T{n % 24:02}:00,{'yes' if n % 2 else 'no'},{'yes' if n % 4 else 'no'}\n" for n in range(96)
    ]
    (tmp_path / "rows.csv").write_text("".join(rows))
    named = {"id": "key", "time": "at", "prediction": "said", "label": "true", "scores": (), "ignore": ()}
    mapping = {**named, "label_time": None, "event_time": None}
    import_foreign("table", [tmp_path / "rows.csv"], tmp_path / "logs", mapping=mapping)
    found = performance_of(scored_of_log(*whole_log(tmp_path / "logs")))
    assert found.classes == ("no", "yes")
    assert found.figures["accuracy"].value == 0.75


def test_a_line_that_was_cut_off_is_named(tmp_path: Path) -> None:
    """The receiver was killed while it wrote."""
    path = tmp_path / "e.jsonl"
    path.write_text(json.dumps(structured("a", "request", v2([[1, 2]]))) + '\n{"specversion": "1.0", "id"')
    with pytest.raises(DataError, match=r"e\.jsonl:2: no JSON"):
        import_foreign("kserve", [path], tmp_path / "logs", classes=CLASSES)
    with pytest.raises(NotFoundError, match="there is no file"):
        import_foreign("kserve", [tmp_path / "none"], tmp_path / "logs")
    with pytest.raises(UserError, match="is no log directory"):
        whole_log(tmp_path)
