"""After traffic was moved: do the servers answer with what was decided?"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from trimtab.controller.desk import Desk
from trimtab.core.decide.status import Status, routes_of
from trimtab.core.domain.routes import Routes
from trimtab.ports import ServerReport

LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Followed:
    """What the servers said."""

    ok: bool
    """All of them answer with these routes; also where no server runs."""
    text: str


def follow(desk: Desk, status: Status, within_s: float = 5.0) -> Followed:
    """Ask the servers until all answer with the routes of ``status``, at most ``within_s`` seconds.

    Servers that already answer with later routes follow too: somebody decided since.
    """
    routes = routes_of(status)
    if routes is None:
        return Followed(True, "nothing is deployed")
    waiting = threading.Event()
    for _ in range(max(1, round(within_s / LOOK_S))):
        servers = desk.target.servers()
        late = [server for server in servers if not _follows(server, routes)]
        if not late:
            return Followed(True, _said(servers, routes))
        waiting.wait(LOOK_S)
    return Followed(False, f"after {within_s:g} s, {'; '.join(_lag(server, routes) for server in late)}")


def _follows(server: ServerReport, routes: Routes) -> bool:
    if not server.ready or server.generation is None:
        return False
    same = server.generation == routes.generation and routes.versions <= set(server.loaded)
    return same or server.generation > routes.generation


def _said(servers: list[ServerReport], routes: Routes) -> str:
    if not servers:
        return "no server runs: the next one to start answers so"
    shares = ", ".join(
        f"version {share.version}" + ("" if share.weight == 100 else f" ({share.weight} %)") for share in routes.split
    )
    count = f"all {len(servers)} servers answer" if len(servers) > 1 else "the server answers"
    return f"{count} with {shares}, generation {max(server.generation or 0 for server in servers)}"


def _lag(server: ServerReport, routes: Routes) -> str:
    if not server.ready:
        return f"{server.url} does not answer"
    refused = "; ".join(f"it refuses version {v}: {why}" for v, why in server.refused if v in routes.versions)
    return f"{server.url} still answers with generation {server.generation}, not {routes.generation}" + (
        f" ({refused})" if refused else ""
    )
