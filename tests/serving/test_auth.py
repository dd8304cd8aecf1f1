"""Bearer tokens over the wire: who may predict, who may label, and what rotation looks like."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.servers import INFER, Server, eventually, row, start
from trimtab.core.domain.errors import UserError
from trimtab.serving.net.auth import TokenError, Tokens, tokens_in
from trimtab.serving.net.security import Security

PREDICT, LABELS, BOTH = "predict-" + "p" * 16, "labels-" + "l" * 16, "both-" + "b" * 16
LABEL = {"prediction_id": "x", "label": True}


def ask(server: Server, path: str, value: object, token: str | None, scheme: str = "Bearer ") -> tuple[int, str, bytes]:
    """Status, WWW-Authenticate and body."""
    import json

    headers = {"Content-Type": "application/json"} | ({} if token is None else {"Authorization": scheme + token})
    method = "GET" if value is None else "POST"
    status, got, body = server.request(method, path, None if value is None else json.dumps(value), headers)
    return status, got.get("www-authenticate", ""), body


@pytest.fixture(scope="module")
def guarded(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Tokens for predictions in a file, those for labels in the environment; /metrics closed too."""
    directory = tmp_path_factory.mktemp("guarded")
    (directory / "tokens").write_text(f"# of the booking site\n{PREDICT}\n\n{BOTH}\n")
    options = ("--predict-tokens", str(directory / "tokens"), "--closed", "metrics")
    environment = {"TRIMTAB_LABEL_TOKENS": f"{LABELS}, {BOTH}"}
    with start(directory, {1: packages / "plain-1"}, None, *options, environment=environment) as server:
        yield server


def test_each_kind_of_token_opens_its_own_door(guarded: Server) -> None:
    """The site may predict, the nightly job may label, and neither may do the other's work."""
    for path, value, good, bad in ((INFER, row(), PREDICT, LABELS), ("/labels", LABEL, LABELS, PREDICT)):
        assert ask(guarded, path, value, None)[:2] == (401, 'Bearer realm="trimtab"')
        status, challenge, _ = ask(guarded, path, value, "nobody's-token-at-all")
        assert (status, challenge) == (401, 'Bearer realm="trimtab", error="invalid_token"')
        status, challenge, _ = ask(guarded, path, value, bad)
        assert status == 403
        assert 'error="insufficient_scope"' in challenge
        assert ask(guarded, path, value, good)[0] == 200
        assert ask(guarded, path, value, BOTH)[0] == 200
        assert ask(guarded, path, value, good, "bearer  ")[0] == 200, "the scheme's case does not matter"
    assert ask(guarded, "/invocations", {"instances": [[1, 2, 3, 4]]}, None)[0] == 401
    assert ask(guarded, "/v2/models/plain/versions/1/infer?x=1", row(), None)[0] == 401


@pytest.mark.parametrize("header", ["Basic dXNlcjpwYXNz", "Bearer", "Bearer ", "Token abc", "Bearer " + "x" * 5000])
def test_what_is_no_bearer_token_is_told_so(guarded: Server, header: str) -> None:
    """A client with another scheme, an empty variable, or a whole document for a token."""
    status, challenge, body = ask(guarded, INFER, row(), header, "")
    assert (status, challenge) == (401, 'Bearer realm="trimtab", error="invalid_request"')
    assert b"xxxx" not in body


def test_health_is_open_and_the_rest_as_configured(guarded: Server) -> None:
    """Probes of Kubernetes carry no token; the metrics were closed and take either kind."""
    for path in ("/v2/health/live", "/v2/health/ready", "/ping", "/v2", "/v2/models/plain", "/docs", "/openapi.json"):
        assert guarded.request("GET", path)[0] == 200, path
    assert ask(guarded, "/metrics", None, None)[0] == 401
    for token in (PREDICT, LABELS):
        status, _, body = ask(guarded, "/metrics", None, token)
        assert status == 200
    assert b'trimtab_http_responses_total{endpoint="infer",code="401"}' in body
    assert ask(guarded, "/nothing", None, None)[0] == 404


