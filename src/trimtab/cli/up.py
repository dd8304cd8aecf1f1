"""``trimtab up``: server and controller together, until Ctrl-C."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from trimtab.cli.options import COMMON, Common, workspace
from trimtab.cli.show import coloured, short, show
from trimtab.core.domain.times import duration_text

if TYPE_CHECKING:
    from trimtab.console.serve import Served
    from trimtab.controller.loop import Tick
    from trimtab.wiring import Workspace

INTERRUPTED = 130


def up(
    *,
    port: Annotated[int | None, Parameter(help="Another one than the project's.")] = None,
    workers: Annotated[int | None, Parameter(help="Another number than the project's.")] = None,
    common: Common = COMMON,
) -> int:
    """Serve, watch and decide: model server and controller together, until Ctrl-C.

    Each decision is told in a line as it happens. What was under way when it
    ended, or was killed, goes on when it is started again.

    For example:
        trimtab up
        trimtab up --port 9000 --workers 2
    """
    desk = _with(workspace(common), {"port": port, "workers": workers})
    desk.check()
    if not desk.server().takes_over():
        _listenable(desk.project.serving.host, desk.project.serving.port)
    with desk.alone(), stopped() as stop, _control_api(desk) as api:
        if common.json:
            _begin_json(api)
        else:
            _greet(desk, api)
        desk.up(lambda: bool(stop), _as_json if common.json else _as_lines)
    return INTERRUPTED if signal.SIGINT in stop else 0


def _with(desk: Workspace, given: dict[str, int | None]) -> Workspace:
    """The project with other serving settings.

    Raises:
        UserError: a value that cannot be.
    """
    from pydantic import ValidationError

    from trimtab.core.domain.errors import UserError
    from trimtab.project.settings import Serving
    from trimtab.wiring import Workspace

    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        return desk
    try:
        serving = Serving(**{**desk.project.serving.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"--{first['loc'][0]} {first['input']}: {first['msg']}") from None
    return Workspace(desk.root, desk.project.model_copy(update={"serving": serving}), desk.project_file)


def _listenable(host: str, port: int) -> None:
    """Find out before the server is started, not from its log.

    Raises:
        ExternalError: the address cannot be listened on; the text says why.
    """
    import socket

    from trimtab.core.domain.errors import ExternalError

    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ExternalError(
                f"cannot listen on {host}:{port}: {error.strerror or error}; --port takes another"
            ) from error


@contextmanager
def stopped() -> Iterator[list[int]]:
    """A list that fills with the signals that ask us to end; SIGINT twice ends at once."""
    asked: list[int] = []

    def ask(number: int, _frame: object) -> None:
        if number == signal.SIGINT and signal.SIGINT in asked:
            raise KeyboardInterrupt
        asked.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _control_api(desk: Workspace) -> AbstractContextManager[Served]:
    """The control API beside the loop, on ports of its own."""
    from trimtab.console.access import Access, check_exposure
    from trimtab.console.serve import served
    from trimtab.project.environment import console_token, environment
    from trimtab.wiring import Workspace

    console = desk.project.console
    access = Access(console_token(desk.project, desk.root, environment(), desk.project_file.name))
    check_exposure(console.host, access, unprotected=console.unprotected)
    return served(Workspace(desk.root, desk.project, desk.project_file), console.host, console.port, access)


def _greet(desk: Workspace, api: Served) -> None:
    from trimtab.controller import commands

    serving, mode = desk.project.serving, desk.project.response.mode
    champion = commands.current(desk).champion
    what = f"version {champion}" if champion is not None else "nothing yet: 'trimtab train' makes the first version"
    place = f"http://{serving.host}:{serving.port}" if serving.port else "a free port ('trimtab status' tells it)"
    show(f"{desk.name} on {place}, serving {what}")
    show(f"control API on {api.url}, {api.access}" if api.problem is None else coloured("inconclusive", api.problem))
    show(f"{mode} mode, a look every {duration_text(desk.project.monitoring.every)}; Ctrl-C ends")
    sys.stdout.flush()


def _begin_json(api: Served) -> None:
    line = {"problem": api.problem} if api.problem is not None else {"control_api": api.url}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _as_lines(tick: Tick) -> None:
    from rich.text import Text

    from trimtab.controller.queries import describe

    for entry in tick.entries:
        told = [action for action in entry.actions if action["type"] != "Alert"] or list(entry.actions)
        because = f": {entry.reasons[0]['text']}" if entry.reasons else ""
        words = ", ".join(describe(action) for action in told)
        show(Text.assemble((f"{entry.seq} ", "bold"), (short(entry.at), "dim"), f" {words}{because}"))
    for problem in tick.problems:
        show(coloured("failed", f"could not, will be tried again: {problem}"))
    sys.stdout.flush()


def _as_json(tick: Tick) -> None:
    """One line of JSON for each decision and each problem."""
    import msgspec

    lines = [{"decision": msgspec.to_builtins(entry)} for entry in tick.entries]
    lines += [{"problem": problem} for problem in tick.problems]
    for line in lines:
        sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
