"""Open Inference Protocol v2: bodies to rows, answers to bodies. No sockets, no models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.serving.net.http import RequestError
from trimtab.serving.package import ClassValue, Signature
from trimtab.serving.protocols.context import attach
from trimtab.serving.protocols.inputs import Inputs, describe

if TYPE_CHECKING:
    from trimtab.serving.scoring.scorer import Scored

FLOATS = {"FP16", "FP32", "FP64"}
INTS = {
    "INT8": (-(2**7), 2**7 - 1),
    "INT16": (-(2**15), 2**15 - 1),
    "INT32": (-(2**31), 2**31 - 1),
    "INT64": (-(2**63), 2**63 - 1),
    "UINT8": (0, 2**8 - 1),
    "UINT16": (0, 2**16 - 1),
    "UINT32": (0, 2**32 - 1),
    "UINT64": (0, 2**64 - 1),
}
DATATYPES = FLOATS | INTS.keys() | {"BOOL", "BYTES"}
OUTPUTS = ("predict", "scores")
INPUT_DATATYPES = {"float64": "FP64", "int64": "INT64", "bool": "BOOL", "string": "BYTES", "datetime": "BYTES"}


class RequestedOutput(msgspec.Struct):
    """A member of ``outputs``."""

    name: str
    parameters: dict[str, Any] | None = None


class Tensor(msgspec.Struct):
    """A member of ``inputs``."""

    name: str
    shape: list[int]
    datatype: str
    data: Any = None
    parameters: dict[str, Any] | None = None


class Infer(msgspec.Struct):
    """An infer request as it stands in the JSON."""

    inputs: list[Tensor]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[RequestedOutput] | None = None


_decoder = msgspec.json.Decoder(Infer)


@dataclass(slots=True)
class Call:
    """A decoded infer request."""

    inputs: Inputs
    id: str | None
    outputs: list[RequestedOutput] | None
    parameters: dict[str, Any] | None
    ignored: int = 0
    """Inputs that are no columns of the model."""


def decode(body: bytes, signature: Signature, rows_max: int, known: frozenset[str] = frozenset()) -> Call:
    """The body of an infer request.

    ``known``: names of columns that are kept beside those of the signature.

    Raises:
        RequestError: it is not JSON, not of the protocol, or a tensor does not fit; the field is named.
    """
    message = parse_message(body)
    return tensors_call(message, [tensor_values(tensor) for tensor in message.inputs], signature, rows_max, known)


def parse_json(body: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    """Decode; whatever is wrong is the client's to mend."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise RequestError(400, f"the body does not fit the protocol: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        hint = "; JSON has no NaN: send null for a missing value" if b"NaN" in body else ""
        raise RequestError(400, f"the body is not JSON: {error}{hint}") from None
    except RecursionError:
        raise RequestError(400, "the body is nested too deeply") from None


def parse_message(body: bytes) -> Infer:
    """The JSON of an infer request."""
    message: Infer = parse_json(body, _decoder)
    return message


def tensors_call(
    message: Infer, values: list[Any], signature: Signature, rows_max: int, others: frozenset[str] = frozenset()
) -> Call:
    """A call from a decoded message and the flat values of its tensors, wherever they stood."""
    if not message.inputs:
        raise RequestError(400, "inputs is empty; send one tensor of all features or one input per column")
    known = {*signature.names, signature.entity, signature.time, *others}
    inputs, ignored = Inputs(0), 0
    for tensor, flat in zip(message.inputs, values, strict=True):
        where = f"input '{tensor.name}'"
        rows = tensor.shape[0] if tensor.shape else 1
        if tensor.name in known:
            if math.prod(tensor.shape) != rows:
                raise RequestError(400, f"{where}: shape {tensor.shape} is not one column; send [n] or [n, 1]")
            if tensor.name in inputs.named:
                raise RequestError(400, f"{where} is given twice")
            inputs.named[tensor.name] = flat
        elif len(tensor.shape) == 2 and tensor.shape[1] == len(signature.inputs) and inputs.matrix is None:
            inputs.matrix, inputs.width = flat, tensor.shape[1]
        elif len(message.inputs) == 1:
            raise RequestError(
                400,
                f"{where} with shape {tensor.shape} is neither a column nor a tensor of shape "
                f"[n, {len(signature.inputs)}]; the model takes {', '.join(signature.names[:40])}",
            )
        else:
            ignored += 1
            continue
        _same_rows(inputs, rows, where, rows_max)
    if inputs.rows == 0:
        raise RequestError(
            400, "inputs hold no rows" if inputs.named or inputs.matrix is not None else _no_columns(signature)
        )
    attach(inputs, message.parameters, signature)
    return Call(inputs, message.id, message.outputs, message.parameters, ignored)


