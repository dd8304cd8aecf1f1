"""Whatever is sent, a codec gives rows or says what is wrong: nothing else may come out of it."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.serving.net.http import Request, RequestError, plain_body
from trimtab.serving.package import InputSpec, RuntimeSpec, Signature
from trimtab.serving.paths import find
from trimtab.serving.protocols import mlflow_scoring, oip, oip_binary
from trimtab.serving.protocols.inputs import Inputs, columns_of
from trimtab.serving.protocols.labels import decode_labels

SIGNATURE = Signature(
    model="m",
    task="classification",
    target="y",
    time="at",
    entity="who",
    inputs=(
        InputSpec("f", "float64"),
        InputSpec("i", "int64", nullable=False),
        InputSpec("b", "bool"),
        InputSpec("s", "string"),
        InputSpec("t", "datetime"),
    ),
    classes=(False, True),
    runtime=RuntimeSpec("native", ()),
)
NAMES = ["f", "i", "b", "s", "t", "at", "who", "x"]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
    st.sampled_from(["2013-06-01", "9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+14:00", "1e5"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
tensors = st.fixed_dictionaries(
    {
        "name": st.sampled_from(NAMES),
        "shape": st.lists(st.integers(-1, 6), max_size=3) | values,
        "datatype": st.sampled_from(sorted(oip.DATATYPES)) | st.text(max_size=4),
        "data": st.lists(scalars, max_size=6) | values,
    },
    optional={"parameters": st.dictionaries(st.sampled_from(["binary_data_size", "x"]), scalars)},
)
parameters = st.dictionaries(st.sampled_from(["entity", "event_time", "prediction_id", "prediction_ids"]), values)
records = st.lists(st.dictionaries(st.sampled_from(NAMES), scalars), max_size=3)
frames = st.dictionaries(st.sampled_from(NAMES), st.lists(scalars, max_size=3))
labels = st.dictionaries(st.sampled_from(["prediction_id", "label", "label_time"]), scalars)
requests = st.fixed_dictionaries(
    {"inputs": st.lists(tensors, max_size=4) | values},
    optional={"id": values, "parameters": parameters | values, "outputs": values},
)


def check(inputs: Inputs) -> None:
    """What a codec lets through has the signature's types and as many values as rows."""
    columns = columns_of(inputs, SIGNATURE)
    assert {len(column) for column in columns.values()} == {inputs.rows}
    for given_list in (inputs.entities, inputs.event_times, inputs.ids):
        assert given_list is None or len(given_list) == inputs.rows


@settings(max_examples=400)
@given(requests)
def test_infer(message: Any) -> None:
    """Clients in every language, with every mistake."""
    with contextlib.suppress(RequestError):
        call = oip.decode(json.dumps(message).encode(), SIGNATURE, 100)
        check(call.inputs)
        oip.wanted(call.outputs, SIGNATURE)
        oip_binary.binary_outputs(call, ("predict",))


@given(st.binary(max_size=60))
def test_infer_bytes(body: bytes) -> None:
    """Noise on the wire."""
    with contextlib.suppress(RequestError):
        oip.decode(body, SIGNATURE, 100)


@settings(max_examples=200)
@given(requests, st.binary(max_size=40), st.integers(-5, 5))
def test_infer_binary(message: Any, behind: bytes, off: int) -> None:
    """Lengths that lie."""
    head = json.dumps(message).encode()
    with contextlib.suppress(RequestError):
        check(oip_binary.decode(head + behind, b"%d" % (len(head) + off), SIGNATURE, 100).inputs)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from([*mlflow_scoring.FORMATS, "params"]), values | records | frames, max_size=2))
def test_invocations(message: Any) -> None:
    """The forms of MLflow, filled with anything."""
    with contextlib.suppress(RequestError):
        check(mlflow_scoring.decode_invocation("", json.dumps(message).encode(), SIGNATURE, 100))


@given(
    st.sampled_from(["text/csv", *mlflow_scoring.PARQUET, *mlflow_scoring.ARROW]),
    st.binary(max_size=60) | st.text(max_size=40).map(str.encode),
)
def test_invocation_files(media: str, body: bytes) -> None:
    """Files that are none."""
    with contextlib.suppress(RequestError):
        check(mlflow_scoring.decode_invocation(media, body, SIGNATURE, 100))


@settings(max_examples=200)
@given(values | st.fixed_dictionaries({"labels": st.lists(labels, max_size=3)}))
def test_labels(message: Any) -> None:
    """Labels of a classifier and of a regression."""
    for classes in ((False, True), ("a", "b"), (1, 2), None):
        with contextlib.suppress(RequestError):
            for label in decode_labels(msgspec.json.encode(message), classes, 0.0, 10):
                assert isinstance(label.label, float if classes is None else str)


@given(st.binary(max_size=40), st.sampled_from([b"gzip", b"deflate", b"br", b""]))
def test_encodings(body: bytes, encoding: bytes) -> None:
    """Bodies that are not compressed as they say."""
    request = Request()
    request.body, request.headers = body, {b"content-encoding": encoding}
    with contextlib.suppress(RequestError):
        assert isinstance(plain_body(request, 1000), bytes)


@given(st.binary(max_size=60))
def test_paths(path: bytes) -> None:
    """Scanners try paths."""
    request = Request()
    request.url = path
    target = find(request.path)
    assert target is None or target.endpoint
