"""JSON schemas of what a served model takes and answers, from its signature.

The schemas of requests are exact for the forms that JSON Schema can express: what fits them is accepted, what does
not is refused. That a tensor's ``data`` has as many values as its ``shape`` says, it cannot; so the schema of an infer
request spells out one row, and its description says how more are sent.
"""

from __future__ import annotations

from typing import Any

from trimtab.serving.package import ClassValue, InputSpec, Signature, class_text
from trimtab.serving.protocols.context import ID_PATTERN, TEXT_MAX
from trimtab.serving.protocols.inputs import TIME_MAX, TIME_MIN
from trimtab.serving.protocols.oip import INPUT_DATATYPES, OUTPUTS, datatype_of

Schema = dict[str, Any]

INT64 = {"minimum": -(2**63), "maximum": 2**63 - 1}


def reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def components(signature: Signature, classes: tuple[ClassValue, ...] | None) -> dict[str, Schema]:
    """All named schemas. ``classes``: those of every version that is served."""
    return {
        "Error": _object({"error": {"type": "string"}}, ["error"], "What was wrong, what was found, and a hint."),
        "InvocationError": _object(
            {"error_code": {"type": "string"}, "message": {"type": "string"}}, ["error_code", "message"]
        ),
        "Parameters": _parameters(),
        "Requested": _requested(signature),
        "InferRequest": infer_request(signature),
        "InferResponse": _infer_response(signature),
        "Row": row(signature),
        "RowValues": _row_values(signature),
        "InvocationRequest": _invocation_request(signature),
        "InvocationResponse": _invocation_response(signature),
        "Label": _label(classes),
        "LabelRequest": _label_request(),
        "LabelResponse": _counts(("accepted", "repeated", "conflicting")),
        "ModelMetadata": _model_metadata(),
    }


def _object(properties: dict[str, Schema], required: list[str], description: str = "") -> Schema:
    schema: Schema = {"type": "object", "properties": properties, "required": required}
    return {**schema, "description": description} if description else schema


def _counts(names: tuple[str, ...]) -> Schema:
    return _object({name: {"type": "integer", "minimum": 0} for name in names}, list(names))


# --- values -----------------------------------------------------------------------------------------------------------


def _or_null(schema: Schema, nullable: bool) -> Schema:
    if not nullable:
        return schema
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return {**schema, "type": [*kinds, "null"]}


def time_value() -> Schema:
    """ISO 8601 or seconds since the epoch."""
    return {
        "anyOf": [
            {"type": "string", "format": "date-time"},
            {"type": "number", "minimum": TIME_MIN, "maximum": TIME_MAX},
        ],
        "description": "ISO 8601 (no zone: UTC), or seconds since the epoch",
    }


def column_value(spec: InputSpec) -> Schema:
    """A value of an input in a row of MLflow's protocol."""
    kinds: dict[str, Schema] = {
        "float64": {"type": ["number", "boolean"]},
        "int64": {"type": ["integer", "boolean"]},
        "bool": {"enum": [True, False, 0, 1]},
        "string": {"type": "string"},
        "datetime": time_value(),
    }
    return _or_null(kinds[spec.type], spec.nullable)


def _tensor_value(spec: InputSpec) -> Schema:
    kinds: dict[str, Schema] = {
        "float64": {"type": "number"},
        "int64": {"type": "integer", **INT64},
        "bool": {"enum": [True, False, 0, 1]},
        "string": {"type": "string"},
        "datetime": {"type": "string", "format": "date-time"},
    }
    return _or_null(kinds[spec.type], spec.nullable)


def _id() -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": TEXT_MAX, "pattern": ID_PATTERN}


def _ids() -> Schema:
    return {"anyOf": [_id(), {"type": "array", "items": _id(), "minItems": 1, "maxItems": 1}, {"type": "null"}]}


def _entity() -> Schema:
    return {
        "anyOf": [
            {"type": "string", "maxLength": TEXT_MAX},
            {"type": "integer", "minimum": -(2**63), "maximum": 2**64 - 1},
            {"type": ["boolean", "null"]},
        ]
    }


def _one_or_list(schema: Schema) -> Schema:
    return {"anyOf": [*schema["anyOf"], {"type": "array", "items": schema, "minItems": 1, "maxItems": 1}]}


# --- Open Inference Protocol ------------------------------------------------------------------------------------------


