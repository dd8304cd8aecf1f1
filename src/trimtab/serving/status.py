"""What a worker says of itself: /trimtab/status, /v2, /metrics."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from trimtab.serving.deployment import refusals_of
from trimtab.serving.live import LiveDeployment
from trimtab.serving.log import LogWriter
from trimtab.serving.metrics import Metrics, render_metrics
from trimtab.serving.settings import ServerSettings
from trimtab.serving.shadow import ShadowQueue
from trimtab.serving.transport import HttpServer

EXTENSIONS = ("model_metadata", "binary_tensor_data", "trimtab_labels", "trimtab_entity_routing")


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
            },
            "counters": self._counters(),
        }

    def server_metadata(self) -> dict[str, Any]:
        """The body of ``/v2``."""
        refusal = self._live.refusal
        body: dict[str, Any] = {"name": "trimtab", "version": self.version, "extensions": list(EXTENSIONS)}
        if refusal is not None:
            body["refusal"] = str(refusal)
        return body

    def metrics(self) -> bytes:
        """The body of ``/metrics``."""
        deployment, log, metrics = self._live.current, self._log, self._metrics
        http = self.http
        gauges: dict[str, tuple[str, str, float]] = {
            "trimtab_generation": (
                "gauge",
                "Generation of the routes served; -1: none.",
                -1 if deployment is None else deployment.generation,
            ),
            "trimtab_reloads_total": ("counter", "Changes of the deployment.", metrics.reloads),
            "trimtab_reloads_refused_total": ("counter", "Routes that could not be served.", metrics.refused_reloads),
            "trimtab_routes_refused": (
                "gauge",
                "1 while the routes on disk are refused.",
                int(self._live.refusal is not None),
            ),
            "trimtab_log_rows_written_total": ("counter", "Rows on disk.", log.written),
            "trimtab_log_rows_lost_total": (
                "counter",
                "Rows that will never be on disk.",
                log.health.dropped + log.health.lost,
            ),
            "trimtab_log_write_errors_total": ("counter", "Failed attempts to write.", log.health.write_errors),
            "trimtab_log_alarm": (
                "gauge",
                "1 while records do not reach the disk as they should.",
                int(bool(log.alarm)),
            ),
            "trimtab_log_rows_waiting": ("gauge", "Rows not yet on disk.", log.waiting),
            "trimtab_shadow_rows_dropped_total": ("counter", "Rows not scored in shadow.", metrics.shadow_dropped),
            "trimtab_inputs_ignored_total": (
                "counter",
                "Inputs that are no columns of the model.",
                metrics.ignored_inputs,
            ),
            "trimtab_connections": ("gauge", "Open connections.", 0 if http is None else len(http.connections)),
            "trimtab_requests_shed_total": (
                "counter",
                "Requests refused under overload.",
                0 if http is None else http.shed,
            ),
            "trimtab_requests_malformed_total": (
                "counter",
                "Requests that broke HTTP or a limit.",
                0 if http is None else http.bad_requests,
            ),
            "process_start_time_seconds": ("gauge", "Start of this worker.", self._started_at),
        }
        return render_metrics(metrics, gauges)

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
