"""SageMaker's data capture: JSON lines with ``captureData.endpointInput/Output`` and ``eventMetadata``."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from trimtab.adapters.foreign.payload import decode, request_rows, response_rows
from trimtab.core.domain.errors import DataError, UserError
from trimtab.core.domain.times import parse_time


def captured(record: Any, columns: tuple[str, ...]) -> tuple[str, float, list[dict[str, Any]], list[Any]]:
    """Id, time, inputs and outputs of one captured call.

    Raises:
        DataError: a part is missing or of no known form.
    """
    if not isinstance(record, Mapping) or not isinstance(record.get("captureData"), Mapping):
        raise DataError("no 'captureData': this is no line of SageMaker's data capture")
    capture, meta = record["captureData"], record.get("eventMetadata") or {}
    identity = meta.get("inferenceId") or meta.get("eventId")
    if not identity or not meta.get("inferenceTime"):
        raise DataError("'eventMetadata' needs eventId (or inferenceId) and inferenceTime")
    try:
        at = parse_time(str(meta["inferenceTime"]))
    except UserError as error:
        raise DataError(f"inferenceTime: {error}") from None
    for name in ("endpointInput", "endpointOutput"):
        if not isinstance(capture.get(name), Mapping):
            raise DataError(f"no '{name}': capture both, CaptureOptions Input and Output")
    inputs = request_rows(_body(capture["endpointInput"]), columns)
    return str(identity), at, inputs, response_rows(_body(capture["endpointOutput"]))


def _body(part: Mapping[str, Any]) -> Any:
    data, encoding = part.get("data"), str(part.get("encoding", "")).upper()
    media = str(part.get("observedContentType") or "")
    if encoding == "BASE64":
        try:
            data = base64.b64decode(str(data or ""), validate=True)
        except binascii.Error as error:
            raise DataError(f"the data is no base64: {error}") from None
    if not media:
        media = {"CSV": "text/csv", "JSON": "application/json"}.get(encoding, "")
    return decode(data, media)
