"""MLflow's scoring protocol (``/invocations``): its bodies to rows, its answers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from trimtab.serving.net.http import RequestError
from trimtab.serving.package import InputSpec, Signature
from trimtab.serving.protocols.context import attach
from trimtab.serving.protocols.inputs import Inputs, describe
from trimtab.serving.protocols.oip import parse_json
from trimtab.serving.protocols.tables import ARROW, PARQUET, plain_values, read_table

if TYPE_CHECKING:
    from trimtab.serving.scoring.scorer import Scored

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")

_decoder = msgspec.json.Decoder(dict[str, Any])


def decode_invocation(media: str, body: bytes, signature: Signature, rows_max: int) -> Inputs:
    """The rows of a request by its content type (none: JSON).

    Raises:
        RequestError: the body is not of that type, or not a form that the protocol has.
    """
    parameters: dict[str, Any] | None = None
    if media in ("", "application/json"):
        inputs, parameters = _json(body, signature)
    elif media == "text/csv":
        inputs = _csv(body, signature)
    elif media in PARQUET or media in ARROW:
        inputs = _table(body, media, signature, rows_max)
    else:
        raise RequestError(
            415,
            f"content type '{media}' is not one of application/json, text/csv, {', '.join(sorted(PARQUET | ARROW))}",
        )
    if inputs.rows == 0:
        raise RequestError(400, "the body holds no rows")
    if inputs.rows > rows_max:
        raise RequestError(413, f"the body has {inputs.rows} rows, the limit is {rows_max}; send several requests")
    if inputs.matrix is None and signature.names and not set(signature.names) & set(inputs.named):
        raise _no_column("", inputs.named, signature)
    attach(inputs, parameters, signature)
    return inputs


def _no_column(where: str, given: Iterable[str], signature: Signature) -> RequestError:
    names = ", ".join(list(given)[:10]) or "nothing"
    return RequestError(
        400, f"{where}no column of the model is given ({names}); it takes {', '.join(signature.names[:40])}"
    )


def encode_predictions(scored: Scored, bare: bool = False) -> bytes:
    """``{"predictions": […]}``, with the prediction ids and the version beside them; ``bare``: without."""
    fields: dict[str, Any] = {"predictions": scored.predictions}
    if not bare:
        fields["prediction_ids"] = scored.ids
        versions = set(scored.versions)
        if len(versions) == 1:
            fields["model_version"] = str(scored.versions[0])
        else:
            fields["model_versions"] = [str(version) for version in scored.versions]
    return msgspec.json.encode(fields)


def _json(body: bytes, signature: Signature) -> tuple[Inputs, dict[str, Any] | None]:
    message = parse_json(body, _decoder)
    given = [name for name in FORMATS if name in message]
    if len(given) != 1:
        found = " and ".join(given) or f"none (keys: {', '.join(list(message)[:10]) or 'none'})"
        raise RequestError(400, f"the body must have exactly one of {', '.join(FORMATS)}; found {found}")
    word = "parameters" if "parameters" in message and "params" not in message else "params"  # Vertex: parameters
    parameters = message.get(word)
    if parameters is not None and not isinstance(parameters, dict):
        raise RequestError(400, f"{word} must be an object, found {describe(parameters)}")
    name, value = given[0], message[given[0]]
    if name == "dataframe_split":
        return _split(value), parameters
    if name == "dataframe_records":
        return _records(_list(value, name), name, signature), parameters
    if name == "inputs" and isinstance(value, dict):
        return _columns(value), parameters
    rows = _list(value, name)
    if rows and isinstance(rows[0], dict):
        return _records(rows, name, signature), parameters
    return _matrix(rows, name, signature), parameters


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise RequestError(400, f"{name} must be a list, found {describe(value)}")
    return value


def _split(value: Any) -> Inputs:
    if (
        not isinstance(value, dict)
        or not isinstance(value.get("columns"), list)
        or not isinstance(value.get("data"), list)
    ):
        raise RequestError(400, "dataframe_split must be an object with the lists 'columns' and 'data'")
    columns, data = value["columns"], value["data"]
    names = [name if isinstance(name, str) else str(name) for name in columns]
    if len(set(names)) != len(names):
        raise RequestError(400, "dataframe_split.columns names a column twice")
    for row, values in enumerate(data):
        if not isinstance(values, list) or len(values) != len(names):
            found = f"{len(values)} values" if isinstance(values, list) else describe(values)
            raise RequestError(400, f"dataframe_split.data[{row}] has {found}, there are {len(names)} columns")
    return Inputs(len(data), {name: [row[i] for row in data] for i, name in enumerate(names)})


def _records(records: list[Any], name: str, signature: Signature) -> Inputs:
    columns: dict[str, list[Any]] = {}
    names = set(signature.names)
    for row, record in enumerate(records):
        if not isinstance(record, dict):
            raise RequestError(400, f"{name}[{row}] must be an object, found {describe(record)}")
        if record.keys().isdisjoint(names):
            raise _no_column(f"{name}[{row}]: ", record, signature)
        for key, value in record.items():
            column = columns.get(key)
            if column is None:
                column = columns[key] = [None] * len(records)
            column[row] = value
    return Inputs(len(records), dict(columns))


def _columns(value: dict[str, Any]) -> Inputs:
    rows: int | None = None
    columns: dict[str, Any] = {}
    for name, values in value.items():
        column = values if isinstance(values, list) else [values]
        if column and all(isinstance(item, list) and len(item) == 1 for item in column):
            column = [item[0] for item in column]
        if rows is not None and len(column) != rows:
            raise RequestError(400, f"inputs.{name} has {len(column)} values, the columns before it {rows}")
        rows, columns[name] = len(column), column
    return Inputs(rows or 0, columns)


def _matrix(rows: list[Any], name: str, signature: Signature) -> Inputs:
    width = len(signature.inputs)
    if width == 1 and rows and not isinstance(rows[0], list):
        return Inputs(len(rows), matrix=rows, width=1)
    flat: list[Any] = []
    for row, values in enumerate(rows):
        if not isinstance(values, list) or len(values) != width:
            found = f"{len(values)} values" if isinstance(values, list) else describe(values)
            raise RequestError(
                400, f"{name}[{row}] must have {width} values ({', '.join(signature.names[:40])}), found {found}"
            )
        flat += values
    return Inputs(len(rows), matrix=flat, width=width)


def _csv(body: bytes, signature: Signature) -> Inputs:
    try:
        lines = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise RequestError(400, f"the body is not CSV in UTF-8: {error}") from None
    rows = [line for line in lines[1:] if line]
    if not rows:
        raise RequestError(400, "the CSV needs a line of column names and at least one row")
    names = lines[0]
    if len(set(names)) != len(names):
        raise RequestError(400, "the CSV names a column twice")
    for row, values in enumerate(rows):
        if len(values) != len(names):
            raise RequestError(400, f"CSV row {row} has {len(values)} values, there are {len(names)} columns")
    specs = {spec.name: spec for spec in signature.inputs}
    columns = {
        name: [_cell(row[i], specs.get(name), row_index) for row_index, row in enumerate(rows)]
        for i, name in enumerate(names)
    }
    return Inputs(len(rows), dict(columns))


def _cell(text: str, spec: InputSpec | None, row: int) -> str | float | bool | None:
    """A CSV cell by the type of its input; an empty one is missing."""
    if text == "":
        return None
    if spec is None or spec.type == "string":
        return text
    if spec.type == "bool" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return float(text)
    except ValueError:
        if spec.type == "datetime":
            return text
        raise RequestError(
            400, f"input '{spec.name}' takes {spec.type}, found the text '{text[:80]}' in row {row}"
        ) from None


def _table(body: bytes, media: str, signature: Signature, rows_max: int) -> Inputs:
    table = read_table(body, media, rows_max)
    names = set(signature.names)
    return Inputs(
        len(table), {name: _arrow_column(table.column(name), name, name in names) for name in table.column_names}
    )


def _arrow_column(column: Any, name: str, wanted: bool) -> Any:
    """Numbers as float64 where the model takes them; all else as plain values."""
    import pyarrow as pa

    kind = column.type
    if not wanted or not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
        return plain_values(column, name)
    try:
        return column.cast(pa.float64(), safe=False).to_numpy().astype(np.float64)
    except (pa.ArrowException, ValueError) as error:
        raise RequestError(400, f"column '{name}' ({kind}) cannot be read as numbers: {error}") from None
