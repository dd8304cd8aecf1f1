"""What platforms tell their containers: Vertex AI and SageMaker as they start them, and our own variables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.serving.servers import Server, start
from trimtab.core.domain.errors import UserError
from trimtab.serving.__main__ import arguments
from trimtab.serving.process.surroundings import SAGEMAKER_MODEL, surroundings

HEALTH = "/v1/endpoints/17/deployedModels/42"
PREDICT = f"{HEALTH}:predict"
VERTEX = {
    "AIP_HTTP_PORT": "8085",
    "AIP_HEALTH_ROUTE": HEALTH,
    "AIP_PREDICT_ROUTE": PREDICT,
    "AIP_STORAGE_URI": "/models/flights",
    "AIP_MODE": "PREDICTION",
}


def predict(server: Server, value: object) -> tuple[int, object]:
    return server.post(PREDICT, value)


def test_vertex_requests_and_answers(packages: Path, tmp_path: Path) -> None:
    """Vertex sends instances and parameters to the route it chose, and reads 'predictions' alone."""
    variables = {name: VERTEX[name] for name in ("AIP_HEALTH_ROUTE", "AIP_PREDICT_ROUTE")} | {
        "TRIMTAB_HOST": "127.0.0.1"
    }
    with start(tmp_path, {1: packages / "flights-1"}, environment=variables) as server:
        assert server.request("GET", HEALTH)[0] == 200
        rows = [{"carrier": "UA", "distance": 500}, {"carrier": "DL", "distance": 700}]
        parameters = {"entity": "N7", "prediction_ids": ["v-1", "v-2"]}
        status, answer = predict(server, {"instances": rows, "parameters": parameters})
        assert (status, answer) == (200, {"predictions": ["late", "punctual"]})
        assert predict(server, {"instances": [["UA", 500]]}) == (200, {"predictions": ["late"]})
        status, answer = predict(server, {"instances": rows, "parameters": 5})
        assert status == 400
        assert "parameters must be an object, found the number 5" in answer["error"]  # type: ignore[index]
        assert server.request("GET", PREDICT)[0] == 405
        document = server.get("/openapi.json")[1]
        assert document["paths"][PREDICT]["post"]["operationId"] == "vertex-predict"
        server.stop()
        logged = {r["prediction_id"]: r["entity"] for r in server.predictions().to_pylist()}
        assert logged["v-1"] == logged["v-2"] == "N7"


def test_what_vertex_says_becomes_settings(tmp_path: Path) -> None:
    """Port, address and a model directory that is mounted; the command line counts before all of it."""
    settings = arguments([], VERTEX)
    assert (settings.host, settings.port) == ("0.0.0.0", 8085)
    assert settings.deployment == Path("/models/flights")
    assert settings.routes == ((HEALTH, "ping"), (PREDICT, "vertex"))
    assert arguments(["--port", "9", "--host", "::1", "--deployment", "d"], VERTEX).port == 9
    assert arguments([], VERTEX | {"AIP_STORAGE_URI": "file:///models/a%20b"}).deployment == Path("/models/a b")
    assert arguments(["--deployment", "d", "--no-environment"], VERTEX).port == 8080
    with pytest.raises(UserError, match="AIP_STORAGE_URI is gs://bucket/model, and this server reads directories"):
        arguments([], VERTEX | {"AIP_STORAGE_URI": "gs://bucket/model"})
    known = surroundings({"AIP_HEALTH_ROUTE": "/v2/health/ready", "AIP_PREDICT_ROUTE": "/invocations"})
    assert known.routes == (("/invocations", "vertex"),), "paths that answer already stay as they are"


def test_sagemaker_starts_it_with_serve() -> None:
    """`docker run image serve`, with the model in /opt/ml/model; a multi-container endpoint names a port."""
    settings = arguments(["serve"], {})
    assert (settings.deployment, settings.host, settings.port) == (SAGEMAKER_MODEL, "0.0.0.0", 8080)
    assert arguments(["serve"], {"SAGEMAKER_BIND_TO_PORT": "8091"}).port == 8091
    assert arguments(["serve", "--deployment", "d"], {}).host == "127.0.0.1"


def test_sagemaker_probes_and_invocations(packages: Path, tmp_path: Path) -> None:
    """SageMaker asks /ping until it is 200, then sends bodies of the caller's content type to /invocations."""
    with start(tmp_path, {1: packages / "flights-1"}, environment={"TRIMTAB_HOST": "127.0.0.1"}) as server:
        assert server.request("GET", "/ping")[0] == 200
        for body, media in (
            (b"carrier,distance\nUA,500\n", "text/csv"),
            (json.dumps({"instances": [["UA", 500]]}).encode(), "application/json"),
        ):
            headers = {"Content-Type": media, "Accept": "application/json", "X-Amzn-SageMaker-Custom-Attributes": "x"}
            status, _, answer = server.request("POST", "/invocations", body, headers)
            assert status == 200
            assert json.loads(answer)["predictions"] == ["late"]


def test_our_own_variables_count_before_a_platforms() -> None:
    """An image is told by its own variables where it runs."""
    ours = {"TRIMTAB_DEPLOYMENT": "/d", "TRIMTAB_LOGS": "/l", "TRIMTAB_PORT": "7", "TRIMTAB_WORKERS": "3"}
    settings = arguments([], VERTEX | ours | {"TRIMTAB_HOST": "::"})
    assert (settings.deployment, settings.logs) == (Path("/d"), Path("/l"))
    assert (settings.host, settings.port, settings.workers) == ("::", 7, 3)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"TRIMTAB_PORT": "eighty"}, "TRIMTAB_PORT must be a whole number, found 'eighty'"),
        ({"AIP_HTTP_PORT": "70000"}, "port must be 0 to 65535"),
        ({"AIP_PREDICT_ROUTE": "predict"}, "must be a path that begins with /, found 'predict'"),
        ({"TRIMTAB_CLOSED": "everything", "TRIMTAB_PREDICT_TOKENS": "x"}, "found everything"),
    ],
)
def test_variables_that_cannot_be_meant(variables: dict[str, str], said: str) -> None:
    """A typing error in a manifest ends the start, and is named."""
    with pytest.raises(UserError, match=said):
        arguments(["--deployment", "d"], variables)
