"""Counters of a worker and their Prometheus text. Kept by hand: one list addition per request."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
KEPT_VERSIONS = 50
"""Versions that still have counters; the oldest go first."""

ArmKey = tuple[str, str, str]
"""model, version, arm"""


class ArmCounters:
    """What one version did in one arm."""

    __slots__ = ("buckets", "failures", "rows", "seconds", "successes")

    def __init__(self) -> None:
        self.successes = 0
        self.failures = 0
        self.rows = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(BUCKETS_S) + 1)

    def answered(self, seconds: float, rows: int = 1) -> None:
        self.successes += 1
        self.rows += rows
        self.seconds += seconds
        self.buckets[bisect_left(BUCKETS_S, seconds)] += 1

    def answered_rows(self, seconds: Sequence[float]) -> None:
        """Requests of a row each, that were answered together."""
        self.successes += len(seconds)
        self.rows += len(seconds)
        self.seconds += sum(seconds)
        buckets, slowest = self.buckets, bisect_left(BUCKETS_S, max(seconds))
        if slowest == bisect_left(BUCKETS_S, min(seconds)):
            buckets[slowest] += len(seconds)
            return
        for took in seconds:
            buckets[bisect_left(BUCKETS_S, took)] += 1

    def failed(self, rows: int = 1) -> None:
        self.failures += 1
        self.rows += rows

    def __add__(self, other: ArmCounters) -> ArmCounters:
        out = ArmCounters()
        out.successes = self.successes + other.successes
        out.failures = self.failures + other.failures
        out.rows = self.rows + other.rows
        out.seconds = self.seconds + other.seconds
        out.buckets = [a + b for a, b in zip(self.buckets, other.buckets, strict=True)]
        return out


class Metrics:
    """Everything a worker counts. Counters never go down while it lives."""

    def __init__(self) -> None:
        self.arms: dict[ArmKey, ArmCounters] = {}
        self.responses: dict[tuple[str, int], int] = {}
        """(endpoint, status) of everything but successful single-row infers, which are counted by arm."""
        self.labels_accepted = 0
        self.labels_repeated = 0
        self.labels_conflicting = 0
        self.ignored_inputs = 0
        self.shadow_dropped = 0
        self.reloads = 0
        self.refused_reloads = 0

    def arm(self, model: str, version: int, arm: str) -> ArmCounters:
        """The counters of an arm, made on first use."""
        key = (model, str(version), arm)
        counters = self.arms.get(key)
        if counters is None:
            while len(self.arms) >= KEPT_VERSIONS:
                del self.arms[next(iter(self.arms))]
            counters = self.arms[key] = ArmCounters()
        return counters

    def response(self, endpoint: str, status: int, count: int = 1) -> None:
        self.responses[endpoint, status] = self.responses.get((endpoint, status), 0) + count


def render_metrics(metrics: Metrics, gauges: dict[str, tuple[str, str, float]]) -> bytes:
    """Prometheus text format 0.0.4. ``gauges``: name to (type, help, value)."""
    lines: list[str] = []
    lines += _family("trimtab_predictions", "counter", "Requests answered with a prediction.", _successes(metrics))
    lines += _family("trimtab_prediction_rows", "counter", "Rows scored.", _rows(metrics))
    lines += _family("trimtab_prediction_errors", "counter", "Requests that the model failed on.", _failures(metrics))
    lines += _family("model_infer_request_success", "counter", "As MLServer names it.", _answered(metrics, "successes"))
    lines += _family("model_infer_request_failure", "counter", "As MLServer names it.", _answered(metrics, "failures"))
    lines += list(_histogram(metrics))
    responses = (
        (f'endpoint="{endpoint}",code="{status}"', count)
        for (endpoint, status), count in sorted(metrics.responses.items())
    )
    lines += _family("trimtab_http_responses", "counter", "Responses by endpoint and status.", responses)
    labels = (
        ('outcome="accepted"', metrics.labels_accepted),
        ('outcome="repeated"', metrics.labels_repeated),
        ('outcome="conflicting"', metrics.labels_conflicting),
    )
    lines += _family("trimtab_labels", "counter", "Labels received.", labels)
    for name, (kind, words, value) in gauges.items():
        lines += _family(name.removesuffix("_total") if kind == "counter" else name, kind, words, (("", value),))
    return ("\n".join(lines) + "\n").encode()


def _family(name: str, kind: str, words: str, samples: object) -> list[str]:
    full = f"{name}_total" if kind == "counter" else name
    out = [f"# HELP {full} {words}", f"# TYPE {full} {kind}"]
    for labels, value in samples:  # type: ignore[attr-defined]
        out.append(f"{full}{{{labels}}} {value}" if labels else f"{full} {value}")
    return out


def _labels(key: ArmKey) -> str:
    return ",".join(f'{name}="{_escape(value)}"' for name, value in zip(("model", "version", "arm"), key, strict=True))


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _successes(metrics: Metrics) -> Iterator[tuple[str, float]]:
    return ((_labels(key), arm.successes) for key, arm in metrics.arms.items())


def _failures(metrics: Metrics) -> Iterator[tuple[str, float]]:
    return ((_labels(key), arm.failures) for key, arm in metrics.arms.items())


def _rows(metrics: Metrics) -> Iterator[tuple[str, float]]:
    return ((_labels(key), arm.rows) for key, arm in metrics.arms.items())


def _answered(metrics: Metrics, what: str) -> Iterator[tuple[str, float]]:
    """Without the shadow and without the arm: MLServer knows neither."""
    sums: dict[tuple[str, str], int] = {}
    for (model, version, arm), counters in metrics.arms.items():
        if arm != "shadow":
            sums[model, version] = sums.get((model, version), 0) + getattr(counters, what)
    return ((f'model="{_escape(model)}",version="{version}"', count) for (model, version), count in sums.items())


def _histogram(metrics: Metrics) -> Iterator[str]:
    name = "trimtab_prediction_duration_seconds"
    yield f"# HELP {name} From the request read to its answer written (shadow: scoring only)."
    yield f"# TYPE {name} histogram"
    for key, arm in metrics.arms.items():
        labels, total = _labels(key), 0
        for bound, count in zip((*BUCKETS_S, float("inf")), arm.buckets, strict=True):
            total += count
            edge = "+Inf" if bound == float("inf") else f"{bound:g}"
            yield f'{name}_bucket{{{labels},le="{edge}"}} {total}'
        yield f"{name}_sum{{{labels}}} {arm.seconds:.9g}"
        yield f"{name}_count{{{labels}}} {total}"
