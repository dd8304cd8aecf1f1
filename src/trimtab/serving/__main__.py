"""``python -m trimtab.serving``: a server with nothing around it, quick to start."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from trimtab.core.domain.errors import UserError
from trimtab.serving.process.supervisor import run_server
from trimtab.serving.process.surroundings import missing_deployment, security_of, surroundings, traces_wanted
from trimtab.serving.record.settings import log_of
from trimtab.serving.settings import LOG_FORMAT, ServerSettings


def arguments(argv: Sequence[str] | None = None, variables: Mapping[str, str] | None = None) -> ServerSettings:
    """The command line, and where it says nothing the environment, as settings.

    Raises:
        UserError: a value is out of bounds, or files of tokens and certificates cannot be used.
    """
    given = _parser().parse_args(argv)
    variables = {} if variables is None or given.no_environment else variables
    around = surroundings(variables, sagemaker=given.command == "serve" and given.deployment is None)
    deployment = given.deployment or around.deployment
    if deployment is None:
        raise UserError(missing_deployment(variables))
    return ServerSettings(
        deployment=deployment,
        logs=given.logs or around.logs or deployment.absolute().parent / "logs",
        host=given.host or around.host or "127.0.0.1",
        port=_first(given.port, around.port, 8080),
        workers=_first(given.workers, around.workers, 1),
        supervised=given.supervised,
        flush_s=given.flush,
        durability=given.durability,
        security=security_of(
            variables,
            given.predict_tokens,
            given.label_tokens,
            given.closed,
            given.tls_cert,
            given.tls_key,
            given.open,
        ),
        log=log_of(given.log, variables),
        routes=around.routes,
        tracing=traces_wanted(variables),
    )


def _first(*values: int | None) -> int:
    return next(value for value in values if value is not None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trimtab.serving", description="Serve a deployment directory.")
    add = parser.add_argument
    add("command", nargs="?", choices=("serve",), help="'serve' is what SageMaker calls a container with")
    add("--deployment", type=Path, help="the deployment directory (routes.json, versions/)")
    add("--logs", type=Path, help="where predictions and labels are written (default: 'logs' beside the deployment)")
    add("--host", help="address to listen on (default: 127.0.0.1)")
    add("--port", type=int, help="0 takes a free one (default: 8080)")
    add("--workers", type=int, help="processes on the port (default: 1)")
    add("--supervised", action="store_true", help="replace the worker when it dies, even one alone")
    add("--flush", type=float, default=0.5, help="seconds between writes (default: %(default)s)")
    add("--durability", choices=("batch", "sync"), default="batch", help="sync: answer after the record is on disk")
    add("--log", metavar="JSON", help='what is recorded, e.g. {"sample": 0.1} (docs/records.md)')
    add("--predict-tokens", type=Path, metavar="FILE", help="bearer tokens that may predict, one a line")
    add("--label-tokens", type=Path, metavar="FILE", help="bearer tokens that may send labels, one a line")
    add("--closed", metavar="GROUPS", help="what needs a token as well: health, metadata, metrics, status")
    add("--open", metavar="KIND", help="needs no token although the other kind does: predict or labels")
    add("--tls-cert", type=Path, metavar="FILE", help="certificate chain (PEM): listen with TLS")
    add("--tls-key", type=Path, metavar="FILE", help="its key (PEM), where it is not in the same file")
    add("--no-environment", action="store_true", help="take no setting from environment variables")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """0 after a clean end, 2 for the caller's mistakes, 1 for the machine's."""
    logging.basicConfig(format=LOG_FORMAT, level=logging.INFO, stream=sys.stderr)
    try:
        settings = arguments(argv, os.environ)  # noqa: TID251  the data plane's entry point
        run_server(settings)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
