"""Asks the servers of a deployment directory for their status."""

from __future__ import annotations

import http.client
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from trimtab.core.domain.errors import ExternalError
from trimtab.ports import ServerReport

_AT_ONCE = 16
_STATUS_BYTES_MAX = 1 << 20


class _Card(msgspec.Struct, frozen=True):
    """What a server writes when it listens."""

    pid: int
    url: str


class _Status(msgspec.Struct, frozen=True):
    """What ``GET <url>/trimtab/status`` answers; other fields are not ours to judge."""

    generation: int | None = None
    loaded: tuple[int, ...] = ()
    refused: dict[int, str] | tuple[tuple[int, str], ...] = ()


def ask_servers(folder: Path, timeout_s: float) -> list[ServerReport]:
    """One report for each living process that left its card in ``folder``, by URL.

    Raises:
        ExternalError: the folder cannot be read.
    """
    urls = sorted({card.url for card in _cards(folder) if _alive(card.pid)})
    if not urls:
        return []
    with ThreadPoolExecutor(min(len(urls), _AT_ONCE)) as pool:
        return list(pool.map(lambda url: _ask(url, timeout_s), urls))


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


def _ask(url: str, timeout_s: float) -> ServerReport:
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
            return ServerReport(url=url, ready=False, generation=None)
        status = msgspec.json.decode(body, type=_Status, strict=False)
    except (OSError, http.client.HTTPException, msgspec.DecodeError, ValueError):
        # Whatever keeps a server from answering in form and in time, what is known of it is the same: not ready.
        return ServerReport(url=url, ready=False, generation=None)
    refused = status.refused.items() if isinstance(status.refused, dict) else status.refused
    return ServerReport(
        url=url,
        ready=status.generation is not None,
        generation=status.generation,
        loaded=status.loaded,
        refused=tuple((version, reason) for version, reason in refused),
    )
