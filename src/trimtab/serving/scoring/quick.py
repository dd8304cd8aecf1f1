"""The short way of nearly all requests: one row of numbers in one flat tensor, sent to a path that is known.

It answers as ``App`` does and hands back whatever is not of that form, errors included: nothing is refused here. A
request costs so little that each call between functions would show; so what is several steps elsewhere is one here.
"""

from __future__ import annotations

from typing import Any

import msgspec

from trimtab.serving.net.http import Request, RequestError
from trimtab.serving.protocols.context import attach
from trimtab.serving.protocols.inputs import Inputs
from trimtab.serving.protocols.oip import FLOATS
from trimtab.serving.protocols.oip_binary import HEAD_LENGTH
from trimtab.serving.scoring.deployment import Deployment, Slot
from trimtab.serving.scoring.gather import Gatherer
from trimtab.serving.scoring.live import LiveDeployment
from trimtab.serving.scoring.scorer import RowJob, Scorer

KNOWN_PATHS = 64


class _Tensor(msgspec.Struct):
    name: str
    shape: tuple[int, int]
    datatype: str
    data: list[float | None]
    parameters: dict[str, Any] | None = None


class Infer(msgspec.Struct):
    """The message. Types are checked while decoding; anything else that the protocol allows is handed back."""

    inputs: tuple[_Tensor]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: None = None


class QuickPath:
    """Knows the paths of the served model and takes what it can."""

    def __init__(self, live: LiveDeployment, scorer: Scorer, gatherer: Gatherer, inline_bytes: int) -> None:
        self._live = live
        self._scorer = scorer
        self._gatherer = gatherer
        self._inline_bytes = inline_bytes
        self._decode = msgspec.json.Decoder(Infer).decode
        self._known: dict[bytes, tuple[Deployment, Slot | None]] = {}

    def know(self, url: bytes, deployment: Deployment, slot: Slot | None) -> None:
        """A request to this path means this deployment (and version), as long as it is the one served."""
        if len(self._known) >= KNOWN_PATHS:
            self._known.clear()
        self._known[url] = (deployment, slot)

    def take(self, request: Request) -> RowJob | None:
        """The request on its way to its answer; None: it is not of this form.

        Raises:
            RequestError: 503, too many wait already.
        """
        known = self._known.get(request.url)
        headers = request.headers
        if (
            known is None
            or known[0] is not self._live.current
            or request.method != b"POST"
            or headers.get(b"content-type", b"application/json") != b"application/json"
            or b"content-encoding" in headers
            or HEAD_LENGTH in headers
            or len(request.body) > self._inline_bytes
        ):
            return None
        try:
            message = self._decode(request.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        tensor = message.inputs[0]
        values = tensor.data
        width = len(values)
        # A tensor of one column may as well be that column by its name.
        if tensor.shape != (1, width) or width == 1 or tensor.datatype not in FLOATS:
            return None
        deployment, slot = known
        if message.parameters:
            return self._with_parameters(deployment, slot, message, request.started)
        job = self._scorer.floats_job(deployment, slot, values, message.id, request.started)
        return None if job is None else self._gatherer.add(job)

    def _with_parameters(
        self, deployment: Deployment, slot: Slot | None, message: Infer, started: float
    ) -> RowJob | None:
        if message.parameters is None or message.parameters.get("binary_data_output"):
            return None
        signature = deployment.champion.signature
        values = message.inputs[0].data
        if len(values) != len(signature.inputs):
            return None
        inputs = Inputs(1, matrix=values, width=len(values), floats=True)
        try:
            attach(inputs, message.parameters, signature)
            job = self._scorer.prepare(deployment, slot, inputs, message.id, started)
        except RequestError:
            return None  # said in full on the long way
        return self._gatherer.add(job)
