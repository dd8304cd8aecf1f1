"""The binary tensor extension of the Open Inference Protocol: a JSON head, then the tensors' bytes (little-endian)."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from trimtab.serving.net.http import RequestError, Response
from trimtab.serving.package import Signature
from trimtab.serving.protocols import oip
from trimtab.serving.protocols.inputs import describe

if TYPE_CHECKING:
    from trimtab.serving.scoring.scorer import Scored

HEAD_LENGTH = b"inference-header-content-length"

DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
}


def decode(
    body: bytes, head_length: bytes, signature: Signature, rows_max: int, known: frozenset[str] = frozenset()
) -> oip.Call:
    """An infer request whose tensors may stand behind its JSON head.

    Raises:
        RequestError: the lengths do not fit, or what ``oip.decode`` raises.
    """
    if not head_length.isdigit() or int(head_length) > len(body):
        raise RequestError(
            400,
            f"Inference-Header-Content-Length is {head_length[:20].decode('latin-1')}, the body has {len(body)} bytes",
        )
    message = oip.parse_message(body[: int(head_length)])
    values, offset = [], int(head_length)
    for tensor in message.inputs:
        size = (tensor.parameters or {}).get("binary_data_size")
        if size is None:
            values.append(oip.tensor_values(tensor))
            continue
        where = f"input '{tensor.name}'"
        if not isinstance(size, int) or isinstance(size, bool) or size < 0 or offset + size > len(body):
            raise RequestError(
                400, f"{where}: binary_data_size is {describe(size)}, {len(body) - offset} bytes are left"
            )
        values.append(_values(tensor.shape, tensor.datatype, body[offset : offset + size], where))
        offset += size
    if offset != len(body):
        raise RequestError(400, f"{len(body) - offset} bytes stand behind the last tensor")
    return oip.tensors_call(message, values, signature, rows_max, known)


def _values(shape: list[int], datatype: str, data: bytes, where: str) -> Any:
    oip.check_tensor(shape, datatype, where)
    count = math.prod(shape)
    if datatype == "BYTES":
        texts = _texts(data, where)
        if len(texts) != count:
            raise RequestError(400, f"{where}: shape {shape} needs {count} values, the bytes hold {len(texts)}")
        return texts
    dtype = DTYPES[datatype]
    if len(data) != count * dtype.itemsize:
        raise RequestError(
            400, f"{where}: shape {shape} of {datatype} needs {count * dtype.itemsize} bytes, found {len(data)}"
        )
    return np.frombuffer(data, dtype=dtype)


def _texts(data: bytes, where: str) -> list[str]:
    """Each text stands behind its length in four bytes."""
    texts, at = [], 0
    while at < len(data):
        if at + 4 > len(data):
            raise RequestError(400, f"{where}: the bytes end within a length")
        (length,) = struct.unpack_from("<I", data, at)
        at += 4
        if at + length > len(data):
            raise RequestError(400, f"{where}: a text of {length} bytes is announced, {len(data) - at} are left")
        try:
            texts.append(data[at : at + length].decode())
        except UnicodeDecodeError:
            raise RequestError(400, f"{where}: text {len(texts)} is not UTF-8") from None
        at += length
    return texts


def binary_outputs(call: oip.Call, names: tuple[str, ...]) -> frozenset[str]:
    """The outputs that the client wants as bytes."""
    everything = _choice(call.parameters, "binary_data_output", "parameters")
    wanted = {name for name in names if everything}
    for output in call.outputs or ():
        choice = _choice(output.parameters, "binary_data", f"output '{output.name}': parameters")
        if choice is not None:
            (wanted.add if choice else wanted.discard)(output.name)
    return frozenset(wanted)


def _choice(parameters: dict[str, Any] | None, name: str, where: str) -> bool | None:
    choice = None if parameters is None else parameters.get(name)
    if choice is not None and not isinstance(choice, bool):
        raise RequestError(400, f"{where}.{name} must be true or false, found {describe(choice)}")
    return choice


def encode(scored: Scored, request_id: str | None, names: tuple[str, ...], binary: frozenset[str]) -> Response:
    """The answer with the outputs in ``binary`` behind its JSON head."""
    fields, behind = oip.answer_fields(scored, request_id), b""
    fields["outputs"] = oip.output_fields(scored, names)
    for output in fields["outputs"]:
        if output["name"] in binary:
            data = _bytes(output.pop("data"), output["datatype"])
            output["parameters"] = {"binary_data_size": len(data)}
            behind += data
    head = msgspec.json.encode(fields)
    headers = ((b"Inference-Header-Content-Length", b"%d" % len(head)),)
    return Response(head + behind, 200, b"application/octet-stream", headers)


def _bytes(values: list[Any], datatype: str) -> bytes:
    if datatype != "BYTES":
        return np.array(values, dtype=DTYPES[datatype]).tobytes()
    encoded = [value.encode("utf-8", "replace") for value in values]
    return b"".join(struct.pack("<I", len(text)) + text for text in encoded)
