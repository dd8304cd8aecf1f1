"""Prometheus text of a whole server: the counters of all its workers, added up."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from trimtab.serving import paths
from trimtab.serving.process.counters import SUFFIX, Key, read_counters
from trimtab.serving.process.metrics import (
    ARM,
    BUCKETS_S,
    COUNT,
    COUNTER,
    COUNTS,
    FAILED_ROWS,
    FAILURES,
    FIRST_BUCKET,
    GAUGE,
    OTHER,
    RESPONSE,
    ROWS,
    SECONDS,
    Metrics,
)

Sample = tuple[str, float]
"""Labels as they stand between the braces, and the value."""

COUNTERS = {
    "trimtab_reloads_total": "Changes of the deployment, by each worker.",
    "trimtab_reloads_refused_total": "Routes that could not be served, by each worker.",
    "trimtab_inputs_ignored_total": "Inputs that are no columns of the model.",
    "trimtab_shadow_rows_dropped_total": "Rows not scored in shadow.",
    "trimtab_log_rows_written_total": "Rows on disk.",
    "trimtab_log_rows_lost_total": "Rows that will never be on disk.",
    "trimtab_log_rows_unsampled_total": "Answered rows that sampling leaves out of the log.",
    "trimtab_log_write_errors_total": "Failed attempts to write.",
    "trimtab_log_files_deleted_total": "Files of the log removed by age or size.",
    "trimtab_log_files_deleted_unread_total": "Of these, files that the controller had not read.",
    "trimtab_requests_shed_total": "Requests refused under overload.",
    "trimtab_requests_malformed_total": "Requests that broke HTTP or a limit.",
    "process_cpu_seconds_total": "User and system time of all workers.",
}
GAUGES: dict[str, tuple[Literal["sum", "min", "max"], str]] = {
    "trimtab_generation": ("min", "Generation of the routes served; -1: none."),
    "trimtab_routes_refused": ("max", "1 while the routes on disk are refused."),
    "trimtab_log_alarm": ("max", "1 while records do not reach the disk as they should."),
    "trimtab_log_rows_waiting": ("sum", "Rows not yet on disk."),
    "trimtab_log_sample_ratio": ("min", "Share of the answered rows that is logged."),
    "trimtab_connections": ("sum", "Open connections."),
    "process_start_time_seconds": ("min", "Start of the oldest worker."),
    "process_resident_memory_bytes": ("sum", "Memory of all workers."),
}
_PLAIN = {
    "trimtab_reloads_total": "reloads",
    "trimtab_reloads_refused_total": "refused_reloads",
    "trimtab_inputs_ignored_total": "ignored_inputs",
    "trimtab_shadow_rows_dropped_total": "shadow_dropped",
}

_log = logging.getLogger("trimtab.serving")


@dataclass(slots=True)
class Totals:
    """Sums over the workers of a server."""

    series: dict[Key, list[float]] = field(default_factory=dict)
    gauges: dict[str, list[float]] = field(default_factory=dict)
    """One value for each worker that lives."""
    workers: int = 0

    def add(self, found: dict[Key, list[float]], lives: bool) -> None:
        """Add a worker's; what is now counts only while it lives."""
        self.workers += lives
        for key, cells in found.items():
            if key[0] == GAUGE:
                if lives:
                    self.gauges.setdefault(key[1], []).append(cells[0])
                continue
            known = self.series.get(key)
            self.series[key] = cells if known is None else [a + b for a, b in zip(known, cells, strict=True)]


def totals_of(metrics: Metrics) -> Totals:
    """Of all workers whose counters stand beside ours; of this one, where there are no others."""
    totals = Totals()
    if metrics.path is None:
        totals.add(metrics.series(), True)
        return totals
    for path in sorted(metrics.path.parent.glob(f"*{SUFFIX}")):
        try:
            totals.add(*read_counters(path))
        except (OSError, ValueError) as error:
            _log.warning("a worker's counters are left out of /metrics: %s", error)
    return totals


