"""The shortest way of a request: a flat row of numbers to a version whose trees are compiled (``compiled.direct``).

Rows are answered at once, in the turn that they came in, and recorded in blocks. Everything else, and every row that
has no answer, goes the general way; so does all of it where the loops were not compiled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from trimtab.serving.process.metrics import Metrics
from trimtab.serving.protocols.oip import FLOATS, row_template
from trimtab.serving.record.records import BlockRecord
from trimtab.serving.record.writer import LogWriter
from trimtab.serving.scoring.deployment import Deployment, Slot
from trimtab.serving.scoring.live import LiveDeployment
from trimtab.serving.scoring.quick import Infer

if TYPE_CHECKING:
    from trimtab.serving.compiled import direct as shortest
    from trimtab.serving.net.http import Request

CLOSE_S = 0.05
"""Rows wait at most this long for their block: part of the second that a kill -9 can lose."""


def shortcut(
    live: LiveDeployment, log: LogWriter, metrics: Metrics, clock: Callable[[], float], tag: str, inline_bytes: int
) -> Shortcut | None:
    """None where it was not compiled."""
    try:
        from trimtab.serving.compiled import direct
    except ImportError:
        return None
    return Shortcut(direct, live, log, metrics, clock, tag, inline_bytes)


class Shortcut:
    """Prepares versions for the compiled way, and turns its blocks into records."""

    def __init__(
        self,
        compiled: Any,
        live: LiveDeployment,
        log: LogWriter,
        metrics: Metrics,
        clock: Callable[[], float],
        tag: str,
        inline_bytes: int,
    ) -> None:
        self._compiled = compiled
        self._log = log
        self._metrics = metrics
        self._decode = msgspec.json.Decoder(Infer).decode
        encode = msgspec.json.Encoder().encode
        self._direct: shortest.Direct = compiled.Direct(
            live, self._around, encode, clock, self._record, _soon, tag, inline_bytes
        )
        self.take: Callable[[Request], bytes | None] = self._direct.take
        self.close = self._direct.close

    def know(self, url: bytes, deployment: Deployment, fixed: Slot | None) -> None:
        """Requests to this path are for this deployment (and version), as long as it is the one that is served."""
        if deployment.shadow:  # a second version scores the same rows later, by the general way
            return
        only = fixed or deployment.only
        slots = [only] if only is not None else list(deployment.slots.values())
        versions = {slot.version: self._version(slot) for slot in slots if _fits(slot, self._compiled.WIDTH_MAX)}
        if versions:
            self._direct.know(url, deployment, None if only is None else versions.get(only.version), versions)

    def _version(self, slot: Slot) -> shortest.Version:
        direct, signature = slot.model.direct, slot.signature
        assert direct is not None  # noqa: S101  _fits has looked
        classes = signature.classes
        kinds = (None,) if classes is None else classes
        templates = tuple(
            row_template(signature.model, slot.version, kind, None if classes is None else len(classes))
            for kind in kinds
        )
        version: shortest.Version = self._compiled.Version(
            slot, direct.forest, direct.link, direct.base, slot.layout.floats, classes or (), templates
        )
        return version

    def _around(self, frame: bytes, width: int) -> tuple[bool, bytes, bool]:
        """Whether a message whose numbers were taken out is one of a flat row of floats with nothing beside it but an
        id; the id as it stands in the answer; whether every message of this frame is the same but for its numbers."""
        no = (False, b"", False)
        try:
            message = self._decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return no
        tensor = message.inputs[0]
        if (
            tensor.data  # what was taken out was something else's
            or frame.count(self._compiled.DATA) != 1
            or tensor.shape != (1, width)
            or width == 1  # may as well be that column by its name
            or tensor.datatype not in FLOATS
            or message.parameters
        ):
            return no
        if message.id is None:
            return True, b"", True
        return True, b',"id":%b' % msgspec.json.encode(message.id), False

    def _record(self, version: shortest.Version, generation: int, columns: shortest.Columns) -> None:
        ids, times, seconds, rows, positions, answers = columns
        slot: Slot = version.slot
        classes = version.classes
        block = BlockRecord(
            slot=slot,
            generation=generation,
            shadow=False,
            error=None,
            ids=ids,
            times=times,
            event_times=times,
            entities=None,
            latencies_ms=seconds * 1000.0,
            inputs=rows,
            prediction=positions if classes else answers,
            scores=np.column_stack((1.0 - answers, answers)) if classes else None,
        )
        self._log.add(block)
        slot.counters.answered_rows(seconds.tolist())
        self._metrics.response("infer", 200, len(ids))


def _fits(slot: Slot, width_max: int) -> bool:
    """Whether all inputs are numbers that its trees take as they are."""
    return slot.model.direct is not None and 0 < slot.layout.floats <= width_max


def _soon(close: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(CLOSE_S, close)
