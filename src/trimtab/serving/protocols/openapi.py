"""``/openapi.json``: the served model's own description, with its real input names, types and examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from trimtab.serving.package import ClassValue, Example, Signature
from trimtab.serving.protocols.oip import INPUT_DATATYPES, datatype_of
from trimtab.serving.protocols.openapi_schemas import Schema, components, one_tensor, reference

VERSION = "3.1.0"

INFER = "Open Inference Protocol"
MLFLOW = "MLflow, SageMaker, Vertex"
LABELS = "Labels"
OPERATION = "Operation"

ENDPOINTS = (
    "infer", "invocations", "vertex", "labels", "server", "live", "ready", "models", "model", "model-ready", "ping",
    "version", "metrics", "status",
)  # fmt: skip
ERRORS = {
    400: "The request is wrong: the field and what was found are named.",
    401: "A bearer token is needed, or the one sent is not known.",
    403: "The token is known, but not for this.",
    404: "There is no such model or version.",
    405: "The path takes other methods; Allow names them.",
    408: "The request did not arrive in time.",
    413: "The body or the number of rows exceeds a limit.",
    415: "The content type or encoding is not understood.",
    431: "The headers exceed a limit.",
    500: "The model failed, or the server has a defect.",
    503: "Overloaded, not ready, or a queue is full; come back after Retry-After.",
}


@dataclass(frozen=True, slots=True)
class Described:
    """What the description is made of."""

    signature: Signature
    versions: Sequence[int]
    classes: tuple[ClassValue, ...] | None
    example: Example | None
    server_version: str
    rows_max: int
    secured: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Endpoint to the kinds of token of which it needs one."""
    routes: Mapping[str, str] = field(default_factory=dict)
    """Paths of the environment's own, to endpoints."""


def document(about: Described) -> dict[str, Any]:
    """The OpenAPI document."""
    described: dict[str, Any] = {
        "openapi": VERSION,
        "info": {
            "title": f"{about.signature.model}, served by Trimtab",
            "version": about.server_version,
            "description": _introduction(about),
        },
        "tags": [{"name": name} for name in (INFER, MLFLOW, LABELS, OPERATION)],
        "paths": _paths(about),
        "components": {"schemas": components(about.signature, about.classes)},
    }
    if about.secured:
        described["components"]["securitySchemes"] = {
            kind: {"type": "http", "scheme": "bearer", "description": f"A token for {kind}."}
            for kind in sorted({kind for kinds in about.secured.values() for kind in kinds})
        }
    return described


def _introduction(about: Described) -> str:
    signature = about.signature
    what = f"{signature.task}; target '{signature.target}'; versions {', '.join(map(str, about.versions))}"
    rows = f"At most {about.rows_max:,} rows or labels in a request."
    return f"{what}. {rows} Bodies may be compressed (Content-Encoding: gzip or deflate)."


def _paths(about: Described) -> dict[str, Any]:
    model = f"/v2/models/{quote(about.signature.model, safe='')}"
    version = {
        "name": "version",
        "in": "path",
        "required": True,
        "schema": {"enum": [str(number) for number in about.versions]},
        "example": str(about.versions[-1]),
    }
    one = f"{model}/versions/{{version}}"
    paths: dict[str, Any] = {
        f"{model}/infer": {"post": _infer(about, "By the version that the routes choose.")},
        f"{one}/infer": {
            "parameters": [version],
            "post": _infer(about, "By this version.", "-version", " with one version"),
        },
        model: {"get": _model(about, "model")},
        one: {"parameters": [version], "get": _model(about, "model-version", " of one version")},
        f"{model}/ready": {"get": _model_ready(about, "model-ready", "The model is ready")},
        f"{one}/ready": {
            "parameters": [version],
            "get": _model_ready(about, "model-version-ready", "One version is ready"),
        },
        "/invocations": {"post": _invocations(about, "invocations")},
        "/labels": {"post": _labels(about)},
    }
    for path, endpoint, name, tag, summary, schema in _PLAIN:
        paths[path] = {"get": _read(about, endpoint, name, tag, summary, schema)}
    for path, endpoint in about.routes.items():
        if endpoint == "ping":
            paths[path] = {"get": _read(about, endpoint, "vertex-health", MLFLOW, "Vertex: ready", None)}
        else:
            paths[path] = {"post": _invocations(about, "vertex-predict", "vertex")}
    return paths


