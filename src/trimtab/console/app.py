"""The routes. Each reads through ``trimtab.controller``'s queries, one request at a time, in a thread of its own: what
decides and what answers requests is neither stopped nor held up.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from trimtab.console import flagger
from trimtab.console.reading import ReadingDesk
from trimtab.controller import queries
from trimtab.controller.desk import Desk
from trimtab.controller.plain import plain
from trimtab.controller.verdicts import rollout_verdict
from trimtab.core.domain.errors import NotFoundError, TrimtabError, UserError
from trimtab.core.domain.journal import Query
from trimtab.core.domain.times import parse_time

HISTORY_LINES = 100
HISTORY_LINES_MAX = 1_000
BODY_BYTES_MAX = 65_536

Answer = TypeVar("Answer")


def create(desk: Desk) -> Starlette:
    """The application over the ports of one project."""
    reads = Reads(desk)
    routes = [
        Route("/health", reads.health),
        Route("/api/v1/status", reads.status),
        Route("/api/v1/history", reads.history),
        Route("/api/v1/why/{id}", reads.why),
        Route("/api/v1/versions", reads.versions),
        Route("/api/v1/analysis/{rollout}", reads.analysis),
        Route("/api/v1/flagger/{hook}", reads.flagger, methods=["POST"]),
    ]
    failures: dict[Any, Any] = {TrimtabError: refused, HTTPException: unrouted, Exception: defect}
    return Starlette(routes=routes, exception_handlers=failures)


class Reads:
    """The answers. One query at a time: they share a journal, and must leave the processor to the loop."""

    def __init__(self, desk: Desk) -> None:
        self._desk = ReadingDesk(desk)
        self._one = threading.Lock()

    async def health(self, _request: Request) -> Response:
        """Whether the control API answers; says nothing of the models."""
        return as_json({"status": "ok", "endpoint": self._desk.name})

    async def status(self, _request: Request) -> Response:
        """As ``trimtab status --json``."""
        return as_json(await self._ask(queries.status))

    async def history(self, request: Request) -> Response:
        """Decisions by page and by what they are about, newest last."""
        query = _query(request.query_params)
        return as_json(await self._ask(lambda desk: queries.history(desk, query)))

    async def why(self, request: Request) -> Response:
        """As ``trimtab why ID --json``."""
        seq = _whole(request.path_params["id"], "the decision's number")

        def told(desk: Desk) -> dict[str, Any]:
            return {"chain": queries.why(desk, seq), "consequences": queries.consequences(desk, seq)}

        return as_json(await self._ask(told))

    async def versions(self, _request: Request) -> Response:
        """As ``trimtab versions --json``."""
        return as_json(await self._ask(queries.versions))

    async def analysis(self, request: Request) -> Response:
        """The verdict on a rollout, as an Argo Rollouts web metric takes it."""
        name = request.path_params["rollout"]
        return as_json(await self._ask(lambda desk: rollout_verdict(desk, name)))

    async def flagger(self, request: Request) -> Response:
        """Yes (200) or no (409) to one of Flagger's webhooks, in words."""
        hook = flagger.hook_of(request.path_params["hook"])
        name = flagger.rollout_of(await _body(request))
        verdict = await self._ask(lambda desk: rollout_verdict(desk, name))
        code, words = flagger.answer(hook, verdict)
        return PlainTextResponse(words + "\n", code)

    async def _ask(self, query: Callable[[Desk], Answer]) -> Answer:
        def asked() -> Answer:
            with self._one:
                return query(self._desk)

        return await run_in_threadpool(asked)


def as_json(value: Any, code: int = 200) -> Response:
    """Never cached: a verdict holds now."""
    content = json.dumps(plain(value), ensure_ascii=False, allow_nan=False) + "\n"
    return Response(content, code, {"Cache-Control": "no-store"}, "application/json")


def refused(_request: Request, error: Exception) -> Response:
    """Our errors: 404 for what is not there, 400 for the caller's other mistakes, 503 for the world's."""
    code = 404 if isinstance(error, NotFoundError) else 400 if isinstance(error, UserError) else 503
    return as_json({"error": str(error)}, code)


def unrouted(request: Request, error: Exception) -> Response:
    """A path or method that is not served."""
    code = error.status_code if isinstance(error, HTTPException) else 500
    hint = "; see docs/control-api.md" if code == 404 else ""
    return as_json({"error": f"{request.method} {request.url.path} is not served here{hint}"}, code)


def defect(_request: Request, error: Exception) -> Response:
    """Ours; the trace goes to standard error."""
    return as_json({"error": f"a defect of Trimtab ({type(error).__name__}); the loop goes on"}, 500)


def _query(asked: Mapping[str, str]) -> Query:
    """``after``: the first ``limit`` decisions after that one; else the newest ``limit``, with ``before`` before it."""
    unknown = sorted(set(asked) - set(_ASKED))
    if unknown:
        raise UserError(f"'{unknown[0][:40]}' is not asked for here; there is {', '.join(_ASKED)}")
    after = int(asked["after"]) if asked.get("after") == "0" else _maybe(asked, "after")
    return Query(
        after=after or 0,
        before=_maybe(asked, "before"),
        kind=queries.kind_of(asked["kind"]) if "kind" in asked else None,
        rollout=asked.get("rollout"),
        version=_maybe(asked, "version"),
        since=parse_time(asked["since"]) if "since" in asked else None,
        until=parse_time(asked["until"]) if "until" in asked else None,
        limit=min(_maybe(asked, "limit") or HISTORY_LINES, HISTORY_LINES_MAX),
        newest=after is None,
    )


_ASKED = ("after", "before", "limit", "kind", "rollout", "version", "since", "until")


def _maybe(asked: Mapping[str, str], name: str) -> int | None:
    return _whole(asked[name], name) if name in asked else None


def _whole(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:18]) < 10**17):
        raise UserError(f"{what} must be a whole number of at least 1, found '{text[:40]}'")
    return int(text)


async def _body(request: Request) -> Any:
    content = b""
    async for piece in request.stream():
        content += piece
        if len(content) > BODY_BYTES_MAX:
            raise UserError(f"the body is longer than {BODY_BYTES_MAX} bytes; Flagger's messages are short")
    if not content.strip():
        return {}
    try:
        return json.loads(content)
    except ValueError as error:
        raise UserError(f"the body is not JSON: {error}") from error