def _no_columns(signature: Signature) -> str:
    return f"none of the inputs is a column of the model; it takes {', '.join(signature.names[:40])}"


def _same_rows(inputs: Inputs, rows: int, where: str, rows_max: int) -> None:
    if rows > rows_max:
        raise RequestError(413, f"{where} has {rows} rows, the limit is {rows_max}; send several requests")
    if inputs.rows and rows != inputs.rows:
        raise RequestError(400, f"{where} has {rows} rows, the inputs before it {inputs.rows}")
    inputs.rows = rows


def tensor_values(tensor: Tensor) -> list[Any]:
    """The flat values of a tensor that stands in the JSON, checked against its shape and datatype."""
    where = f"input '{tensor.name}'"
    check_tensor(tensor.shape, tensor.datatype, where)
    if not isinstance(tensor.data, list):
        raise RequestError(400, f"{where}: data must be a list, found {describe(tensor.data)}")
    flat = tensor.data
    for _ in tensor.shape[1:]:
        if flat and isinstance(flat[0], list):
            flat = _flatten(flat, where)
    size = math.prod(tensor.shape)
    if len(flat) != size:
        raise RequestError(400, f"{where}: shape {tensor.shape} needs {size} values, data has {len(flat)}")
    _check_values(flat, tensor.datatype, where)
    return flat


def check_tensor(shape: Sequence[int], datatype: str, where: str) -> None:
    """Shape and datatype are ones that the protocol has."""
    if datatype not in DATATYPES:
        raise RequestError(400, f"{where}: datatype '{datatype[:40]}' is none of {', '.join(sorted(DATATYPES))}")
    if not shape or len(shape) > 8 or any(size < 0 for size in shape):
        raise RequestError(400, f"{where}: shape {shape[:20]} must have 1 to 8 sizes, none negative")


def _flatten(nested: list[Any], where: str) -> list[Any]:
    flat: list[Any] = []
    for row, values in enumerate(nested):
        if not isinstance(values, list):
            raise RequestError(400, f"{where}: data mixes lists and values, found {describe(values)} at {row}")
        flat += values
    return flat


def _check_values(flat: list[Any], datatype: str, where: str) -> None:
    kinds = set(map(type, flat)) - {type(None)}
    if datatype == "BYTES":
        allowed: set[type] = {str}
    elif datatype == "BOOL":
        allowed = {bool, int}
    else:
        allowed = {int, float}
    if kinds - allowed or (datatype in INTS and float in kinds):
        index = next((i for i, value in enumerate(flat) if not _fits(value, datatype, allowed)), None)
    else:
        index = None
    if index is not None:
        raise RequestError(400, f"{where} is {datatype}, found {describe(flat[index])} at {index}")
    if datatype in INTS and kinds:
        low, high = INTS[datatype]
        known = [value for value in flat if value is not None]
        if min(known) < low or max(known) > high:
            found = min(known) if min(known) < low else max(known)
            raise RequestError(400, f"{where}: {found} does not fit {datatype}")


def _fits(value: Any, datatype: str, allowed: set[type]) -> bool:
    """Whether JSON's value may stand in a tensor; 3.0 is a whole number, as in JSON Schema."""
    if value is None:
        return True
    return type(value) in allowed and (datatype not in INTS or type(value) is int or value.is_integer())


# --- answers ----------------------------------------------------------------------------------------------------------


def wanted(outputs: list[RequestedOutput] | None, signature: Signature) -> tuple[str, ...]:
    """Names of the outputs to send: those asked for, else all there are."""
    there = OUTPUTS if signature.classes is not None else OUTPUTS[:1]
    if not outputs:
        return there
    for output in outputs:
        if output.name not in there:
            raise RequestError(400, f"output '{output.name[:80]}' does not exist; there are {', '.join(there)}")
        if output.parameters and output.parameters.get("classification"):
            raise RequestError(400, f"output '{output.name}': there is no classification extension; ask for scores")
    return tuple(output.name for output in outputs)


