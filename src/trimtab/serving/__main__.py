"""``python -m trimtab.serving``: a server with nothing around it, quick to start."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from trimtab.core.domain.errors import UserError
from trimtab.serving.settings import LOG_FORMAT, ServerSettings
from trimtab.serving.supervisor import run_server


def arguments(argv: Sequence[str] | None = None) -> ServerSettings:
    """The command line as settings.

    Raises:
        UserError: a value is out of bounds.
    """
    parser = argparse.ArgumentParser(prog="python -m trimtab.serving", description="Serve a deployment directory.")
    parser.add_argument(
        "--deployment", type=Path, required=True, help="the deployment directory (routes.json, versions/)"
    )
    parser.add_argument("--logs", type=Path, required=True, help="where predictions and labels are written")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes on the port (default: %(default)s)")
    parser.add_argument("--supervised", action="store_true", help="replace the worker when it dies, even one alone")
    parser.add_argument("--flush", type=float, default=0.5, help="seconds between writes (default: %(default)s)")
    parser.add_argument(
        "--durability", choices=("batch", "sync"), default="batch", help="sync: answer after the record is on disk"
    )
    given = parser.parse_args(argv)
    return ServerSettings(
        deployment=given.deployment,
        logs=given.logs,
        host=given.host,
        port=given.port,
        workers=given.workers,
        supervised=given.supervised,
        flush_s=given.flush,
        durability=given.durability,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """0 after a clean end, 2 for the caller's mistakes, 1 for the machine's."""
    logging.basicConfig(format=LOG_FORMAT, level=logging.INFO, stream=sys.stderr)
    try:
        settings = arguments(argv)
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