def render(totals: Totals) -> bytes:
    """Prometheus text format 0.0.4."""
    arms = {(key[1], key[2], key[3]): cells for key, cells in totals.series.items() if key[0] == ARM}
    lines: list[str] = []
    lines += _arms(arms)
    lines += _responses(totals)
    counts = dict(zip(COUNTS, totals.series.get((COUNT,), [0.0] * len(COUNTS)), strict=True))
    labels = [
        (f'outcome="{name.removeprefix("labels_")}"', value)
        for name, value in counts.items()
        if name.startswith("labels_")
    ]
    lines += _family("trimtab_labels_total", "counter", "Labels received.", labels)
    for name, words in COUNTERS.items():
        if name in _PLAIN:
            lines += _family(name, "counter", words, [("", counts[_PLAIN[name]])])
        elif (COUNTER, name) in totals.series:
            lines += _family(name, "counter", words, [("", totals.series[COUNTER, name][0])])
    for name, (how, words) in GAUGES.items():
        values = totals.gauges.get(name)
        if values:
            value = sum(values) if how == "sum" else min(values) if how == "min" else max(values)
            lines += _family(name, "gauge", words, [("", value)])
    lines += _family("trimtab_workers", "gauge", "Worker processes of this server that live.", [("", totals.workers)])
    return ("\n".join(lines) + "\n").encode()


def _arms(arms: dict[tuple[str, str, str], list[float]]) -> Iterator[str]:
    named = {_labels(key): cells for key, cells in sorted(arms.items())}
    successes = {labels: sum(cells[FIRST_BUCKET:]) for labels, cells in named.items()}
    yield from _family(
        "trimtab_predictions_total", "counter", "Requests answered with a prediction.", successes.items()
    )
    rows = ((labels, cells[ROWS] + cells[FAILED_ROWS]) for labels, cells in named.items())
    yield from _family("trimtab_prediction_rows_total", "counter", "Rows scored.", rows)
    failures = ((labels, cells[FAILURES]) for labels, cells in named.items())
    yield from _family("trimtab_prediction_errors_total", "counter", "Requests that the model failed on.", failures)
    # MLServer knows neither arms nor the shadow.
    for name, first, last in (("success", FIRST_BUCKET, None), ("failure", FAILURES, FAILURES + 1)):
        sums: dict[str, float] = {}
        for (model, version, arm), cells in sorted(arms.items()):
            if arm != "shadow":
                labels = f'model="{_escape(model)}",version="{_escape(version)}"'
                sums[labels] = sums.get(labels, 0) + sum(cells[first:last])
        words = f"Requests of a model that ended with {name}, as MLServer names it."
        yield from _family(f"model_infer_request_{name}_total", "counter", words, sums.items())
    yield from _histogram(named)


def _histogram(named: dict[str, list[float]]) -> Iterator[str]:
    name = "trimtab_prediction_duration_seconds"
    yield f"# HELP {name} From the request read to its answer written (shadow: scoring only)."
    yield f"# TYPE {name} histogram"
    for labels, cells in named.items():
        total = 0.0
        for bound, count in zip((*BUCKETS_S, float("inf")), cells[FIRST_BUCKET:], strict=True):
            total += count
            edge = "+Inf" if bound == float("inf") else f"{bound:g}"
            yield f'{name}_bucket{{{labels},le="{edge}"}} {total:.0f}'
        yield f"{name}_sum{{{labels}}} {cells[SECONDS]:.9g}"
        yield f"{name}_count{{{labels}}} {total:.0f}"


def _responses(totals: Totals) -> Iterator[str]:
    counted = {(key[1], key[2]): cells[0] for key, cells in sorted(totals.series.items()) if key[0] == RESPONSE}
    ours = ((f'endpoint="{endpoint}",code="{status}"', count) for (endpoint, status), count in counted.items())
    yield from _family("trimtab_http_responses_total", "counter", "Responses by endpoint and status.", ours)
    theirs: dict[str, float] = {}
    for (endpoint, status), count in counted.items():
        labels = f'method="{_method(endpoint)}",path="{ROUTES.get(endpoint, OTHER)}",status_code="{status}"'
        theirs[labels] = theirs.get(labels, 0) + count
    yield from _family(
        "rest_server_requests_total", "counter", "Responses by route and status, as MLServer names it.", theirs.items()
    )


ROUTES = {endpoint: path.decode() for path, endpoint in reversed(paths.FIXED.items())} | {
    "model": "/v2/models/{model_name}",
    "model-ready": "/v2/models/{model_name}/ready",
    "infer": "/v2/models/{model_name}/infer",
}


def _method(endpoint: str) -> str:
    return paths.methods(endpoint)[0].decode()


def _family(name: str, kind: str, words: str, samples: Iterable[Sample]) -> list[str]:
    out = [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        number = f"{value:.0f}" if float(value).is_integer() else repr(float(value))
        out.append(f"{name}{{{labels}}} {number}" if labels else f"{name} {number}")
    return out


def _labels(key: tuple[str, str, str]) -> str:
    return ",".join(f'{name}="{_escape(value)}"' for name, value in zip(("model", "version", "arm"), key, strict=True))


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
