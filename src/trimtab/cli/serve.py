"""``trimtab serve``: the data plane by itself."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from trimtab.cli.options import Common, Start, workspace
from trimtab.core.domain.errors import ExternalError


def serve(
    *,
    deployment: Annotated[
        Path | None, Parameter(help="The deployment directory. With it no project is needed.")
    ] = None,
    logs: Annotated[Path | None, Parameter(help="The log directory. Default: 'logs' beside the deployment.")] = None,
    host: Annotated[str | None, Parameter(help="Address to listen on.")] = None,
    port: Annotated[int | None, Parameter(help="Port to listen on; 0 takes a free one.")] = None,
    workers: Annotated[int | None, Parameter(help="Processes that share the port.")] = None,
    flush: Annotated[float | None, Parameter(help="Seconds until a record is on disk, at most.")] = None,
    durability: Annotated[
        Literal["batch", "sync"] | None,
        Parameter(help="'sync' answers only after the record is on disk."),
    ] = None,
    project: Start = Path(),
) -> int:
    """Answer requests with the versions that are deployed, and log them; decides
    nothing.

    For example:
        trimtab serve --port 8080 --workers 2
        trimtab serve --deployment /srv/flights/deployment --logs /srv/flights/logs
    """
    from trimtab.serving.settings import ServerSettings
    from trimtab.serving.supervisor import run_server

    if deployment is not None:
        base = ServerSettings(deployment.absolute(), (logs or deployment.absolute().parent / "logs").absolute())
    else:
        desk = workspace(Common(project=project))
        ours = desk.project.serving
        base = ServerSettings(
            desk.deployment,
            logs.absolute() if logs else desk.logs,
            host=ours.host,
            port=ours.port,
            workers=ours.workers,
            flush_s=ours.flush,
            durability=ours.durability,
        )
    settings = ServerSettings(
        base.deployment,
        base.logs,
        host=base.host if host is None else host,
        port=base.port if port is None else port,
        workers=base.workers if workers is None else workers,
        flush_s=base.flush_s if flush is None else flush,
        durability=base.durability if durability is None else durability,
    )
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    try:
        run_server(settings)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise ExternalError(f"cannot listen on {where}: {error.strerror or error}") from error
    return 0
