"""From a path to what is asked for."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote_to_bytes


class Target(NamedTuple):
    """An endpoint, and the model and version that the path names."""

    endpoint: str
    model: str | None = None
    version: str | None = None


FIXED = {
    b"/": "index",
    b"/v2": "server",
    b"/v2/health/live": "live",
    b"/v2/health/ready": "ready",
    b"/v2/models": "models",
    b"/ping": "ping",
    b"/health": "ping",
    b"/version": "version",
    b"/invocations": "invocations",
    b"/labels": "labels",
    b"/metrics": "metrics",
    b"/openapi.json": "openapi",
    b"/docs": "docs",
    b"/trimtab/status": "status",
}

METHODS = {
    "infer": (b"POST",),
    "invocations": (b"POST",),
    "vertex": (b"POST",),
    "labels": (b"POST",),
}
READ = (b"GET", b"HEAD")


def find(path: bytes) -> Target | None:
    """What the path names; None where there is nothing.

    >>> find(b"/v2/models/flights/versions/7/infer")
    Target(endpoint='infer', model='flights', version='7')
    """
    endpoint = FIXED.get(path if path == b"/" else path.rstrip(b"/"))
    if endpoint is not None:
        return Target(endpoint)
    parts = [unquote_to_bytes(part).decode("utf-8", "replace") for part in path.split(b"/")[1:]]
    if len(parts) < 3 or parts[:2] != ["v2", "models"] or not parts[2]:
        return None
    model, rest = parts[2], parts[3:]
    version = None
    if rest[:1] == ["versions"]:
        if len(rest) < 2:
            return None
        version, rest = rest[1], rest[2:]
    names = {(): "model", ("ready",): "model-ready", ("infer",): "infer"}
    endpoint = names.get(tuple(rest))
    return None if endpoint is None else Target(endpoint, model, version)


def methods(endpoint: str) -> tuple[bytes, ...]:
    """The methods that an endpoint takes."""
    return METHODS.get(endpoint, READ)
