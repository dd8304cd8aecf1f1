"""What a worker says of itself: /trimtab/status, /v2, /metrics."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trimtab.serving.net.transport import HttpServer
from trimtab.serving.process.metrics import Metrics
from trimtab.serving.process.metrics_text import render, totals_of
from trimtab.serving.record.recorder import unfit
from trimtab.serving.record.retention import Retention
from trimtab.serving.record.writer import LogWriter
from trimtab.serving.scoring.deployment import refusals_of
from trimtab.serving.scoring.live import LiveDeployment
from trimtab.serving.scoring.shadow import ShadowQueue
from trimtab.serving.settings import ServerSettings

EXTENSIONS = ("model_metadata", "binary_tensor_data", "trimtab_labels", "trimtab_entity_routing")

PUBLISH_S = 0.5
"""How old the gauges of a sibling may be in ``/metrics``; requests and labels are counted there at once."""


class Status:
    """Reads everybody's counters; changes nothing."""

    def __init__(
        self,
        settings: ServerSettings,
        worker: str,
        version: str,
        live: LiveDeployment,
        log: LogWriter,
        shadow: ShadowQueue,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self.version = version
        self.http: HttpServer | None = None
        self.retention: Retention | None = None
        self.url = ""
        self._settings = settings
        self._worker = worker
        self._live = live
        self._log = log
        self._shadow = shadow
        self._metrics = metrics
        self._clock = clock
        self._started_at = clock()

    def report(self) -> dict[str, Any]:
        """The body of ``/trimtab/status``."""
        deployment, refusal, log = self._live.current, self._live.refusal, self._log
        return {
            "ready": deployment is not None,
            "version": self.version,
            "url": self.url,
            "pid": os.getpid(),
            "worker": self._worker,
            "started_at": self._started_at,
            "uptime_s": self._clock() - self._started_at,
            "model": None if deployment is None else deployment.name,
            "generation": None if deployment is None else deployment.generation,
            "loaded": self._live.loaded,
            "warm": sorted(self._live.warm.models),
            "warm_refused": [
                {"version": version, "reason": reason} for version, reason in sorted(self._live.warm.refused.items())
            ],
            "arms": {} if deployment is None else {str(v): slot.arm for v, slot in deployment.slots.items()},
            "shadow": [] if deployment is None else [slot.version for slot in deployment.shadow],
            "refused": [] if refusal is None else refusals_of(refusal),
            "refused_generation": None if refusal is None else refusal.generation,
            "refusal": None if refusal is None else str(refusal),
            "log": {
                "directory": str(self._settings.logs),
                "waiting": log.waiting,
                "written": log.written,
                "files": log.files,
                "dropped": log.health.dropped,
                "lost": log.health.lost,
                "write_errors": log.health.write_errors,
                "error": log.health.last_error,
                "alarm": log.alarm,
                "notices": self.notices(),
            },
            "counters": self._counters(),
        }

    def notices(self) -> list[str]:
        """What of the log's settings does not fit the versions that serve."""
        deployment = self._live.current
        found = {} if deployment is None else deployment.slots
        words = dict.fromkeys(word for slot in found.values() for word in unfit(self._settings.log, slot.signature))
        failed = "" if self._log.recorder is None else self._log.recorder.failed
        return [*words, *([f"rows are missing in the profiles: {failed}"] if failed else [])]

    def server_metadata(self) -> dict[str, Any]:
        """The body of ``/v2``."""
        refusal = self._live.refusal
        body: dict[str, Any] = {"name": "trimtab", "version": self.version, "extensions": list(EXTENSIONS)}
        if refusal is not None:
            body["refusal"] = str(refusal)
        return body

    def metrics(self) -> bytes:
        """The body of ``/metrics``: of all workers of this server."""
        self.publish()
        return render(totals_of(self._metrics))

    def publish(self) -> None:
        """Write down what other workers need to answer ``/metrics`` for us too."""
        deployment, log, health, http = self._live.current, self._log, self._log.health, self.http
        counters = {
            "trimtab_log_rows_written_total": log.written,
            "trimtab_log_rows_lost_total": health.dropped + health.lost,
            "trimtab_log_write_errors_total": health.write_errors,
            "trimtab_log_rows_unsampled_total": 0 if log.recorder is None else log.recorder.unsampled,
            "trimtab_log_files_deleted_total": 0 if self.retention is None else self.retention.deleted,
            "trimtab_log_files_deleted_unread_total": 0 if self.retention is None else self.retention.deleted_unread,
            "trimtab_requests_shed_total": 0 if http is None else http.shed,
            "trimtab_requests_malformed_total": 0 if http is None else http.bad_requests,
            "process_cpu_seconds_total": time.process_time(),
        }
        gauges = {
            "trimtab_generation": -1 if deployment is None else deployment.generation,
            "trimtab_routes_refused": int(self._live.refusal is not None),
            "trimtab_log_alarm": int(log.alarm is not None),
            "trimtab_log_rows_waiting": log.waiting,
            "trimtab_log_sample_ratio": self._settings.log.sample if self._settings.log.rows else 0.0,
            "trimtab_connections": 0 if http is None else len(http.connections),
            "process_start_time_seconds": self._started_at,
            "process_resident_memory_bytes": _resident_bytes(),
        }
        self._metrics.publish(counters, gauges)

    async def keep_publishing(self) -> None:
        """Publish again and again, until cancelled."""
        while True:
            self.publish()
            await asyncio.sleep(PUBLISH_S)

    def _counters(self) -> dict[str, Any]:
        metrics, http = self._metrics, self.http
        return {
            "arms": [
                {
                    "version": int(version),
                    "arm": arm,
                    "requests": counted.successes,
                    "failures": counted.failures,
                    "rows": counted.rows,
                }
                for (_, version, arm), counted in metrics.arms.items()
            ],
            "labels": {
                "accepted": metrics.labels_accepted,
                "repeated": metrics.labels_repeated,
                "conflicting": metrics.labels_conflicting,
            },
            "ignored_inputs": metrics.ignored_inputs,
            "shadow_waiting": self._shadow.waiting,
            "shadow_dropped": metrics.shadow_dropped,
            "connections": 0 if http is None else len(http.connections),
            "shed": 0 if http is None else http.shed,
            "malformed": 0 if http is None else http.bad_requests,
        }


def _resident_bytes() -> float:
    """Memory of this process; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0.0
    return float(pages * os.sysconf("SC_PAGE_SIZE"))
