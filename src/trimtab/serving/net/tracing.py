"""OpenTelemetry traces of requests. Imported, and in the way of a request, only where an exporter is configured.

Configuration is OpenTelemetry's own: the variables ``OTEL_*`` of the environment, read by its SDK.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.core.domain.errors import UserError
from trimtab.serving import paths
from trimtab.serving.net.http import Answer, Handler, Later, Request, Response

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

    from trimtab.serving.scoring.live import LiveDeployment

TRACED = {"infer", "invocations", "vertex", "labels"}
"""Probes and scrapes are not traced."""
SHUTDOWN_S = 5.0
"""How long the last spans may take to be sent when the server ends."""
IDS_MAX = 20
"""Prediction ids of a batch that a span names."""
CACHED_PATHS = 1024

_log = logging.getLogger("trimtab.serving")


class TracingError(UserError):
    """Traces are wanted and cannot be sent."""


class _Parameters(msgspec.Struct):
    prediction_ids: list[str] = []
    model_versions: list[str] = []


class _Answer(msgspec.Struct):
    """What a span tells of an answer, of either protocol."""

    model_version: str | None = None
    model_versions: list[str] = []
    prediction_ids: list[str] = []
    parameters: _Parameters | None = None


_decoder = msgspec.json.Decoder(_Answer)


def provider(variables: Mapping[str, str], version: str, worker: str) -> TracerProvider:
    """A provider with the exporters that the environment names.

    Raises:
        TracingError: the SDK or an exporter is not installed.
    """
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TracingError(f"OTEL_* asks for traces: pip install 'trimtab[otel]' ({error})") from error
    about = {"service.name": "trimtab", "service.version": version, "service.instance.id": worker}
    if "OTEL_SERVICE_NAME" in variables or "service.name=" in variables.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        del about["service.name"]  # theirs
    made = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
    for point in exporters(variables):
        made.add_span_processor(BatchSpanProcessor(point.load()()))
    return made


def exporters(variables: Mapping[str, str]) -> list[EntryPoint]:
    """The exporters that the environment names, not yet loaded.

    Raises:
        TracingError: one is not installed.
    """
    return [_exporter(name.strip().lower(), variables) for name in _names(variables)]


def _names(variables: Mapping[str, str]) -> list[str]:
    return (variables.get("OTEL_TRACES_EXPORTER") or "otlp").split(",")


def _exporter(name: str, variables: Mapping[str, str]) -> EntryPoint:
    if name == "otlp":
        protocol = variables.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        protocol = variables.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", protocol)
        name = "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
    known = {point.name: point for point in entry_points(group="opentelemetry_traces_exporter")}
    if name not in known:
        raise TracingError(
            f"OTEL_* asks for the exporter '{name}', which is not installed "
            f"(there are: {', '.join(sorted(known)) or 'none'}): pip install 'trimtab[otel]'"
        )
    return known[name]


class Tracing:
    """Stands before ``handle``: a span for each request that is to be traced; ``traceparent`` names its parent."""

    def __init__(
        self,
        handle: Handler,
        made: TracerProvider,
        live: LiveDeployment,
        routes: Mapping[bytes, paths.Target],
        clock: Callable[[], float],
    ) -> None:
        from opentelemetry import trace
        from opentelemetry.propagate import extract

        self._handle = handle
        self._provider = made
        self._tracer = made.get_tracer("trimtab.serving")
        self._kind = trace.SpanKind.SERVER
        self._failed = trace.StatusCode.ERROR
        self._extract = extract
        self._live = live
        self._routes = routes
        self._clock = clock
        self._traced: dict[bytes, tuple[str, str] | None] = {}

    def __call__(self, request: Request) -> Answer | Later | Awaitable[Answer]:
        """Answer a request. Never raises."""
        try:
            route = self._traced[request.url]
        except KeyError:
            route = self._look(request)
        if route is None:
            return self._handle(request)
        span = self._begin(request, route)
        if not span.is_recording():
            return self._handle(request)
        answer = self._handle(request)
        if isinstance(answer, Later):
            return self._when_delivered(span, answer)
        if isinstance(answer, bytes | Response):
            self._end(span, answer)
            return answer
        return self._when_done(span, answer)

    def close(self) -> None:
        """Send what is left, for ``SHUTDOWN_S`` at most: a collector that is away must not hold up the end."""
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(SHUTDOWN_S)
        if ending.is_alive():
            _log.warning("the last traces could not be sent within %g s", SHUTDOWN_S)

    def _look(self, request: Request) -> tuple[str, str] | None:
        found = self._routes.get(request.path) or paths.find(request.path)
        route = None
        if found is not None and found.endpoint in TRACED:
            route = (found.endpoint, _template(found, request.path))
        if found is not None and len(self._traced) < CACHED_PATHS:
            self._traced[request.url] = route
        return route

    def _begin(self, request: Request, route: tuple[str, str]) -> Span:
        carrier = {
            name.decode("latin-1"): request.headers[name].decode("latin-1")
            for name in (b"traceparent", b"tracestate", b"baggage", b"b3")
            if name in request.headers
        }
        method = request.method.decode("latin-1")
        began_ns = int((self._clock() - (perf_counter() - request.started)) * 1e9)
        attributes: dict[str, Any] = {
            "http.request.method": method,
            "http.route": route[1],
            "url.path": request.path.decode("latin-1"),
            "http.request.body.size": len(request.body),
        }
        parent = self._extract(carrier) if carrier else None
        return self._tracer.start_span(f"{method} {route[1]}", parent, self._kind, attributes, start_time=began_ns)

    def _when_delivered(self, span: Span, inner: Later) -> Later:
        outer = Later()

        def deliver(answer: Answer) -> None:
            self._end(span, answer)
            outer.deliver(answer)

        inner.deliver = deliver
        return outer

    async def _when_done(self, span: Span, answer: Awaitable[Answer]) -> Answer:
        out = await answer
        self._end(span, out)
        return out

    def _end(self, span: Span, answer: Answer) -> None:
        status = answer.status if isinstance(answer, Response) else 200
        attributes: dict[str, Any] = {"http.response.status_code": status}
        if status == 200:
            attributes |= self._told(answer)
        span.set_attributes(attributes)
        if status >= 500:
            span.set_status(self._failed)
        span.end()

    def _told(self, answer: Answer) -> dict[str, Any]:
        try:
            told = _decoder.decode(_json(answer))
        except msgspec.DecodeError:  # a health page, or one without a body: there is nothing to tell
            return {}
        inner = told.parameters or _Parameters()
        ids = inner.prediction_ids or told.prediction_ids
        versions = sorted(set(inner.model_versions or told.model_versions), key=int)
        if told.model_version is not None:
            versions = [told.model_version]
        deployment = self._live.current
        out: dict[str, Any] = {"trimtab.rows": len(ids)} if ids else {}
        if ids:
            out["trimtab.prediction_id"] = ids[0] if len(ids) == 1 else ids[:IDS_MAX]
        if deployment is not None:
            out["trimtab.model"] = deployment.name
            arms = [slot.arm for version in versions if (slot := deployment.slots.get(int(version))) is not None]
            if arms:
                out["trimtab.arm"] = arms[0] if len(arms) == 1 else arms
        if versions:
            out["trimtab.version"] = versions[0] if len(versions) == 1 else versions
        return out


def _json(answer: Answer) -> bytes:
    """The JSON of an answer; of a binary one its head."""
    if not isinstance(answer, Response):
        return answer
    length = dict(answer.headers).get(b"Inference-Header-Content-Length")
    return answer.body if length is None else answer.body[: int(length)]


def _template(target: paths.Target, path: bytes) -> str:
    """The route, of low cardinality."""
    if target.endpoint != "infer":
        return path.decode("latin-1")
    return "/v2/models/{model}" + ("" if target.version is None else "/versions/{version}") + "/infer"
