"""Labels as they arrive: checked against the classes that are served, repeats told apart from news."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from trimtab.serving.net.http import RequestError
from trimtab.serving.package import ClassValue, class_text
from trimtab.serving.protocols.context import prediction_id
from trimtab.serving.protocols.inputs import describe, epoch_seconds
from trimtab.serving.protocols.oip import parse_json
from trimtab.serving.record.records import LabelRecord


class _Label(msgspec.Struct):
    prediction_id: Any = None
    label: Any = msgspec.UNSET
    label_time: Any = None


class _Message(msgspec.Struct):
    labels: list[_Label] | msgspec.UnsetType = msgspec.UNSET
    prediction_id: Any = None
    label: Any = msgspec.UNSET
    label_time: Any = None


_decoder = msgspec.json.Decoder(_Message)


def decode_labels(body: bytes, classes: tuple[ClassValue, ...] | None, now: float, rows_max: int) -> list[LabelRecord]:
    """The labels of a request, all good or none.

    Raises:
        RequestError: a label, id or time is not what it must be; its position is named.
    """
    message = parse_json(body, _decoder)
    if message.labels is msgspec.UNSET:
        return [_record(message, "", classes, now)]
    if message.label is not msgspec.UNSET or message.prediction_id is not None:
        raise RequestError(400, "send either one label (prediction_id, label) or a list in 'labels', not both")
    if len(message.labels) > rows_max:
        raise RequestError(413, f"{len(message.labels)} labels in one request, the limit is {rows_max}")
    return [_record(label, f"labels[{i}].", classes, now) for i, label in enumerate(message.labels)]


def _record(item: _Label | _Message, where: str, classes: tuple[ClassValue, ...] | None, now: float) -> LabelRecord:
    identity = prediction_id(item.prediction_id, f"{where}prediction_id")
    if item.label is msgspec.UNSET:
        raise RequestError(400, f"{where}label is missing")
    label = label_value(item.label, classes, f"{where}label")
    at = now if item.label_time is None else epoch_seconds(item.label_time, f"{where}label_time")
    return LabelRecord(identity, label, at, now)


def label_value(value: Any, classes: Sequence[ClassValue] | None, where: str) -> str | float:
    """The class's text, or the number of a regression. 0 and 1 stand for false and true, 3.0 for 3."""
    if classes is None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise RequestError(400, f"{where}: expected a number, found {describe(value)}")
        return float(value)
    texts = {class_text(known) for known in classes}
    if isinstance(value, str | bool | int | float):
        text = class_text(value)
        if text in texts:
            return text
        if not isinstance(value, str):
            for known in classes:
                if not isinstance(known, str) and known == value:
                    return class_text(known)
    raise RequestError(
        400, f"{where}: {describe(value)} is no class of the model; there are {', '.join(sorted(texts))}"
    )


@dataclass(slots=True)
class Sorted:
    """Labels by what they are to the server."""

    fresh: list[LabelRecord]
    """To be logged; conflicting ones too."""
    repeated: int = 0
    conflicting: int = 0


class LabelMemory:
    """The newest prediction ids that got a label, and which: a repeat is answered without being logged again."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: OrderedDict[str, str | float] = OrderedDict()

    def sort(self, labels: Sequence[LabelRecord]) -> Sorted:
        """Tell new labels from repeats and contradictions; nothing is remembered yet."""
        out = Sorted([])
        seen: dict[str, str | float] = {}
        for label in labels:
            known = seen.get(label.prediction_id, self._known.get(label.prediction_id))
            if known is None:
                seen[label.prediction_id] = label.label
                out.fresh.append(label)
            elif known == label.label:
                out.repeated += 1
            else:
                out.conflicting += 1
                out.fresh.append(label)
        return out

    def remember(self, labels: Sequence[LabelRecord]) -> None:
        """Remember what was logged; the first label of an id counts."""
        for label in labels:
            self._known.setdefault(label.prediction_id, label.label)
        while len(self._known) > self._limit:
            self._known.popitem(last=False)
