"""Traces as a collector gets them: real bytes over OTLP/HTTP from the real server."""

from __future__ import annotations

import gzip
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.serving.servers import INFER, Server, eventually, row, start
from trimtab.serving.process.surroundings import traces_wanted

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(http.server.ThreadingHTTPServer):
    """Keeps the spans that arrive at /v1/traces."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[ExportTraceServiceRequest] = []

    @property
    def spans(self) -> list[Any]:
        scopes = [scope for request in self.requests for about in request.resource_spans for scope in about.scope_spans]
        return [span for scope in scopes for span in scope.spans]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path == "/v1/traces":
            self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def attributes(span: Any) -> dict[str, Any]:
    def value(of: Any) -> Any:
        kind = of.WhichOneof("value")
        found = getattr(of, kind)
        return [value(one) for one in found.values] if kind == "array_value" else found

    return {one.key: value(one.value) for one in span.attributes}


def environment(collector: Collector, **more: str) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        "OTEL_SERVICE_NAME": "flights-api",
        **more,
    }


def send(server: Server, path: str, value: Any, flags: str | None = "01") -> tuple[int, Any]:
    headers = {"Content-Type": "application/json"}
    if flags is not None:
        headers["traceparent"] = f"00-{TRACE}-{PARENT}-{flags}"
    status, _, body = server.request("POST", path, json.dumps(value), headers)
    return status, json.loads(body)


def test_spans_reach_the_collector_with_what_was_answered(packages: Path, tmp_path: Path, collector: Collector) -> None:
    """A caller's trace goes on in the server: parent, model, version, arm, prediction id, rows, status."""
    variables = environment(collector)
    with start(tmp_path, {1: packages / "plain-1"}, environment=variables) as server:
        identity = send(server, INFER, row())[1]["parameters"]["prediction_ids"][0]
        batch = {"instances": [[1, 2, 3, 4]] * 3}
        assert send(server, "/invocations", batch)[0] == 200
        assert send(server, INFER, {"inputs": []})[0] == 400
        assert send(server, "/v2/models/plain/versions/1/infer", row(), None)[0] == 200
        assert send(server, "/labels", {"prediction_id": identity, "label": True})[0] == 200
        for path in ("/v2/health/ready", "/metrics", "/ping"):
            assert server.request("GET", path)[0] == 200
        large = {"inputs": [{"name": "x", "shape": [3000, 4], "datatype": "FP64", "data": [0.5] * 12000}]}
        assert send(server, INFER, large)[0] == 200
        eventually(lambda: len(collector.spans) == 6)
    first, many, bad, fixed, label, threaded = collector.spans
    assert first.name == "POST /v2/models/{model}/infer"
    assert (first.trace_id.hex(), first.parent_span_id.hex()) == (TRACE, PARENT)
    assert first.kind == first.SPAN_KIND_SERVER
    assert 0 < first.end_time_unix_nano - first.start_time_unix_nano < 60e9
    told = attributes(first)
    assert told["trimtab.model"] == "plain"
    assert told["trimtab.version"] == "1"
    assert told["trimtab.arm"] == "champion"
    assert told["trimtab.prediction_id"] == identity
    assert told["trimtab.rows"] == 1
    assert told["http.response.status_code"] == 200
    assert told["http.route"] == "/v2/models/{model}/infer"
    assert attributes(many)["trimtab.rows"] == 3
    assert len(attributes(many)["trimtab.prediction_id"]) == 3
    assert attributes(many)["trimtab.version"] == "1"
    assert attributes(bad)["http.response.status_code"] == 400
    assert bad.status.code == bad.status.STATUS_CODE_UNSET, "the caller's mistake is no error of the server"
    assert fixed.name == "POST /v2/models/{model}/versions/{version}/infer"
    assert fixed.parent_span_id == b""
    assert fixed.trace_id.hex() != TRACE
    assert label.name == "POST /labels"
    assert attributes(threaded)["trimtab.rows"] == 3000
    about = {one.key: one.value.string_value for one in collector.requests[0].resource_spans[0].resource.attributes}
    assert about["service.name"] == "flights-api"


def test_what_the_caller_did_not_sample_is_not_sent(packages: Path, tmp_path: Path, collector: Collector) -> None:
    """The caller's sampling decision holds; the last spans are sent when the server ends."""
    variables = environment(collector, OTEL_BSP_SCHEDULE_DELAY="60000")
    with start(tmp_path, {1: packages / "plain-1"}, None, "--workers", "2", environment=variables) as server:
        for flags in ("00", "01", "00"):
            assert send(server, INFER, row(), flags)[0] == 200
        assert send(server, INFER, row(), "zz")[0] == 200
        assert server.stop() == 0
    assert sorted(span.trace_id.hex() == TRACE for span in collector.spans) == [False, True]


def test_a_collector_that_is_away_harms_nobody(packages: Path, tmp_path: Path) -> None:
    """The collector is restarted: predictions go on, and the server ends in time."""
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_BSP_SCHEDULE_DELAY": "20"}
    with start(tmp_path, {1: packages / "plain-1"}, environment=variables) as server:
        assert {send(server, INFER, row())[0] for _ in range(20)} == {200}
        assert server.stop() == 0
        assert server.predictions().num_rows == 20


def test_nothing_is_imported_where_nothing_is_configured() -> None:
    """Most servers send no traces: no library is loaded for them, nor one for TLS."""
    code = (
        "import sys; from trimtab.serving.__main__ import arguments; import trimtab.serving.run;"
        "s = arguments(['--deployment', 'd']); assert not s.tracing;"
        "print([m for m in sys.modules if m.startswith(('opentelemetry', 'trimtab.serving.net.tracing', 'mlflow',"
        " 'dvc', 'matplotlib', 'pandas', 'sklearn'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_an_exporter_that_is_not_there_ends_the_start(packages: Path, tmp_path: Path) -> None:
    """A misspelt exporter is told at once, with what there is."""
    command = [sys.executable, "-m", "trimtab.serving", "--deployment", str(tmp_path), "--port", "0"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={"OTEL_TRACES_EXPORTER": "zipkinn", "PATH": ""}
    )
    assert done.returncode == 2
    assert "exporter 'zipkinn', which is not installed" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, False),
        ({"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, False),
    ],
)
def test_when_traces_are_wanted(variables: dict[str, str], wanted: bool) -> None:
    """Only an exporter turns them on; the standard switches turn them off."""
    assert traces_wanted(variables) is wanted
