"""``/labels``: what arrives is checked, told apart from repeats, and logged."""

from __future__ import annotations

from collections.abc import Callable

from trimtab.serving.net.http import Request, RequestError, Response, json_response, unavailable
from trimtab.serving.package import ClassValue
from trimtab.serving.process.metrics import Metrics
from trimtab.serving.protocols.labels import LabelMemory, decode_labels
from trimtab.serving.protocols.labels_table import decode_label_table
from trimtab.serving.protocols.tables import ARROW, PARQUET
from trimtab.serving.record.records import LabelRecord
from trimtab.serving.record.writer import LogWriter
from trimtab.serving.settings import Limits


class Labelling:
    """The labels of one worker. ``decode`` may run in a thread, ``keep`` belongs to the event loop."""

    def __init__(self, log: LogWriter, metrics: Metrics, limits: Limits, clock: Callable[[], float]) -> None:
        self._log = log
        self._metrics = metrics
        self._rows_max = limits.rows
        self._clock = clock
        self._memory = LabelMemory(limits.label_ids)

    def decode(self, request: Request, classes: tuple[ClassValue, ...] | None) -> list[LabelRecord]:
        """The labels of a request, all good or none.

        Raises:
            RequestError: the body is not of its type, or a label, id or time is not what it must be.
        """
        media, now = request.media_type, self._clock()
        if media in ("", "application/json"):
            return decode_labels(request.body, classes, now, self._rows_max)
        if media in PARQUET or media in ARROW:
            return decode_label_table(request.body, media, classes, now, self._rows_max)
        raise RequestError(
            415,
            f"content type '{media}' is not one of application/json, {', '.join(sorted(PARQUET | ARROW))}; "
            "with curl, add -H 'Content-Type: application/json'",
        )

    def keep(self, labels: list[LabelRecord]) -> Response:
        """Log what is new, and tell what became of each.

        Raises:
            RequestError: the log cannot take them now (503); none is kept.
        """
        found = self._memory.sort(labels)
        if found.fresh and not self._log.add_labels(found.fresh):
            raise unavailable("the label log cannot be written and its queue is full; send these labels again")
        self._memory.remember(found.fresh)
        accepted = len(labels) - found.repeated - found.conflicting
        self._metrics.labels_accepted += accepted
        self._metrics.labels_repeated += found.repeated
        self._metrics.labels_conflicting += found.conflicting
        return json_response({"accepted": accepted, "repeated": found.repeated, "conflicting": found.conflicting})
