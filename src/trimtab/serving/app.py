"""What each path answers. Knows the protocols and the scorer; knows no socket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from trimtab.serving import paths
from trimtab.serving.net.http import (
    TEXT,
    Answer,
    Later,
    Request,
    RequestError,
    Response,
    error_response,
    json_response,
    plain_body,
    unavailable,
)
from trimtab.serving.net.security import needed
from trimtab.serving.package import ClassValue
from trimtab.serving.process.metrics import Metrics
from trimtab.serving.process.status import Status
from trimtab.serving.protocols import mlflow_scoring, oip, oip_binary
from trimtab.serving.protocols.description import Description, page
from trimtab.serving.protocols.labelling import Labelling
from trimtab.serving.record.writer import LogWriter
from trimtab.serving.scoring.deployment import Deployment, Slot
from trimtab.serving.scoring.gather import Gatherer
from trimtab.serving.scoring.ids import IdSource
from trimtab.serving.scoring.live import LiveDeployment
from trimtab.serving.scoring.quick import QuickPath
from trimtab.serving.scoring.scorer import Scored, Scorer
from trimtab.serving.scoring.shortcut import shortcut
from trimtab.serving.settings import ServerSettings

CACHED_PATHS = 1024
MLFLOW_CODES = {404: "RESOURCE_DOES_NOT_EXIST", 500: "INTERNAL_ERROR", 503: "TEMPORARILY_UNAVAILABLE"}

T = TypeVar("T")

_log = logging.getLogger("trimtab.serving")


class App:
    """The endpoints of one worker."""

    def __init__(
        self,
        settings: ServerSettings,
        live: LiveDeployment,
        scorer: Scorer,
        log: LogWriter,
        metrics: Metrics,
        status: Status,
        ids: tuple[IdSource, IdSource, str],
        clock: Callable[[], float],
    ) -> None:
        self._limits = settings.limits
        self._sync = settings.durability == "sync"
        self._live = live
        self._scorer = scorer
        self._gatherer = Gatherer(
            scorer,
            settings.limits.turn_s,
            log.settled if settings.durability == "sync" else None,
            lambda status, count: metrics.response("infer", status, count),
            lambda error: self._failure("infer", error),
        )
        self._quick = QuickPath(live, scorer, self._gatherer, settings.limits.inline_bytes)
        self._shortcut = (
            None if self._sync else shortcut(live, log, metrics, clock, ids[2], settings.limits.inline_bytes)
        )
        self._log = log
        self._metrics = metrics
        self._status = status
        self._batch_ids, self._thread_ids = ids[:2]
        self._labelling = Labelling(log, metrics, settings.limits, clock)
        self.routes = {path.encode(): paths.Target(endpoint) for path, endpoint in settings.routes}
        self._targets: dict[bytes, paths.Target] = {}
        description = Description(settings, status.version, lambda endpoint: needed(settings.security, endpoint))
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._batches = 0
        self._endpoints: dict[str, Callable[[Request, paths.Target], Answer | Later | Awaitable[Answer]]] = {
            "index": self._server,
            "server": self._server,
            "live": lambda _request, _target: json_response({"live": True}),
            "ready": self._ready,
            "models": self._models,
            "model": self._model,
            "model-ready": self._model_ready,
            "infer": self._infer,
            "invocations": self._invocations,
            "vertex": self._invocations,
            "ping": self._ping,
            "version": lambda _request, _target: Response(status.version.encode(), media=TEXT),
            "labels": self._labels,
            "metrics": lambda _request, _target: Response(status.metrics(), media=b"text/plain; version=0.0.4"),
            "status": lambda _request, _target: json_response(status.report()),
            "openapi": lambda _request, _target: description.openapi(self._deployment()),
            "docs": lambda _request, _target: page(),
        }

    def handle(self, request: Request) -> Answer | Later | Awaitable[Answer]:
        """Answer a request. Never raises."""
        if self._shortcut is not None:
            body = self._shortcut.take(request)
            if body is not None:
                return body
        return self._general(request)

    def _general(self, request: Request) -> Answer | Later | Awaitable[Answer]:
        try:
            job = self._quick.take(request)
        except RequestError as error:  # overloaded
            self._metrics.response("infer", error.status)
            return self._failure("infer", error)
        if job is not None:
            return job
        target = self._targets.get(request.url)
        if target is None:
            found = self.routes.get(request.path) or paths.find(request.path)
            if found is None:
                self._metrics.response("unknown", 404)
                return error_response(404, f"there is nothing at {request.path[:200].decode('latin-1')}")
            target = found
            if len(self._targets) < CACHED_PATHS:
                self._targets[request.url] = target
        endpoint = target.endpoint
        try:
            allowed = paths.methods(endpoint)
            answer: Answer | Later | Awaitable[Answer]
            if request.method not in allowed:
                allow = b", ".join(allowed)
                answer = error_response(405, f"{endpoint} takes {allow.decode()}", ((b"Allow", allow),))
            else:
                if b"content-encoding" in request.headers:
                    request.body = plain_body(request, self._limits.body_bytes)
                answer = self._endpoints[endpoint](request, target)
        except Exception as error:  # noqa: BLE001  the edge: the client gets an answer, others go on
            answer = self._failure(endpoint, error)
        if isinstance(answer, Later):  # counted when it is there
            return answer
        if isinstance(answer, bytes):
            self._metrics.response(endpoint, 200)
        elif isinstance(answer, Response):
            self._metrics.response(endpoint, answer.status)
        else:
            return self._later(endpoint, answer)
        return answer

    def close(self) -> None:
        """After the last request: what was answered is handed to the log."""
        if self._shortcut is not None:
            self._shortcut.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    # --- errors and waiting -------------------------------------------------------------------------------------------

    def _failure(self, endpoint: str, error: Exception) -> Response:
        if isinstance(error, RequestError):
            status, message, headers = error.status, str(error), error.headers
            if status == 500:
                _log.error("%s", message)
        else:
            status, message, headers = 500, "the server has a defect; its log has the details", ()
            _log.error("defect while answering %s", endpoint, exc_info=error)
        if endpoint == "invocations":
            code = MLFLOW_CODES.get(status, "BAD_REQUEST")
            return json_response({"error_code": code, "message": message}, status, headers)
        return error_response(status, message, headers)

    async def _later(self, endpoint: str, answer: Awaitable[Answer]) -> Answer:
        try:
            out = await answer
        except Exception as error:  # noqa: BLE001  the edge, as in handle
            out = self._failure(endpoint, error)
        self._metrics.response(endpoint, out.status if isinstance(out, Response) else 200)
        return out

    async def _when_recorded(self, answer: Answer) -> Answer:
        await self._log.settled()
        return answer

    def _recorded(self, answer: Answer) -> Answer | Awaitable[Answer]:
        return self._when_recorded(answer) if self._sync else answer

    # --- scoring ------------------------------------------------------------------------------------------------------

    def _infer(self, request: Request, target: paths.Target) -> Answer | Later | Awaitable[Answer]:
        deployment, slot = self._find(target)
        media = request.headers.get(b"content-type")
        if media is not None and media != b"application/json" and request.media_type not in _OIP_MEDIA:
            raise RequestError(415, f"content type '{request.media_type}' is not application/json: {_CURL_HINT}")
        if len(request.body) > self._limits.inline_bytes:
            return self._threaded(lambda ids: self._infer_batch(deployment, slot, request, ids))
        self._quick.know(request.url, deployment, slot)
        if self._shortcut is not None:
            self._shortcut.know(request.url, deployment, slot)
        call = _decode_infer(request, deployment, self._limits.rows)
        self._metrics.ignored_inputs += call.ignored
        if call.inputs.rows == 1 and call.outputs is None and not _wants_binary(call):
            return self._gatherer.add(self._scorer.prepare(deployment, slot, call.inputs, call.id, request.started))
        scored, answer = self._answer_call(deployment, slot, call, request.started, self._batch_ids)
        self._scorer.commit(scored)
        return self._recorded(answer)

    def _infer_batch(
        self, deployment: Deployment, slot: Slot | None, request: Request, ids: IdSource
    ) -> tuple[Scored, Answer]:
        call = _decode_infer(request, deployment, self._limits.rows)
        return self._answer_call(deployment, slot, call, request.started, ids)

    def _answer_call(
        self, deployment: Deployment, slot: Slot | None, call: oip.Call, started: float, ids: IdSource
    ) -> tuple[Scored, Answer]:
        names = oip.wanted(call.outputs, deployment.champion.signature)
        binary = oip_binary.binary_outputs(call, names)
        scored = self._scorer.batch(deployment, slot, call.inputs, started, ids)
        if not scored.predictions:  # a version failed: commit says so
            return scored, b""
        if binary:
            return scored, oip_binary.encode(scored, call.id, names, binary)
        return scored, oip.encode(scored, call.id, names)

    def _invocations(self, request: Request, target: paths.Target) -> Answer | Awaitable[Answer]:
        deployment, bare = self._deployment(), target.endpoint == "vertex"
        if len(request.body) > self._limits.inline_bytes:
            return self._threaded(lambda ids: self._invocation_batch(deployment, request, ids, bare))
        scored, body = self._invocation_batch(deployment, request, self._batch_ids, bare)
        self._scorer.commit(scored)
        return self._recorded(body)

    def _invocation_batch(
        self, deployment: Deployment, request: Request, ids: IdSource, bare: bool
    ) -> tuple[Scored, Answer]:
        signature = deployment.champion.signature
        inputs = mlflow_scoring.decode_invocation(request.media_type, request.body, signature, self._limits.rows)
        scored = self._scorer.batch(deployment, None, inputs, request.started, ids)
        return scored, mlflow_scoring.encode_predictions(scored, bare) if scored.predictions else b""

    async def _threaded(self, work: Callable[[IdSource], tuple[Scored, Answer]]) -> Answer:
        """Decode and score a large body in the batch thread, record it on the event loop."""
        scored, body = await self._in_thread(lambda: work(self._thread_ids))
        self._scorer.commit(scored)
        if self._sync:
            await self._log.settled()
        return body

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._batches >= self._limits.queued_batches:
            raise unavailable(f"{self._batches} batches are waiting already")
        self._batches += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._batches -= 1

    def _deployment(self) -> Deployment:
        deployment = self._live.current
        if deployment is None:
            raise unavailable(f"no version is loaded: {self._live.refusal or 'still starting'}")
        return deployment

    def _find(self, target: paths.Target) -> tuple[Deployment, Slot | None]:
        deployment = self._deployment()
        if target.model != deployment.name:
            raise RequestError(
                404, f"model '{(target.model or '')[:100]}' is not served here; there is '{deployment.name}'"
            )
        if target.version is None:
            return deployment, None
        slot = (
            deployment.slots.get(int(target.version)) if target.version.isascii() and target.version.isdigit() else None
        )
        if slot is None:
            there = ", ".join(map(str, sorted(deployment.slots)))
            raise RequestError(
                404, f"version '{target.version[:20]}' of '{deployment.name}' is not loaded; there are {there}"
            )
        return deployment, slot

    # --- labels -------------------------------------------------------------------------------------------------------

    def _labels(self, request: Request, _target: paths.Target) -> Answer | Awaitable[Answer]:
        classes = self._deployment().classes
        if len(request.body) > self._limits.inline_bytes:
            return self._labels_later(request, classes)
        return self._recorded(self._labelling.keep(self._labelling.decode(request, classes)))

    async def _labels_later(self, request: Request, classes: tuple[ClassValue, ...] | None) -> Answer:
        labels = await self._in_thread(lambda: self._labelling.decode(request, classes))
        answer = self._labelling.keep(labels)
        if self._sync:
            await self._log.settled()
        return answer

    # --- what it is ---------------------------------------------------------------------------------------------------

    def _server(self, _request: Request, _target: paths.Target) -> Answer:
        return json_response(self._status.server_metadata())

    def _ready(self, _request: Request, _target: paths.Target) -> Answer:
        ready = self._live.current is not None
        body: dict[str, Any] = {"live": True, "ready": ready}
        if not ready:
            body["error"] = str(self._live.refusal or "still starting")
        return json_response(body, 200 if ready else 503)

    def _ping(self, _request: Request, _target: paths.Target) -> Answer:
        self._deployment()
        return b"\n"

    def _models(self, _request: Request, _target: paths.Target) -> Answer:
        deployment = self._live.current
        return json_response({"models": [] if deployment is None else [deployment.name]})

    def _model(self, _request: Request, target: paths.Target) -> Answer:
        deployment, slot = self._find(target)
        signature = (slot or deployment.champion).signature
        versions = sorted(deployment.slots) if slot is None else [slot.version]
        return json_response(oip.model_metadata(signature, versions))

    def _model_ready(self, _request: Request, target: paths.Target) -> Answer:
        deployment, _ = self._find(target)
        return json_response({"name": deployment.name, "ready": True})


def _decode_infer(request: Request, deployment: Deployment, rows_max: int) -> oip.Call:
    signature = deployment.champion.signature
    head_length = request.headers.get(oip_binary.HEAD_LENGTH)
    if head_length is not None:
        return oip_binary.decode(request.body, head_length, signature, rows_max, deployment.known)
    return oip.decode(request.body, signature, rows_max, deployment.known)


def _wants_binary(call: oip.Call) -> bool:
    return call.parameters is not None and call.parameters.get("binary_data_output", False) is not False


_OIP_MEDIA = ("application/json", "application/octet-stream")
_CURL_HINT = "with curl, add -H 'Content-Type: application/json'"
