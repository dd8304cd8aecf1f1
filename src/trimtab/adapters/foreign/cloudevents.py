"""CloudEvents 0.3 and 1.0 in files, and KServe's own storage records.

Forms: *structured* (the event as JSON with ``data`` or ``data_base64``), *binary* as dumped by a receiver
(``{"headers": {"ce-id": …}, "body": …}``), *batch* (a JSON array of structured ones), and what KServe's logger stores
in a bucket (``{"id", "reqType", "contentType", "bytes": base64, …}``, as JSON, CSV or Parquet). Each file is JSON, JSON
lines, CSV or Parquet.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trimtab.adapters.foreign.payload import decode, request_rows, response_rows
from trimtab.adapters.foreign.records import Half, Place
from trimtab.core.domain.errors import DataError, UserError
from trimtab.core.domain.times import parse_time

VERSIONS = ("0.3", "1.0")
REQUEST, RESPONSE = ".request", ".response"
"""Ends of the types: ``org.kubeflow.serving.inference.request``, ``io.seldon.serving.inference.response``."""


@dataclass(frozen=True, slots=True)
class Event:
    """One CloudEvent."""

    id: str
    source: str
    type: str
    time: float | None
    media: str
    data: Any
    attributes: Mapping[str, str]
    """Extensions, names in lower case."""


def event_of(record: Any) -> Event:
    """An event in any of the forms above.

    Raises:
        DataError: required attributes are missing, or a version that is not known.
    """
    if not isinstance(record, Mapping):
        raise DataError(f"an event is a JSON object, found {type(record).__name__}")
    if isinstance(record.get("headers"), Mapping):
        return _binary(record["headers"], record.get("body", record.get("data")))
    if "reqType" in record or "ReqType" in record:
        return _stored({key[:1].lower() + key[1:]: value for key, value in record.items()})
    return _structured(record)


def _structured(record: Mapping[str, Any]) -> Event:
    attributes = {str(name).lower(): value for name, value in record.items() if name not in ("data", "data_base64")}
    data = record.get("data")
    media = str(attributes.get("datacontenttype") or attributes.get("contenttype") or "application/json")
    if "data_base64" in record:
        data = _unbased(record["data_base64"])
    elif str(attributes.get("datacontentencoding", "")).lower() == "base64":  # 0.3
        data = _unbased(data)
    return _made(attributes, data, media)


def binary_event(headers: Mapping[str, str], body: Any) -> Event:
    """From the headers and body of an HTTP request in binary mode."""
    return _binary(headers, body)


def _binary(headers: Mapping[str, Any], body: Any) -> Event:
    lower = {str(name).lower(): str(value) for name, value in headers.items()}
    attributes: dict[str, Any] = {name[3:]: value for name, value in lower.items() if name.startswith("ce-")}
    return _made(attributes, body, lower.get("content-type", "application/json"))


def _stored(record: Mapping[str, Any]) -> Event:
    attributes = {
        "id": record.get("id"),
        "type": record["reqType"],
        "source": _url(record.get("sourceUri")) or record.get("inferenceService") or "kserve",
        "specversion": "1.0",
        "time": record.get("time") or record.get("recordedTime") or _recorded(record.get("metadata")),
        "inferenceservicename": record.get("inferenceService"),
        "namespace": record.get("namespace"),
        "endpoint": record.get("endpoint"),
    }
    return _made(attributes, _unbased(record.get("bytes")), str(record.get("contentType") or "application/json"))


def _url(value: Any) -> str:
    """Go writes a URL as an object of its parts."""
    if isinstance(value, Mapping):
        return f"{value.get('Scheme', '')}://{value.get('Host', '')}{value.get('Path', '')}"
    return str(value or "")


def _recorded(metadata: Any) -> Any:
    """Headers that the logger was told to keep may hold a time."""
    if not isinstance(metadata, Mapping):
        return None
    for name, value in metadata.items():
        if str(name).lower() in ("ce-time", "date", "x-request-time"):
            return value[0] if isinstance(value, list) and value else value
    return None


def _made(attributes: Mapping[str, Any], data: Any, media: str) -> Event:
    missing = [name for name in ("id", "source", "type", "specversion") if not attributes.get(name)]
    if missing:
        there = ", ".join(sorted(map(str, attributes))[:8]) or "nothing"
        raise DataError(f"the event has no '{missing[0]}' (CloudEvents requires it); it has {there}")
    if str(attributes["specversion"]) not in VERSIONS:
        raise DataError(f"specversion '{attributes['specversion']}' is not one of {', '.join(VERSIONS)}")
    texts = {name: str(value) for name, value in attributes.items() if value is not None}
    return Event(texts["id"], texts["source"], texts["type"], _time(texts.get("time")), media, data, texts)


def _time(text: str | None) -> float | None:
    if not text:
        return None
    try:
        return parse_time(text)
    except UserError as error:
        raise DataError(f"time: {error}") from None


def _unbased(text: Any) -> bytes:
    try:
        return base64.b64decode(str(text or ""), validate=True)
    except binascii.Error as error:
        raise DataError(f"the data is no base64: {error}") from None


def half_of(event: Event, columns: tuple[str, ...]) -> Half | None:
    """A request or response; None for other types.

    Seldon names the pair in ``requestid`` (its ``id`` may differ), KServe uses one ``id`` for both.
    """
    kind = event.type.lower()
    if not kind.endswith((REQUEST, RESPONSE)):
        return None
    response = kind.endswith(RESPONSE)
    body = decode(event.data, event.media)
    service = event.attributes.get("inferenceservicename", "")
    pair = event.attributes.get("requestid") or event.id
    return Half(
        f"{event.source}\n{service}\n{pair}",
        pair,
        response,
        event.time,
        response_rows(body) if response else request_rows(body, columns),
    )


def events_of(records: Iterator[tuple[Place, Any]]) -> Iterator[tuple[Place, Event]]:
    """Each record as an event.

    Raises:
        DataError: names file and line.
    """
    for place, record in records:
        try:
            yield place, event_of(record)
        except DataError as error:
            raise DataError(f"{place}: {error}") from None
