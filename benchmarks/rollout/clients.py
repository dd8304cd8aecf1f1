"""Clients of the campaign in kills.py: plain keep-alive HTTP, one immediate repetition where a connection broke."""

from __future__ import annotations

import http.client
import json
import select
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.loop.project import rows
from tests.loop.traffic import LIVE_START, infer

ROWS = 4000
PAUSE_S = 0.01


@dataclass
class Answer:
    """What a client was told."""

    at: float
    row: int
    version: int
    identity: str
    scores: tuple[float, ...]


@dataclass
class Clients:
    """Each thread sends a row, then its label, one request after the other; everything is kept for judgement."""

    url: str
    count: int = 2
    seed: int = 7
    answers: list[Answer] = field(default_factory=list)
    requests: int = 0
    """Predictions and labels, each counted once, however often it was sent."""
    repeated: int = 0
    """Requests that were in flight when their worker was killed: the connection broke before the answer."""
    closed_idle: int = 0
    """Kept connections that were found closed before a request was sent: a new one was opened, nothing had to be
    repeated."""
    failures: list[str] = field(default_factory=list)
    """Requests that failed though they were repeated once, and answers other than 200."""
    slowest_s: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Clients:
        self.made = rows(ROWS, self.seed, LIVE_START)
        for number in range(self.count):
            thread = threading.Thread(target=self._run, args=(number,), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(40)

    def row(self, number: int) -> dict[str, Any]:
        return {name: values[number] for name, values in self.made.items()}

    def _run(self, number: int) -> None:
        place = urlsplit(self.url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
        row = number * ROWS // self.count
        while not self._stop.wait(PAUSE_S):
            row = (row + 1) % ROWS
            values = self.row(row)
            body = self._ask(connection, "/v2/models/parcels/infer", infer(values))
            if body is None:
                continue
            identity = body["parameters"]["prediction_ids"][0]
            scores = tuple(body["outputs"][1]["data"])
            with self._lock:
                self.answers.append(Answer(time.time(), row, int(body["model_version"]), identity, scores))
            self._ask(connection, "/labels", {"prediction_id": identity, "label": bool(values["late"])})
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection, path: str, body: Any) -> Any:
        begun = time.monotonic()
        if connection.sock is not None and select.select([connection.sock], [], [], 0)[0]:
            connection.close()
            with self._lock:
                self.closed_idle += 1
        try:
            try:
                status, text = self._send(connection, path, body)
            except (OSError, http.client.HTTPException):
                connection.close()
                with self._lock:
                    self.repeated += 1
                status, text = self._send(connection, path, body)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            status, text = 0, repr(error)
        with self._lock:
            self.requests += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
            if status != 200:
                self.failures.append(f"{time.time():.3f} {path}: {status} {text[:200]}")
        return json.loads(text) if status == 200 else None

    def _send(self, connection: http.client.HTTPConnection, path: str, body: Any) -> tuple[int, str]:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