@lru_cache(maxsize=4096)
def _frame(model: str, version: int, predict: ClassValue | None, kind: type, scores: int | None) -> bytes:  # noqa: ARG001  True and 1 are equal keys, their types not
    """All of a single row's answer but what differs from row to row, as a template."""
    name = msgspec.json.encode(model).replace(b"%", b"%%")
    datatype = "FP64" if predict is None else datatype_of(predict)
    value = b"%b" if predict is None else msgspec.json.encode(predict).replace(b"%", b"%%")
    tail = b"" if scores is None else b',{"name":"scores","shape":[1,%d],"datatype":"FP64","data":%%b}' % scores
    return (
        b'{"model_name":%b,"model_version":"%d"%%b,"parameters":{"prediction_ids":["%%b"]},'
        b'"outputs":[{"name":"predict","shape":[1],"datatype":"%b","data":[%b]}%b]}'
    ) % (name, version, datatype.encode(), value, tail)


def row_template(model: str, version: int, prediction: ClassValue | None, scores: int | None) -> tuple[bytes, ...]:
    """What stands before the request's id, before the prediction id, before the numbers and behind them in the answer
    for a single row that ``encode_row`` gives. The numbers are the scores, or a regression's value (no ``prediction``).
    """
    kind: type = prediction.__class__
    parts = _frame(model, version, prediction, kind, scores).split(b"%b")
    return tuple(part.replace(b"%%", b"%") for part in parts)


def encode_row(
    model: str,
    version: int,
    request_id: str | None,
    prediction_id: str,
    prediction: Any,
    scores: Sequence[float] | None,
) -> bytes:
    """The answer for a single row with all outputs, quickly."""
    identity = b"" if request_id is None else b',"id":%b' % msgspec.json.encode(request_id)
    shown = prediction_id.encode()
    kind = prediction.__class__
    if kind is float:
        value = msgspec.json.encode(prediction)
        if scores is None:
            return _frame(model, version, None, kind, None) % (identity, shown, value)
        return _frame(model, version, None, kind, len(scores)) % (identity, shown, value, msgspec.json.encode(scores))
    if scores is None:
        return _frame(model, version, prediction, kind, None) % (identity, shown)
    return _frame(model, version, prediction, kind, len(scores)) % (identity, shown, msgspec.json.encode(scores))


def answer_fields(scored: Scored, request_id: str | None) -> dict[str, Any]:
    """All of the answer but its outputs."""
    fields: dict[str, Any] = {"model_name": scored.deployment.name}
    versions = set(scored.versions)
    if len(versions) == 1:
        fields["model_version"] = str(scored.versions[0])
    if request_id is not None:
        fields["id"] = request_id
    fields["parameters"] = {"prediction_ids": scored.ids}
    if len(versions) > 1:
        fields["parameters"]["model_versions"] = [str(version) for version in scored.versions]
    return fields


def encode(scored: Scored, request_id: str | None, names: tuple[str, ...]) -> bytes:
    """The answer for any number of rows."""
    fields = answer_fields(scored, request_id)
    fields["outputs"] = output_fields(scored, names)
    return msgspec.json.encode(fields)


def output_fields(scored: Scored, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """The output tensors, their data as lists."""
    n, outputs = len(scored.ids), []
    for name in names:
        if name == "predict":
            datatype = datatype_of(scored.predictions[0]) if n else "FP64"
            outputs.append({"name": name, "shape": [n], "datatype": datatype, "data": scored.predictions})
        elif scored.scores is not None:
            flat = scored.scores.ravel().tolist()
            outputs.append({"name": name, "shape": list(scored.scores.shape), "datatype": "FP64", "data": flat})
    return outputs


def datatype_of(value: Any) -> str:
    """The protocol's name for a class or value."""
    if isinstance(value, bool):
        return "BOOL"
    if isinstance(value, int):
        return "INT64"
    return "BYTES" if isinstance(value, str) else "FP64"


def model_metadata(signature: Signature, versions: Sequence[int]) -> dict[str, Any]:
    """The body of ``/v2/models/{m}``."""
    outputs: list[dict[str, Any]] = []
    if signature.classes is None:
        outputs.append({"name": "predict", "datatype": "FP64", "shape": [-1]})
    else:
        first = signature.classes[0]
        outputs.append({"name": "predict", "datatype": datatype_of(first), "shape": [-1]})
        outputs.append(
            {
                "name": "scores",
                "datatype": "FP64",
                "shape": [-1, len(signature.classes)],
                "parameters": {"classes": list(signature.classes)},
            }
        )
    return {
        "name": signature.model,
        "versions": [str(version) for version in versions],
        "platform": f"trimtab_{signature.runtime.name}",
        "inputs": [
            {
                "name": spec.name,
                "datatype": INPUT_DATATYPES[spec.type],
                "shape": [-1],
                "parameters": {"nullable": spec.nullable},
            }
            for spec in signature.inputs
        ],
        "outputs": outputs,
        "parameters": {"entity": signature.entity, "event_time": signature.time, "task": signature.task},
    }