def _parameters() -> Schema:
    return {
        "type": ["object", "null"],
        "properties": {
            "entity": {
                **_one_or_list(_entity()),
                "description": "What routing sticks to; a list has one for each row.",
            },
            "event_time": {
                **_one_or_list(_or_null(time_value(), True)),
                "description": "When it happened; a list has one for each row. Default: when the request arrived.",
            },
            "prediction_id": {**_ids(), "description": "The id of a single row, if you have one of your own; unique."},
            "prediction_ids": {**_ids(), "description": "One id of your own for each row."},
            "binary_data_output": {
                "type": ["boolean", "null"],
                "description": "Send all outputs as bytes behind the JSON (the binary tensor data extension).",
            },
        },
        "not": {"required": ["prediction_id", "prediction_ids"]},
        "description": "Others are ignored.",
    }


def _requested(signature: Signature) -> Schema:
    names = OUTPUTS if signature.classes is not None else OUTPUTS[:1]
    binary = {"type": ["boolean", "null"], "description": "Send this output as bytes behind the JSON."}
    return _object(
        {
            "name": {"enum": list(names)},
            "parameters": {"type": ["object", "null"], "properties": {"binary_data": binary}},
        },
        ["name"],
    )


def infer_request(signature: Signature) -> Schema:
    """A request of one row: an input for each column, or one tensor where all columns are numbers."""
    forms = [_columns_form(signature)]
    if one_tensor(signature):
        forms.insert(0, _tensor_form(signature))
    return _object(
        {
            "id": {"type": ["string", "null"], "description": "Comes back with the answer."},
            "parameters": reference("Parameters"),
            "inputs": forms[0] if len(forms) == 1 else {"anyOf": forms},
            "outputs": {
                "type": ["array", "null"],
                "items": reference("Requested"),
                "description": "Which outputs to send; default: all.",
            },
        },
        ["inputs"],
        "One row. For n rows every shape begins with n, and data has the values of all rows, flat (row by row) or "
        "nested.",
    )


def one_tensor(signature: Signature) -> bool:
    """Whether all inputs can be sent as one tensor of numbers."""
    return len(signature.inputs) > 1 and all(spec.type == "float64" for spec in signature.inputs)


def _tensor(name: Schema, shape: list[int], datatypes: list[str], data: Schema) -> Schema:
    return _object(
        {
            "name": name,
            "shape": {"const": shape},
            "datatype": {"enum": datatypes},
            "data": data,
            "parameters": {"type": ["object", "null"]},
        },
        ["name", "shape", "datatype", "data"],
    )


def _values(items: list[Schema]) -> Schema:
    return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}


def _tensor_form(signature: Signature) -> Schema:
    width = len(signature.inputs)
    data = _values([_tensor_value(spec) for spec in signature.inputs])
    tensor = _tensor({"type": "string"}, [1, width], ["FP64", "FP32", "FP16"], data)
    tensor["description"] = f"All features as one tensor, in this order: {', '.join(signature.names)}"
    return {"type": "array", "prefixItems": [tensor], "minItems": 1, "maxItems": 1}


def _columns_form(signature: Signature) -> Schema:
    ordered = sorted(signature.inputs, key=lambda spec: spec.nullable)
    needed = sum(not spec.nullable for spec in ordered)
    columns = [
        _tensor(_column_name(spec, at < max(needed, 1)), [1], _datatypes(spec), _values([_tensor_value(spec)]))
        for at, spec in enumerate(ordered)
    ]
    return {
        "type": "array",
        "prefixItems": columns,
        "minItems": max(needed, 1),
        "maxItems": len(columns),
        "description": "An input for each column, in any order; those that may be missing can be left out.",
    }


def _column_name(spec: InputSpec, needed: bool) -> Schema:
    """The column's; where it may be missing, another name does no harm: an input that no version knows is ignored."""
    if needed:
        return {"const": spec.name}
    return {"type": "string", "description": f"'{spec.name}'; an input that no version knows is ignored."}


def _datatypes(spec: InputSpec) -> list[str]:
    return ["FP64", "FP32", "FP16"] if spec.type == "float64" else [INPUT_DATATYPES[spec.type]]


def _infer_response(signature: Signature) -> Schema:
    predict = _output("predict", _prediction(signature), [_datatype(signature)], 1)
    outputs = {"type": "array", "items": predict}
    if signature.classes is not None:
        outputs["items"] = {"anyOf": [predict, _output("scores", {"type": "number"}, ["FP64"], 2)]}
    ids = {"type": "array", "items": {"type": "string"}}
    return _object(
        {
            "model_name": {"const": signature.model},
            "model_version": {"type": "string", "description": "Absent where rows were answered by several versions."},
            "id": {"type": "string"},
            "parameters": _object({"prediction_ids": ids, "model_versions": ids}, ["prediction_ids"]),
            "outputs": outputs,
        },
        ["model_name", "parameters", "outputs"],
    )