def test_the_description_names_the_tokens(guarded: Server) -> None:
    """A generated client asks for the right one."""
    document = guarded.get("/openapi.json")[1]
    assert sorted(document["components"]["securitySchemes"]) == ["labels", "predict"]
    assert document["paths"][INFER]["post"]["security"] == [{"predict": []}]
    assert document["paths"]["/labels"]["post"]["security"] == [{"labels": []}]
    assert document["paths"]["/metrics"]["get"]["security"] == [{"predict": []}, {"labels": []}]
    assert "security" not in document["paths"]["/v2"]["get"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_rotation_without_a_restart(packages: Path, tmp_path: Path, workers: str) -> None:
    """A new token is added, clients move over, the old one goes; a file lost on the way opens and closes nothing."""
    tokens = tmp_path / "tokens"
    tokens.write_text(PREDICT)
    options = ("--predict-tokens", str(tokens), "--workers", workers)

    def all_say(server: Server, token: str, status: int) -> bool:
        return {ask(server, INFER, row(), token)[0] for _ in range(8)} == {status}

    with start(tmp_path, {1: packages / "plain-1"}, None, *options) as server:
        assert all_say(server, PREDICT, 200)
        aside = tmp_path / "aside"
        aside.write_text(f"{PREDICT}\n{BOTH}\n")
        aside.rename(tokens)
        eventually(lambda: all_say(server, BOTH, 200))
        assert all_say(server, PREDICT, 200)
        tokens.write_text(BOTH)
        eventually(lambda: all_say(server, PREDICT, 401))
        tokens.write_text("")
        eventually(lambda: "holds no token" in (tmp_path / "stderr.txt").read_text())
        assert all_say(server, BOTH, 200)
        assert all_say(server, PREDICT, 401)
        tokens.unlink()
        eventually(lambda: "cannot be read" in (tmp_path / "stderr.txt").read_text())
        assert all_say(server, BOTH, 200)
        written = (tmp_path / "stderr.txt").read_text() + str(server.status()) + str(server.get("/v2"))
    for secret in (PREDICT, BOTH):
        assert secret not in written


def test_tokens_of_one_kind_guard_the_other_too(packages: Path, tmp_path: Path) -> None:
    """Tokens were made for predictions and nobody thought of labels: they are not taken from anybody."""
    environment = {"TRIMTAB_PREDICT_TOKENS": PREDICT}
    with start(tmp_path, {1: packages / "plain-1"}, environment=environment) as server:
        for path, value in ((INFER, row()), ("/labels", LABEL)):
            assert ask(server, path, value, None)[0] == 401
            assert ask(server, path, value, LABELS)[0] == 401
            assert ask(server, path, value, PREDICT)[0] == 200
        assert "labels are taken with the tokens for predict" in (tmp_path / "stderr.txt").read_text()
        assert server.get("/openapi.json")[1]["paths"]["/labels"]["post"]["security"] == [{"predict": []}]


def test_a_kind_that_is_opened_is_open(packages: Path, tmp_path: Path) -> None:
    """Labels come from a system that can send no header, inside the cluster: said, and so allowed."""
    environment = {"TRIMTAB_PREDICT_TOKENS": PREDICT}
    with start(tmp_path, {1: packages / "plain-1"}, None, "--open", "labels", environment=environment) as server:
        assert ask(server, INFER, row(), None)[0] == 401
        assert ask(server, "/labels", LABEL, None)[0] == 200
        assert "labels are taken without a token" in (tmp_path / "stderr.txt").read_text()


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read"), ("\n# none\n", "holds no token"), ("two words", ":1: a token has no spaces")],
)
def test_bad_token_files_end_the_start(tmp_path: Path, content: str | None, said: str) -> None:
    """A mount that is missing: better no server than an open one."""
    path = tmp_path / "tokens"
    if content is not None:
        path.write_text(content)
    with pytest.raises(TokenError, match=said):
        tokens_in(path)
    command = [sys.executable, "-m", "trimtab.serving", "--deployment", str(tmp_path), "--predict-tokens", str(path)]
    done = subprocess.run(
        [*command, "--workers", "2"], capture_output=True, text=True, timeout=60, env=dict(os.environ)
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_that_do_not_go_together() -> None:
    """Misconfiguration is told at the start."""
    with pytest.raises(UserError, match="health, metadata, metrics, status; found labels"):
        Security(predict_values=("x",), closed=("labels",))
    with pytest.raises(UserError, match="no tokens are given"):
        Security(closed=("metrics",))
    with pytest.raises(UserError, match="all is open, not only labels"):
        Security(opened=("labels",))
    with pytest.raises(UserError, match="predict cannot be open to all"):
        Security(predict_values=("x",), opened=("predict",))
    with pytest.raises(UserError, match="predict, labels; found metrics"):
        Security(predict_values=("x",), opened=("metrics",))
    with pytest.raises(UserError, match="without its certificate"):
        Security(tls_key=Path("k"))


def test_secrets_do_not_show(tmp_path: Path) -> None:
    """Settings end up in logs and tracebacks; tokens must not."""
    security = Security(predict_values=(PREDICT,))
    assert PREDICT not in repr(security)
    assert PREDICT not in repr(vars(Tokens(security)))


def test_a_token_is_known_by_all_its_kinds_and_no_prefix_passes() -> None:
    """Comparison is of whole tokens."""
    tokens = Tokens(Security(predict_values=(PREDICT, BOTH), label_values=(BOTH,)))
    assert tokens.kinds_of(BOTH.encode()) == {"predict", "labels"}
    assert tokens.kinds_of(PREDICT.encode()) == {"predict"}
    for wrong in (PREDICT[:-1], PREDICT + "p", "", PREDICT.upper()):
        assert tokens.kinds_of(wrong.encode()) == set()
