"""What accompanies the rows of a request: entity, event time and prediction ids, from parameters or from columns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from trimtab.serving.net.http import RequestError
from trimtab.serving.package import Signature
from trimtab.serving.protocols.inputs import Inputs, describe, epoch_seconds

TEXT_MAX = 512
"""Longest entity or prediction id, in characters."""
ID_PATTERN = r"^[^\u0000-\u001f\u0022\u005c\u007f-\u009f\u2028\u2029]+$"
"""A prediction id stands in answers as it is: no quotation marks, backslashes, control characters or line breaks."""

_ID = re.compile(ID_PATTERN)


def attach(inputs: Inputs, parameters: Mapping[str, Any] | None, signature: Signature) -> None:
    """Fill ``entities``, ``event_times`` and ``ids``. A parameter counts before a column; a list has one value per row.

    Raises:
        RequestError: a value is not an entity, a time or an id, or a list has another length than there are rows.
    """
    parameters = parameters or {}
    entities = _listed(parameters.get("entity"), inputs.rows, "parameters.entity")
    if entities is None and signature.entity is not None:
        entities = inputs.named.get(signature.entity)
    if entities is not None:
        inputs.entities = [_entity(value) for value in _plain(entities)]
    times = _listed(parameters.get("event_time"), inputs.rows, "parameters.event_time")
    if times is None and signature.time is not None:
        times = inputs.named.get(signature.time)
    if times is not None:
        inputs.event_times = [None if _missing(v) else epoch_seconds(v, "event time") for v in _plain(times)]
    ids = parameters.get("prediction_ids", parameters.get("prediction_id"))
    if "prediction_id" in parameters and "prediction_ids" in parameters:
        raise RequestError(400, "parameters: send either prediction_id or prediction_ids, not both")
    listed = _listed(ids, inputs.rows, "parameters.prediction_ids", spread=False)
    if listed is not None:
        inputs.ids = [prediction_id(value, "parameters.prediction_ids") for value in listed]
        if len(set(inputs.ids)) != len(inputs.ids):
            raise RequestError(400, "parameters.prediction_ids names an id twice")


def prediction_id(value: Any, where: str) -> str:
    """An id as a client may send it."""
    if not isinstance(value, str) or len(value) > TEXT_MAX or not _ID.fullmatch(value):
        raise RequestError(
            400,
            f'{where}: expected an id (1 to {TEXT_MAX} characters, no control characters, " or \\), '
            f"found {describe(value)}",
        )
    return value


def _plain(values: Any) -> Any:
    return values.tolist() if isinstance(values, np.ndarray) else values


def _listed(value: Any, rows: int, where: str, spread: bool = True) -> Any:
    if value is None:
        return None
    if isinstance(value, list):
        if len(value) != rows:
            raise RequestError(400, f"{where} has {len(value)} values for {rows} rows")
        return value
    if not spread and rows != 1:
        raise RequestError(400, f"{where} must be a list with one id for each of the {rows} rows")
    return [value] * rows


def _entity(value: Any) -> str | None:
    if isinstance(value, str):
        if len(value) > TEXT_MAX:
            raise RequestError(400, f"entity: the text is longer than {TEXT_MAX} characters")
        return value
    if _missing(value):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float) and -(2**63) <= value < 2**64 and value == int(value):
        return str(int(value))
    raise RequestError(400, f"entity: expected text or a whole number, found {describe(value)}")


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)
