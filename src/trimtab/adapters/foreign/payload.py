"""Bodies of requests and responses as rows, in the forms that servers log.

Requests: KServe/TensorFlow V1 ``{"instances": …}``, Open Inference Protocol V2 ``{"inputs": [tensors]}``, Seldon's own
``{"data": {"names", "ndarray" | "tensor"}}``, MLflow's ``dataframe_split``, ``dataframe_records``, plain lists, CSV.
Responses: ``{"predictions": …}``, ``{"outputs": [tensors]}``, Seldon's ``data``, lists, CSV.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.core.domain.errors import DataError


def decode(body: Any, media: str) -> Any:
    """A body as JSON or rows of CSV; what is decoded already stays.

    Raises:
        DataError: it is neither.
    """
    if not isinstance(body, str | bytes):
        return body
    text = body.decode("utf-8", "strict") if isinstance(body, bytes) else body
    if "csv" in media.lower():
        return _csv(text)
    try:
        return json.loads(text)
    except ValueError:
        if "json" in media.lower() or text.lstrip()[:1] in ("{", "["):
            raise DataError(f"the body is no JSON: {text[:60]!r}") from None
        return _csv(text)


def _csv(text: str) -> list[list[Any]]:
    rows = [row for row in csv.reader(io.StringIO(text.strip("\n"))) if row]
    return [[_plain(cell) for cell in row] for row in rows]


def _plain(cell: str) -> Any:
    stripped = cell.strip()
    if not stripped:
        return None
    try:
        return float(stripped)
    except ValueError:
        return stripped


def request_rows(body: Any, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The inputs of each row, by name.

    Args:
        body: decoded.
        columns: names of unnamed columns, in order; empty: ``f0``, ``f1``, …

    Raises:
        DataError: a form that is not known, or rows of another width than the columns that were named.
    """
    if isinstance(body, Mapping):
        if "instances" in body:
            return _rows(body["instances"], columns)
        if "inputs" in body:
            inputs = body["inputs"]
            if isinstance(inputs, list) and inputs and isinstance(inputs[0], Mapping) and "data" in inputs[0]:
                return _tensor_rows(inputs, columns)
            return _rows(inputs, columns)
        return _framed(body, columns)
    if isinstance(body, list):
        return _rows(body, columns)
    raise DataError(f"a request is an object, a list or CSV, found {str(body)[:60]!r}")


def _framed(body: Mapping[str, Any], columns: Sequence[str]) -> list[dict[str, Any]]:
    """MLflow's and Seldon's objects, or one row by name."""
    split = body.get("dataframe_split") or (body if "columns" in body and "data" in body else None)
    if isinstance(split, Mapping):
        return _rows(split["data"], tuple(str(name) for name in split["columns"]))
    if isinstance(body.get("dataframe_records"), list):
        return _rows(body["dataframe_records"], columns)
    if isinstance(body.get("data"), Mapping):
        names, rows = _seldon(body["data"])
        return _rows(rows, names or columns)
    if body and not any(isinstance(value, Mapping | list) for value in body.values()):
        return [dict(body)]
    keys = ", ".join(list(map(str, body))[:6])
    known = "instances, inputs, data, dataframe_split, dataframe_records"
    raise DataError(f"a request with the keys {keys} is of no known form ({known})")


def response_rows(body: Any) -> list[Any]:
    """The answer to each row: a number, a text, a list of scores, or a mapping of class to score.

    Raises:
        DataError: a form that is not known.
    """
    if isinstance(body, Mapping):
        if "predictions" in body:
            return _listed(body["predictions"])
        if "outputs" in body:
            outputs = body["outputs"]
            if isinstance(outputs, list) and outputs and isinstance(outputs[0], Mapping):
                return _output_rows(outputs)
            return _listed(outputs)
        if isinstance(body.get("data"), Mapping):
            return _listed(_seldon(body["data"])[1])
        keys = ", ".join(list(map(str, body))[:6])
        raise DataError(f"a response with the keys {keys} is of no known form (predictions, outputs, data)")
    return _listed(body)