_TEXT: Schema = {"type": "string"}
_ANY: Schema = {"type": "object"}
_READY: Schema = {"type": "object", "properties": {"ready": {"type": "boolean"}, "live": {"type": "boolean"}}}
_SERVER: Schema = {
    "type": "object",
    "properties": {
        "name": _TEXT,
        "version": _TEXT,
        "extensions": {"type": "array", "items": _TEXT},
        "refusal": {"type": "string", "description": "Why the newest routes are not served."},
    },
    "required": ["name", "version", "extensions"],
}
_MODELS: Schema = {"type": "object", "properties": {"models": {"type": "array", "items": _TEXT}}}
_PLAIN: tuple[tuple[str, str, str, str, str, Schema | None], ...] = (
    ("/v2", "server", "server", INFER, "The server", _SERVER),
    ("/v2/health/live", "live", "live", INFER, "The server is alive", _READY),
    ("/v2/health/ready", "ready", "ready", INFER, "The server is ready", _READY),
    ("/v2/models", "models", "models", INFER, "What is served", _MODELS),
    ("/ping", "ping", "ping", MLFLOW, "Ready (SageMaker)", None),
    ("/health", "ping", "health", MLFLOW, "Ready (MLflow)", None),
    ("/version", "version", "version", MLFLOW, "The server's version", _TEXT),
    ("/metrics", "metrics", "metrics", OPERATION, "Metrics (Prometheus)", _TEXT),
    ("/trimtab/status", "status", "status", OPERATION, "Status and counters", _ANY),
)


# --- operations -------------------------------------------------------------------------------------------------------


def _operation(
    about: Described, endpoint: str, name: str, tag: str, summary: str, answers: dict[str, Any], errors: Sequence[int]
) -> dict[str, Any]:
    error = reference("InvocationError" if endpoint == "invocations" else "Error")
    operation: dict[str, Any] = {"operationId": name, "tags": [tag], "summary": summary}
    plain = (405, 500, 503)
    for status in sorted({*errors, *plain, *((401, 403) if endpoint in about.secured else ())}):
        schema = reference("Error") if status in (401, 403) else error
        answers[str(status)] = {"description": ERRORS[status], "content": {"application/json": {"schema": schema}}}
        if status == 405:
            answers["405"]["headers"] = {"Allow": {"schema": {"type": "string"}}}
        elif status == 503:
            answers["503"]["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    operation["responses"] = answers
    if endpoint in about.secured:
        operation["security"] = [{kind: []} for kind in about.secured[endpoint]]
    return operation


def _ok(description: str, schema: Schema | None, media: str = "application/json", example: Any = None) -> Any:
    if schema is None:
        return {"description": description}
    content: dict[str, Any] = {"schema": schema}
    if example is not None:
        content["example"] = example
    return {"description": description, "content": {media: content}}


def _read(about: Described, endpoint: str, name: str, tag: str, summary: str, schema: Schema | None) -> dict[str, Any]:
    media = "text/plain" if schema is _TEXT else "application/json"
    return _operation(about, endpoint, name, tag, summary, {"200": _ok(summary, schema, media)}, ())


def _model(about: Described, name: str, suffix: str = "") -> dict[str, Any]:
    answers = {"200": _ok("Inputs and outputs", reference("ModelMetadata"))}
    return _operation(about, "model", name, INFER, f"Inputs and outputs{suffix}", answers, (404,))


def _model_ready(about: Described, name: str, summary: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"name": _TEXT, "ready": {"type": "boolean"}}}
    return _operation(about, "model-ready", name, INFER, summary, {"200": _ok("Ready", schema)}, (404,))


def _infer(about: Described, words: str, suffix: str = "", which: str = "") -> dict[str, Any]:
    answer = infer_answer(about)
    answers = {"200": _ok("Predictions", reference("InferResponse"), example=answer)}
    answers["200"]["content"]["application/octet-stream"] = {"schema": {}}
    operation = _operation(
        about, "infer", f"infer{suffix}", INFER, f"Predict{which}", answers, (400, 404, 408, 413, 415, 431)
    )
    operation["description"] = (
        f"{words} With the header Inference-Header-Content-Length, tensors may stand as bytes behind the JSON "
        "(the binary tensor data extension)."
    )
    content: dict[str, Any] = {"schema": reference("InferRequest")}
    examples = infer_examples(about)
    if examples:
        content["examples"] = examples
    operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    return operation


def _invocations(about: Described, name: str, endpoint: str = "invocations") -> dict[str, Any]:
    answers = {"200": _ok("Predictions", reference("InvocationResponse"), example=invocation_answer(about))}
    errors = (400, 408, 413, 415, 431)
    operation = _operation(about, endpoint, name, MLFLOW, "Predict any number of rows", answers, errors)
    operation["description"] = (
        "JSON, or a table: text/csv with a line of names, application/vnd.apache.parquet, "
        "application/vnd.apache.arrow.stream, application/vnd.apache.arrow.file."
    )
    content: dict[str, Any] = {"schema": reference("InvocationRequest")}
    examples = invocation_examples(about)
    if examples:
        content["examples"] = examples
    operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    return operation


