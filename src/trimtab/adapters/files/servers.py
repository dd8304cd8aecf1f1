"""Asks the servers of a deployment directory for their status."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from trimtab.core.domain.errors import ExternalError
from trimtab.ports import ServerReport

_AT_ONCE = 16
_TRIES = 8
_STATUS_BYTES_MAX = 1 << 20


class _Card(msgspec.Struct, frozen=True):
    """What a server process writes when it listens."""

    pid: int
    url: str
    """Where this process is asked."""
    public: str | None = None
    """Where clients reach it, or another process of the same server."""
    host: str | None = None


class _Refused(msgspec.Struct, frozen=True):
    version: int
    reason: str


class _Log(msgspec.Struct, frozen=True):
    alarm: str | None = None


class _Status(msgspec.Struct, frozen=True):
    """What ``GET <url>/trimtab/status`` answers; other fields are not ours to judge."""

    pid: int | None = None
    ready: bool = True
    generation: int | None = None
    loaded: tuple[int, ...] = ()
    refused: tuple[_Refused, ...] = ()
    log: _Log | None = None


def ask_servers(folder: Path, timeout_s: float) -> list[ServerReport]:
    """One report for each living process that left its card in ``folder``, by URL. The URL told is the one for clients.

    Raises:
        ExternalError: the folder cannot be read.
    """
    processes: dict[str, set[int]] = {}
    public: dict[str, str] = {}
    for card in _cards(folder):
        if card.host not in (None, socket.gethostname()) or _alive(card.pid):
            processes.setdefault(card.url, set()).add(card.pid)
            public[card.url] = card.public or card.url
    if not processes:
        return []
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(len(processes), _AT_ONCE)) as pool:
        found = pool.map(lambda item: _ask_all(item[0], item[1], timeout_s), sorted(processes.items()))
        return [replace(report, url=public[report.url]) for reports in found for report in reports]


def _ask_all(url: str, pids: set[int], timeout_s: float) -> list[ServerReport]:
    """Processes that share a port answer by lot: ask anew until each has spoken, within bounds."""
    spoken: dict[int | None, ServerReport] = {}
    for _ in range(1 if len(pids) == 1 else _TRIES * len(pids)):
        pid, report = _ask(url, timeout_s)
        spoken.setdefault(pid, report)
        if pids <= spoken.keys() or not report.ready:
            break
    silent = [ServerReport(url=url, ready=False, generation=None)] * max(0, len(pids) - len(spoken))
    return [*spoken.values(), *silent]


def _cards(folder: Path) -> list[_Card]:
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".json" and not path.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ExternalError(f"{folder} cannot be read: {error.strerror or error}") from error
    cards = []
    for path in paths:
        try:
            cards.append(msgspec.json.decode(path.read_bytes(), type=_Card))
        except FileNotFoundError:
            continue  # the server left between the listing and the reading
        except (OSError, msgspec.DecodeError) as error:
            raise ExternalError(
                f"{path} is no server's card {{pid, url}}: {error}; remove it if no server runs"
            ) from error
    return cards


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it lives and is another user's
    return True


def _ask(url: str, timeout_s: float) -> tuple[int | None, ServerReport]:
    """Which process answered, and what."""
    import http.client  # here, since it costs every command that only reads the routes

    unready = None, ServerReport(url=url, ready=False, generation=None)
    parts = urlsplit(url)
    # http.client, since urllib would send a local request through the proxy of the environment.
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(parts.hostname or "127.0.0.1", parts.port, timeout=timeout_s)
        try:
            connection.request("GET", f"{parts.path.rstrip('/')}/trimtab/status")
            answer = connection.getresponse()
            body = answer.read(_STATUS_BYTES_MAX)
        finally:
            connection.close()
        if answer.status != http.client.OK:
            return unready
        status = msgspec.json.decode(body, type=_Status)
    except (OSError, http.client.HTTPException, msgspec.DecodeError, ValueError):
        # Whatever keeps a server from answering in form and in time, what is known of it is the same: not ready.
        return unready
    return status.pid, ServerReport(
        url=url,
        ready=status.ready and status.generation is not None,
        generation=status.generation,
        loaded=status.loaded,
        refused=tuple((refused.version, refused.reason) for refused in status.refused),
        unrecorded=(status.log.alarm or "") if status.log is not None else "",
    )
