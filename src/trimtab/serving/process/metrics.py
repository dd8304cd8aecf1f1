"""What a worker counts, in cells that outlive it (``counters``)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trimtab.serving.process.counters import Counters, Key, Row

BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
KEPT_ARMS = 50
"""Arms (of versions) with series of their own; those not routed to for longest are added up as version ``other``."""
KEPT_RESPONSES = 200
"""Pairs of endpoint and status with series of their own."""
OTHER = "other"
ARM, RESPONSE, COUNT, COUNTER, GAUGE = "arm", "response", "count", "counter", "gauge"
"""Kinds of series: the first text of a key."""

ArmKey = tuple[str, str, str]
"""model, version, arm"""

FAILURES, FAILED_ROWS, ROWS, SECONDS, FIRST_BUCKET = range(5)
ARM_CELLS = FIRST_BUCKET + len(BUCKETS_S) + 1
COUNTS = (
    "labels_accepted",
    "labels_repeated",
    "labels_conflicting",
    "ignored_inputs",
    "shadow_dropped",
    "reloads",
    "refused_reloads",
)


class ArmCounters:
    """What one version did in one arm. Successes are not counted twice: they are the histogram's sum."""

    __slots__ = ("_cells",)

    def __init__(self, cells: Row | None = None) -> None:
        self._cells: Any = [0.0] * ARM_CELLS if cells is None else cells

    @property
    def successes(self) -> int:
        """Requests answered with a prediction."""
        return int(sum(self._cells[FIRST_BUCKET:]))

    @property
    def failures(self) -> int:
        """Requests that the model failed on."""
        return int(self._cells[FAILURES])

    @property
    def rows(self) -> int:
        """Rows of both."""
        return int(self._cells[ROWS] + self._cells[FAILED_ROWS])

    def answered(self, seconds: float, rows: int = 1) -> None:
        cells = self._cells
        cells[ROWS] += rows
        cells[SECONDS] += seconds
        cells[FIRST_BUCKET + bisect_left(BUCKETS_S, seconds)] += 1

    def answered_rows(self, seconds: Sequence[float]) -> None:
        """Requests of a row each, that were answered together."""
        cells = self._cells
        cells[ROWS] += len(seconds)
        cells[SECONDS] += sum(seconds)
        slowest = bisect_left(BUCKETS_S, max(seconds))
        if slowest == bisect_left(BUCKETS_S, min(seconds)):
            cells[FIRST_BUCKET + slowest] += len(seconds)
            return
        for took in seconds:
            cells[FIRST_BUCKET + bisect_left(BUCKETS_S, took)] += 1

    def failed(self, rows: int = 1) -> None:
        self._cells[FAILURES] += 1
        self._cells[FAILED_ROWS] += rows


class Count:
    """A counter that reads and writes like an attribute: ``metrics.reloads += 1``."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._at = COUNTS.index(name)

    def __get__(self, metrics: Metrics, owner: type | None = None) -> int:
        return int(metrics.counts[self._at])

    def __set__(self, metrics: Metrics, value: int) -> None:
        metrics.counts[self._at] = value


class Metrics:
    """Everything a worker counts. Counters never go down; with ``path`` not even when it dies and is replaced."""

    labels_accepted = Count()
    labels_repeated = Count()
    labels_conflicting = Count()
    ignored_inputs = Count()
    shadow_dropped = Count()
    reloads = Count()
    refused_reloads = Count()

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._counters = Counters(path)
        counts = self._counters.row((COUNT,), len(COUNTS))
        assert counts is not None  # noqa: S101  a new file has room
        self.counts: Row = counts
        self.arms: dict[ArmKey, ArmCounters] = {}
        """Of this process, the longest not routed to first."""
        self._responses: dict[tuple[str, int], Row] = {}
        self._before: dict[str, float] = {}
        """What those counted whose place this worker took."""
        for key in self._counters.known:
            self._find_again(key)

    def arm(self, model: str, version: int, arm: str) -> ArmCounters:
        """The counters of an arm, made on first use."""
        key = (model, str(version), arm)
        counters = self.arms.pop(key, None) or self._new_arm(key)
        self.arms[key] = counters
        return counters

    def response(self, endpoint: str, status: int, count: int = 1) -> None:
        """Count responses; statuses beyond ``KEPT_RESPONSES`` are counted under endpoint ``other``, status 0."""
        row = self._responses.get((endpoint, status))
        if row is None:
            full = len(self._responses) >= KEPT_RESPONSES
            endpoint, status = (OTHER, 0) if full else (endpoint, status)
            row = self._counters.row((RESPONSE, endpoint, str(status)), 1)
            if row is None:
                return
            self._responses[endpoint, status] = row
        row[0] += count

    def publish(self, counters: Mapping[str, float], gauges: Mapping[str, float]) -> None:
        """Write down what this process counts elsewhere and what is now, for whoever is asked for it."""
        for name, value in counters.items():
            row = self._published_row(COUNTER, name)
            if row is not None:
                row[0] = self._before.setdefault(name, row[0]) + value
        for name, value in gauges.items():
            row = self._published_row(GAUGE, name)
            if row is not None:
                row[0] = value

    def close(self) -> None:
        """Give up the place; the numbers stay for the one who takes it."""
        self._counters.close()

    def series(self) -> dict[Key, list[float]]:
        """All that was counted by this worker and those whose place it took."""
        return self._counters.series()

    def _published_row(self, kind: str, name: str) -> Row | None:
        return self._counters.row((kind, name), 1)

    def _find_again(self, key: Key) -> None:
        """A series of the worker whose place this one took."""
        row = self._counters.row(key, 0)
        if row is None:
            return
        if key[0] == ARM and key[2] != OTHER:
            self.arms[key[1], key[2], key[3]] = ArmCounters(row)
        elif key[0] == RESPONSE:
            self._responses[key[1], int(key[2])] = row

    def _new_arm(self, key: ArmKey) -> ArmCounters:
        row: Row | None
        if len(self.arms) >= KEPT_ARMS:
            oldest = next(iter(self.arms))
            del self.arms[oldest]
            model, _, arm = oldest
            self._counters.row((ARM, model, OTHER, arm), ARM_CELLS)
            row = self._counters.replace((ARM, *oldest), (ARM, model, OTHER, arm), (ARM, *key))
        else:
            row = self._counters.row((ARM, *key), ARM_CELLS)
        return ArmCounters(row)