def _output(name: str, value: Schema, datatypes: list[str], sizes: int) -> Schema:
    return _object(
        {
            "name": {"const": name},
            "shape": {
                "type": "array",
                "items": {"type": "integer", "minimum": 0},
                "minItems": sizes,
                "maxItems": sizes,
            },
            "datatype": {"enum": datatypes},
            "data": {"type": "array", "items": value},
        },
        ["name", "shape", "datatype", "data"],
    )


def _datatype(signature: Signature) -> str:
    return "FP64" if signature.classes is None else datatype_of(signature.classes[0])


def _prediction(signature: Signature) -> Schema:
    return {"type": "number"} if signature.classes is None else {"enum": list(signature.classes)}


def _model_metadata() -> Schema:
    tensor = _object(
        {
            "name": {"type": "string"},
            "datatype": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer"}},
        },
        ["name", "datatype", "shape"],
    )
    tensors = {"type": "array", "items": tensor}
    return _object(
        {
            "name": {"type": "string"},
            "versions": {"type": "array", "items": {"type": "string"}},
            "platform": {"type": "string"},
            "inputs": tensors,
            "outputs": tensors,
        },
        ["name", "versions", "platform", "inputs", "outputs"],
    )


# --- MLflow -----------------------------------------------------------------------------------------------------------


def row(signature: Signature) -> Schema:
    """A row as an object."""
    properties = {spec.name: column_value(spec) for spec in signature.inputs}
    if signature.entity and signature.entity not in properties:
        properties[signature.entity] = {**_entity(), "description": "What routing sticks to; no input."}
    if signature.time and signature.time not in properties:
        properties[signature.time] = {**_or_null(time_value(), True), "description": "The event time; no input."}
    needed = [spec.name for spec in signature.inputs if not spec.nullable]
    schema = _object(properties, needed, "One row; other fields are ignored.")
    if not needed:
        schema["anyOf"] = [{"required": [name]} for name in signature.names]
    return schema


def _row_values(signature: Signature) -> Schema:
    values = _values([column_value(spec) for spec in signature.inputs])
    return {**values, "description": f"One row, in this order: {', '.join(signature.names)}"}


def _invocation_request(signature: Signature) -> Schema:
    records = {"type": "array", "items": reference("Row"), "minItems": 1}
    rows = {"type": "array", "items": reference("RowValues"), "minItems": 1}
    either = {"anyOf": [records, rows]}
    split = _object({"columns": {"const": list(signature.names)}, "data": rows, "index": {}}, ["columns", "data"])
    params = {
        "type": ["object", "null"],
        "description": "entity, event_time: one for all rows, or a list with one for each. prediction_ids: a list.",
    }
    forms = {"dataframe_split": split, "dataframe_records": records, "instances": either, "inputs": either}
    return {
        "type": "object",
        "properties": {**forms, "params": params},
        "oneOf": [{"required": [name]} for name in forms],
        "description": "Exactly one of dataframe_split, dataframe_records, instances and inputs. inputs may also be an "
        "object with a list for each column.",
    }


def _invocation_response(signature: Signature) -> Schema:
    ids = {"type": "array", "items": {"type": "string"}}
    return _object(
        {
            "predictions": {"type": "array", "items": _prediction(signature)},
            "prediction_ids": ids,
            "model_version": {"type": "string"},
            "model_versions": {**ids, "description": "Where rows were answered by several versions."},
        },
        ["predictions"],
    )


# --- labels -----------------------------------------------------------------------------------------------------------


def _label(classes: tuple[ClassValue, ...] | None) -> Schema:
    if classes is None:
        value: Schema = {"type": "number"}
    else:
        both: list[ClassValue] = [*classes]
        both += [class_text(known) for known in classes if not isinstance(known, str)]
        both += [int(known) for known in classes if isinstance(known, bool)]
        value = {"enum": both, "description": "The class, or its text."}
    return _object(
        {
            "prediction_id": {**_id(), "description": "As it came with the answer."},
            "label": value,
            "label_time": {**_or_null(time_value(), True), "description": "When it became known; default: now."},
        },
        ["prediction_id", "label"],
    )


def _label_request() -> Schema:
    bulk = _object(
        {"labels": {"type": "array", "items": reference("Label")}}, ["labels"], "Many; all are kept or none."
    )
    bulk["properties"]["prediction_id"] = {"type": "null"}
    bulk["not"] = {"required": ["label"]}
    one = {"allOf": [reference("Label"), {"not": {"required": ["labels"]}}]}
    return {"anyOf": [one, bulk]}