def _labels(about: Described) -> dict[str, Any]:
    counts = {"accepted": 1, "repeated": 0, "conflicting": 0}
    answers = {"200": _ok("What became of them", reference("LabelResponse"), example=counts)}
    errors = (400, 408, 413, 415, 431)
    operation = _operation(about, "labels", "labels", LABELS, "Tell what became known", answers, errors)
    operation["description"] = (
        "By prediction id, before or after the prediction is logged. A repeat is counted and not kept; the first label "
        "of an id counts. In bulk also a table (application/vnd.apache.parquet, application/vnd.apache.arrow.stream) "
        "with the columns prediction_id, label and, if there is one, label_time."
    )
    label = about.classes[0] if about.classes else 1.5
    one = {"prediction_id": "01936f3c2a9b000001-5c0ffee123", "label": label}
    examples = {
        "one": {"summary": "One label", "value": one},
        "bulk": {"summary": "Many", "value": {"labels": [one, {**one, "label_time": "2026-11-23T10:00:00Z"}]}},
    }
    body = {"schema": reference("LabelRequest"), "examples": examples}
    operation["requestBody"] = {"required": True, "content": {"application/json": body}}
    return operation


# --- examples ---------------------------------------------------------------------------------------------------------


def infer_examples(about: Described) -> dict[str, Any]:
    """Bodies for ``infer`` from the package's example."""
    if about.example is None:
        return {}
    first = about.example.inputs[0]
    if not _serves(about.signature, first):
        return {}
    columns = [
        {"name": spec.name, "shape": [1], "datatype": INPUT_DATATYPES[spec.type], "data": [first[spec.name]]}
        for spec in sorted(about.signature.inputs, key=lambda spec: spec.nullable)
    ]
    examples = {"columns": {"summary": "An input for each column", "value": {"id": "1", "inputs": columns}}}
    if one_tensor(about.signature):
        values = [first[name] for name in about.signature.names]
        one = {"name": "features", "shape": [1, len(values)], "datatype": "FP64", "data": values}
        examples = {"tensor": {"summary": "One tensor", "value": {"id": "1", "inputs": [one]}}, **examples}
    return examples


def infer_answer(about: Described) -> Any:
    """What ``infer`` answers to its example."""
    if about.example is None:
        return None
    first = about.example.outputs[0]
    datatype = datatype_of(first.prediction)
    outputs: list[dict[str, Any]] = [
        {"name": "predict", "shape": [1], "datatype": datatype, "data": [first.prediction]}
    ]
    if first.scores is not None:
        scores = list(first.scores)
        outputs.append({"name": "scores", "shape": [1, len(scores)], "datatype": "FP64", "data": scores})
    return {
        "model_name": about.signature.model,
        "model_version": str(about.versions[0]),
        "id": "1",
        "parameters": {"prediction_ids": ["01936f3c2a9b000001-5c0ffee123"]},
        "outputs": outputs,
    }


def invocation_examples(about: Described) -> dict[str, Any]:
    """Bodies for ``/invocations`` from the package's example."""
    if about.example is None:
        return {}
    rows = [row for row in about.example.inputs[:2] if _serves(about.signature, row)]
    if not rows:
        return {}
    names = list(about.signature.names)
    data = [[row[name] for name in names] for row in rows]
    rows = [{name: row[name] for name in names} for row in rows]
    return {
        "records": {"summary": "Rows as objects", "value": {"dataframe_records": rows}},
        "split": {"summary": "Names once", "value": {"dataframe_split": {"columns": names, "data": data}}},
        "instances": {"summary": "TensorFlow Serving, Vertex", "value": {"instances": rows}},
    }


def invocation_answer(about: Described) -> Any:
    """What ``/invocations`` answers to its example."""
    if about.example is None:
        return None
    predictions = [output.prediction for output in about.example.outputs[:2]]
    ids = [f"01936f3c2a9b00000{i}-5c0ffee123" for i in range(len(predictions))]
    return {"predictions": predictions, "prediction_ids": ids, "model_version": str(about.versions[0])}


def _serves(signature: Signature, row: Mapping[str, Any]) -> bool:
    """Whether the row can be sent as it stands."""
    return all(spec.name in row and (spec.nullable or row[spec.name] is not None) for spec in signature.inputs)
