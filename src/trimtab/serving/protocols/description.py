"""What the server says of its interface: the OpenAPI document of the served model, and the page that shows it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from importlib import resources

import msgspec

from trimtab.core.domain.errors import TrimtabError
from trimtab.serving.net.http import Response
from trimtab.serving.package import Example, read_example
from trimtab.serving.protocols.openapi import ENDPOINTS, Described, document
from trimtab.serving.scoring.deployment import Deployment
from trimtab.serving.settings import ServerSettings

HTML = b"text/html; charset=utf-8"
POLICY = (
    b"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_log = logging.getLogger("trimtab.serving")


class Description:
    """``/openapi.json`` and ``/docs``. The document is made anew when the deployment changes."""

    def __init__(self, settings: ServerSettings, version: str, needed: Callable[[str], tuple[str, ...]]) -> None:
        self._directory = settings.deployment
        self._version = version
        self._rows_max = settings.limits.rows
        self._secured = {endpoint: kinds for endpoint in ENDPOINTS if (kinds := needed(endpoint))}
        self._routes = dict(settings.routes)
        self._of: Deployment | None = None
        self._body = b""

    def openapi(self, deployment: Deployment) -> bytes:
        """The document of what is served now."""
        if self._of is not deployment:
            about = Described(
                deployment.champion.signature,
                sorted(deployment.slots),
                deployment.classes,
                self._example(deployment.champion.version),
                self._version,
                self._rows_max,
                self._secured,
                self._routes,
            )
            self._body, self._of = msgspec.json.encode(document(about)), deployment
        return self._body

    def _example(self, version: int) -> Example | None:
        try:
            return read_example(self._directory / "versions" / str(version))
        except TrimtabError as error:  # it was read when the version was loaded; without it there are no examples
            _log.warning("the description has no examples: %s", error)
            return None


@cache
def page() -> Response:
    """The page: it reads ``/openapi.json`` and needs nothing from elsewhere."""
    html = resources.files("trimtab.serving.protocols").joinpath("docs.html").read_bytes()
    return Response(html, 200, HTML, ((b"Content-Security-Policy", POLICY), (b"X-Content-Type-Options", b"nosniff")))
