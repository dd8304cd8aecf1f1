"""/openapi.json against the real server: schemathesis holds what the server does against what it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.models import build_plain
from tests.serving.package_tools import default_package
from tests.serving.servers import INFER, Server, eventually, start, write_routes

TOKEN = "both-" + "b" * 20
RUN = "import sys; from schemathesis.cli import schemathesis; sys.exit(schemathesis())"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages as training makes them: what may be missing was measured."""
    directory = tmp_path_factory.mktemp("trained")
    build_plain(directory / "numbers", seed=1, hostile=True)
    default_package(directory / "mixed")
    return directory


@pytest.fixture(scope="module")
def mixed(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Trees on inputs of each type; predictions, labels and metrics want a token."""
    environment = {"TRIMTAB_PREDICT_TOKENS": TOKEN, "TRIMTAB_LABEL_TOKENS": TOKEN, "TRIMTAB_CLOSED": "metrics"}
    with start(tmp_path_factory.mktemp("mixed"), {1: trained / "mixed"}, environment=environment) as server:
        yield server


@pytest.fixture(scope="module")
def numbers(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A linear model on four numbers, none of which may be missing."""
    with start(tmp_path_factory.mktemp("numbers"), {1: trained / "numbers"}) as server:
        yield server


def check(server: Server, *options: str) -> str:
    """Run schemathesis with all its checks; its report."""
    url = f"http://{server.host}:{server.port}/openapi.json"
    command = [sys.executable, "-c", RUN, "run", url, "--seed", "1", "--generation-database", "none", "--no-color"]
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, timeout=250, cwd=server.logs.parent, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Traceback" not in (server.logs.parent / "stderr.txt").read_text()
    return done.stdout


def test_with_tokens_every_boundary_of_the_schema(mixed: Server) -> None:
    """Values at, inside and beyond each limit; wrong methods, types and tokens: no 5xx, nothing undocumented."""
    report = check(mixed, "--phases", "examples,coverage", "-H", f"Authorization: Bearer {TOKEN}")
    assert int(re.search(r"(\d+) generated", report)[1]) > 500  # type: ignore[index]


def test_without_tokens_what_a_fuzzer_finds(numbers: Server) -> None:
    """Random bodies that fit are answered, random ones that do not are refused."""
    report = check(numbers, "--phases", "examples,fuzzing", "-n", "8")
    assert int(re.search(r"(\d+) generated", report)[1]) > 40  # type: ignore[index]


def test_it_describes_what_is_served_now(trained: Path, tmp_path: Path) -> None:
    """A version is added: the description follows, with real names, types and examples that are answered."""
    build_plain(trained / "numbers-2", seed=2, hostile=True)
    versions = {1: trained / "numbers", 2: trained / "numbers-2"}
    with start(tmp_path, versions, {1: 100}) as server:
        document = server.get("/openapi.json")[1]
        assert document["openapi"] == "3.1.0"
        path = "/v2/models/plain/versions/{version}/infer"
        assert document["paths"][path]["parameters"][0]["schema"] == {"enum": ["1"]}
        assert list(document["components"]["schemas"]["Row"]["properties"]) == ["a", "b", "c", "d", "user"]
        write_routes(server.deployment, 2, {1: 90, 2: 10})
        eventually(lambda: server.status()["generation"] == 2)
        document = server.get("/openapi.json")[1]
        assert document["paths"][path]["parameters"][0]["schema"] == {"enum": ["1", "2"]}
        for path, field in ((INFER, "outputs"), ("/invocations", "predictions")):
            body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
            for example in body["examples"].values():
                status, answer = server.post(path, example["value"])
                assert status == 200, answer
                assert field in answer


def test_the_page_needs_nothing_from_elsewhere(numbers: Server) -> None:
    """A server in a closed network: its page loads nothing but its own description."""
    status, headers, body = numbers.request("GET", "/docs")
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert not re.findall(rb"(?:src|href)=\"(?:https?:)?//", body)
    assert b'fetch("openapi.json"' in body


def test_before_a_version_is_there_it_says_so(tmp_path: Path) -> None:
    """The page is opened while nothing was deployed yet."""
    with start(tmp_path, {}) as server:
        status, headers, body = server.request("GET", "/openapi.json")
        assert status == 503
        assert headers["retry-after"] == "1"
        assert "no version is loaded" in json.loads(body)["error"]
        assert server.request("GET", "/docs")[0] == 200
