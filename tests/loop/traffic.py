"""Traffic to a real server: requests with their labels a moment later."""

from __future__ import annotations

import json
import threading
import urllib.error
from dataclasses import dataclass, field
from typing import Any

from tests.loop.project import HOUR_S, START, Project, post, rows

LIVE_START = START + 31 * 24 * HOUR_S


@dataclass
class Traffic:
    """Sends rows one after the other until stopped; every failure is kept."""

    project: Project
    seed: int = 7
    failures: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    sent: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Traffic:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(20)

    def _run(self) -> None:
        made = rows(4000, self.seed, LIVE_START)
        url = self.project.server_url()
        while not self._stop.is_set():
            row = self.sent % 4000
            try:
                self._one(url, {name: values[row] for name, values in made.items()})
            except urllib.error.HTTPError as error:
                self.failures.append(f"{error.code}: {error.read()[:200]!r}")
            except (OSError, KeyError, ValueError) as error:
                self.failures.append(repr(error))
            self.sent += 1
            self._stop.wait(0.01)

    def _one(self, url: str, row: dict[str, Any]) -> None:
        answer = post(url, "/v2/models/parcels/infer", infer(row))
        self.versions.append(answer["model_version"])
        ids = answer["parameters"]["prediction_ids"]
        ids = json.loads(ids) if isinstance(ids, str) else ids
        post(url, "/labels", {"prediction_id": ids[0], "label": bool(row["late"])})


def infer(row: dict[str, Any]) -> dict[str, Any]:
    """One row as Open Inference Protocol, one input per column."""
    return {
        "parameters": {"entity": str(row["customer"]), "event_time": float(row["sent_at"])},
        "inputs": [
            {"name": "distance", "datatype": "FP64", "shape": [1], "data": [float(row["distance"])]},
            {"name": "wind", "datatype": "FP64", "shape": [1], "data": [float(row["wind"])]},
            {"name": "carrier", "datatype": "BYTES", "shape": [1], "data": [str(row["carrier"])]},
        ],
    }
