"""Who may ask the control API."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.controller.desk import FakeDesk
from trimtab.cli.up import _control_api
from trimtab.console.access import Access, check_exposure, loopback
from trimtab.console.serve import served
from trimtab.core.domain.errors import ConfigError, RefusedError
from trimtab.wiring import Workspace, open_workspace

TOKEN = "4f1c7e0a9b2d5836"


def ask(url: str, path: str = "/api/v1/versions", body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    """Status code and the answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url + path, body, named), timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        content = error.read()
        return error.code, json.loads(content) if content.startswith(b"{") else content.decode()


@pytest.fixture
def guarded() -> Iterator[str]:
    with served(FakeDesk(), "127.0.0.1", 0, Access(TOKEN)) as there:
        assert there.access == "for who has the token"
        assert there.url is not None
        yield there.url


@pytest.fixture
def local() -> Iterator[str]:
    with served(FakeDesk(), "127.0.0.1", 0, Access()) as there:
        assert there.url is not None
        yield there.url


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"trimtab:{password}".encode()).decode()


def test_who_has_the_token_is_answered(guarded: str) -> None:
    """Argo sends a header; Flagger can only put it into the URL, which becomes HTTP Basic."""
    assert ask(guarded, Authorization=f"Bearer {TOKEN}") == (200, [])
    assert ask(guarded, Authorization=f"bearer  {TOKEN} ") == (200, [])
    assert ask(guarded, Authorization=basic(TOKEN)) == (200, [])
    assert ask(guarded, "/health")[0] == 200, "a probe needs none"
    assert ask(guarded, Authorization=f"Bearer {TOKEN}", Host="trimtab.models.svc:8081")[0] == 200


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer wrong", f"Bearer {TOKEN}0", f"Token {TOKEN}", basic("x"), "Basic %%", "Bearer \xe9"],
)
@pytest.mark.parametrize("path", ["/api/v1/versions", "/api/v1/flagger/rollback", "/nothing"])
def test_who_has_not_is_not(guarded: str, path: str, header: str) -> None:
    """A scanner in the cluster; a token of last year."""
    code, answer = ask(guarded, path, Authorization=header)
    assert (code, answer["error"]) == (401, "the control API needs its token: 'Authorization: Bearer TOKEN'")


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"Origin": "https://evil.example"}, "pages of https://evil.example"),
        ({"Sec_Fetch_Site": "cross-site"}, "other sites' pages"),
        ({"Sec_Fetch_Site": "same-site"}, "other sites' pages"),
        ({"Content_Type": "text/plain"}, "must be application/json, found text/plain"),
        ({"Content_Type": "application/x-www-form-urlencoded"}, "must be application/json"),
        ({"Host": "evil.example:8081"}, "is not 'evil.example:8081'"),
        ({"Origin": "null"}, "pages of null"),
    ],
)
def test_a_page_of_another_site_cannot_post(local: str, headers: dict[str, str], words: str) -> None:
    """An engineer with `trimtab up` on the laptop opens a web page."""
    code, answer = ask(local, "/api/v1/flagger/rollback", b"{}", **{"Content_Type": "application/json", **headers})
    assert code == 403
    assert words in answer["error"]


def test_a_rebound_name_cannot_read(local: str) -> None:
    """A site makes its own name point to 127.0.0.1 and reads the status."""
    assert ask(local, Host="evil.example")[0] == 403
    assert ask(local, Host="localhost:8081")[0] == 200
    assert ask(local, Host="[::1]:8081")[0] == 200


def test_the_own_page_may_post(local: str) -> None:
    """A console of ours, one day: same origin."""
    found = ask(local, "/api/v1/flagger/rollback", b"{}", Origin=local, Content_Type="application/json")
    assert found[0] == 404, "there is no rollout, but it was asked"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "trimtab.internal", ""])
def test_without_a_token_a_network_is_not_listened_on(host: str) -> None:
    """Somebody sets console.host for the container and forgets the rest."""
    with pytest.raises(RefusedError, match=r"without a token: set console\.token_file"):
        check_exposure(host, Access(), unprotected=False)
    check_exposure(host, Access(), unprotected=True)
    check_exposure(host, Access(TOKEN), unprotected=False)


def test_loopback_needs_none() -> None:
    """The laptop."""
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        assert loopback(host)
        check_exposure(host, Access(), unprotected=False)


def test_a_token_that_can_be_guessed_is_refused() -> None:
    """TRIMTAB_CONSOLE_TOKEN=secret."""
    with pytest.raises(RefusedError, match="has 6 characters; at least 16"):
        Access("secret")


def workspace(folder: Path, console: str) -> Workspace:
    (folder / "trimtab.yaml").write_text(
        "name: parcels\ntask: classification\ndata: {files: a.parquet, time: sent_at, target: late}\n"
        f"console: {{port: 0, {console}}}\n"
    )
    return open_workspace(folder)


def test_up_takes_the_token_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Kubernetes secret is a file; a CI job has a variable."""
    monkeypatch.delenv("TRIMTAB_CONSOLE_TOKEN", raising=False)
    desk = workspace(tmp_path, "token_file: token")
    with pytest.raises(ConfigError, match=r"console\.token_file.*cannot be read"):
        _control_api(desk)
    (tmp_path / "token").write_text("\n")
    with pytest.raises(ConfigError, match="it is empty"):
        _control_api(desk)
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    with _control_api(desk) as api:
        assert api.url is not None
        assert ask(api.url)[0] == 401
        assert ask(api.url, Authorization=f"Bearer {TOKEN}")[0] == 200
    monkeypatch.setenv("TRIMTAB_CONSOLE_TOKEN", "another-token-of-today")
    with _control_api(desk) as api:
        assert api.url is not None
        assert ask(api.url, Authorization="Bearer another-token-of-today")[0] == 200


def test_up_refuses_to_be_open_to_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is started."""
    monkeypatch.delenv("TRIMTAB_CONSOLE_TOKEN", raising=False)
    with pytest.raises(RefusedError, match=r"would listen on 0\.0\.0\.0 without a token"):
        _control_api(workspace(tmp_path, "host: 0.0.0.0"))
