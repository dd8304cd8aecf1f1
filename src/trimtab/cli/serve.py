"""``trimtab serve``: the data plane by itself."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from trimtab.cli.options import Common, Start, workspace
from trimtab.core.domain.errors import ExternalError

if TYPE_CHECKING:
    from trimtab.serving.settings import ServerSettings


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
    log: Annotated[
        str | None,
        Parameter(help="What is recorded, as JSON, over the project's serving.log (docs/records.md)."),
    ] = None,
    predict_tokens: Annotated[
        Path | None, Parameter(help="File of bearer tokens that may predict, one a line.")
    ] = None,
    label_tokens: Annotated[Path | None, Parameter(help="File of bearer tokens that may send labels.")] = None,
    closed: Annotated[
        str | None, Parameter(help="What needs a token as well: health, metadata, metrics, status.")
    ] = None,
    opened: Annotated[
        str | None,
        Parameter(name="--open", help="What needs no token although the other does: predict or labels."),
    ] = None,
    tls_cert: Annotated[Path | None, Parameter(help="Certificate chain (PEM): listen with TLS.")] = None,
    tls_key: Annotated[Path | None, Parameter(help="Its key (PEM), where it is not in the same file.")] = None,
    project: Start = Path(),
) -> int:
    """Answer requests with the versions that are deployed, and log them; decides
    nothing. What the command line leaves open is taken from the environment
    (docs/serving.md), then from the project.

    For example:
        trimtab serve --port 8080 --workers 2
        trimtab serve --deployment /srv/flights/deployment --logs /srv/flights/logs
        trimtab serve --predict-tokens /run/secrets/predict --tls-cert tls.crt --tls-key tls.key
    """
    from trimtab.project.environment import environment
    from trimtab.serving.process.supervisor import run_server
    from trimtab.serving.process.surroundings import SAGEMAKER_MODEL, security_of, surroundings, traces_wanted
    from trimtab.serving.record.settings import log_of
    from trimtab.serving.settings import ServerSettings

    variables = environment()
    sagemaker = deployment is None and (SAGEMAKER_MODEL / "routes.json").is_file()
    around = surroundings(variables, sagemaker)
    security = security_of(variables, predict_tokens, label_tokens, closed, tls_cert, tls_key, opened)
    base = _base(deployment or around.deployment, logs or around.logs, project)
    settings = ServerSettings(
        base.deployment,
        base.logs,
        host=host or around.host or base.host,
        port=_first(port, around.port, base.port),
        workers=_first(workers, around.workers, base.workers),
        flush_s=base.flush_s if flush is None else flush,
        durability=base.durability if durability is None else durability,
        security=security,
        log=log_of(log, variables, base.log),
        routes=around.routes,
        tracing=traces_wanted(variables),
    )
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    try:
        run_server(settings)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise ExternalError(f"cannot listen on {where}: {error.strerror or error}") from error
    return 0


def _base(deployment: Path | None, logs: Path | None, project: Path) -> ServerSettings:
    """What the project says; nothing but the directories where a deployment is named."""
    from trimtab.project.environment import environment
    from trimtab.project.recording import log_settings
    from trimtab.serving.settings import ServerSettings

    if deployment is not None:
        return ServerSettings(deployment.absolute(), (logs or deployment.absolute().parent / "logs").absolute())
    desk = workspace(Common(project=project))
    ours = desk.project.serving
    return ServerSettings(
        desk.deployment,
        logs.absolute() if logs else desk.logs,
        host=ours.host,
        port=ours.port,
        workers=ours.workers,
        flush_s=ours.flush,
        durability=ours.durability,
        log=log_settings(desk.project, desk.root, environment()),
    )


def _first(*values: int | None) -> int:
    return next(value for value in values if value is not None)