def _listed(rows: Any) -> list[Any]:
    """One answer for each row; a row of one number is that number."""
    listed = rows if isinstance(rows, list) else [rows]
    return [row[0] if isinstance(row, list) and len(row) == 1 else row for row in listed]


def _rows(rows: Any, columns: Sequence[str]) -> list[dict[str, Any]]:
    listed = rows if isinstance(rows, list) else [rows]
    if listed and not isinstance(listed[0], list | Mapping):
        listed = [listed]  # one row, given flat
    out = []
    for row in listed:
        if isinstance(row, Mapping):
            out.append({str(name): value for name, value in row.items()})
            continue
        if not isinstance(row, list):
            raise DataError(f"a row is a list or an object, found {str(row)[:60]!r}")
        names = columns or tuple(f"f{at}" for at in range(len(row)))
        if len(names) != len(row):
            raise DataError(
                f"a row has {len(row)} values, but {len(names)} columns are named ({', '.join(names[:6])} …)"
            )
        out.append(dict(zip(names, row, strict=True)))
    return out


def _tensor_rows(tensors: list[Any], columns: Sequence[str]) -> list[dict[str, Any]]:
    """V2: one tensor for each input (its name is the column's), or one matrix of all."""
    table: dict[str, list[Any]] = {}
    for tensor in tensors:
        name, shape, values = _tensor(tensor)
        width = shape[1] if len(shape) > 1 else 1
        if len(shape) > 2:
            raise DataError(f"tensor '{name}' has the shape {list(shape)}; a table has rows and columns")
        if width == 1:
            table[name] = values
            continue
        if not columns:
            names = [f"{name}{at}" for at in range(width)]
        elif len(columns) == width:
            names = list(columns)
        else:
            raise DataError(f"tensor '{name}' has {width} columns, but {len(columns)} are named")
        for at, each in enumerate(names):
            table[each] = values[at::width]
    rows = {len(values) for values in table.values()}
    if len(rows) != 1:
        raise DataError(f"the tensors have different numbers of rows: {sorted(rows)}")
    return [{name: values[at] for name, values in table.items()} for at in range(rows.pop())]


def _output_rows(tensors: list[Any]) -> list[Any]:
    """V2: the tensor of scores where there is one, else the first."""
    found = [_tensor(tensor) for tensor in tensors]
    matrix = next((each for each in found if len(each[1]) == 2 and each[1][1] > 1), None)
    name, shape, values = matrix or found[0]
    if len(shape) > 2:
        raise DataError(f"output '{name}' has the shape {list(shape)}; expected one answer or one list of scores a row")
    width = shape[1] if len(shape) > 1 else 1
    return values if width == 1 else [values[at : at + width] for at in range(0, len(values), width)]


def _tensor(tensor: Any) -> tuple[str, tuple[int, ...], list[Any]]:
    try:
        name, shape, values = (
            str(tensor["name"]),
            tuple(int(size) for size in tensor["shape"]),
            list(_flat(tensor["data"])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"a tensor has name, shape and data: {type(error).__name__}: {error}") from None
    size = 1
    for each in shape:
        size *= each
    if size != len(values):
        raise DataError(f"tensor '{name}' has the shape {list(shape)}, but {len(values)} values")
    return name, shape, values


def _flat(values: Any) -> list[Any]:
    if not isinstance(values, list):
        return [values]
    out: list[Any] = []
    for each in values:
        out.extend(_flat(each) if isinstance(each, list) else [each])
    return out


def _seldon(data: Mapping[str, Any]) -> tuple[tuple[str, ...], list[Any]]:
    names = tuple(str(name) for name in data.get("names") or ())
    if isinstance(data.get("ndarray"), list):
        return names, data["ndarray"]
    tensor = data.get("tensor")
    if isinstance(tensor, Mapping):
        shape, values = list(tensor.get("shape") or ()), list(tensor.get("values") or ())
        width = int(shape[-1]) if len(shape) > 1 else 1
        return names, [values[at : at + width] for at in range(0, len(values), width)]
    raise DataError("'data' holds neither 'ndarray' nor 'tensor'")
