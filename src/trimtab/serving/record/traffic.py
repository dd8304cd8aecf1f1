"""What each version did, added up where rows are not logged: requests, errors, invalid outputs, latencies, and how far
the versions that scored the same requests agree. A rollout is judged by it as by rows, but for labels.

Only the log's thread touches it. Memory: a sum for each version, generation and bucket of time since the last file,
and the scores of requests whose other version has not scored yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trimtab.core.profiles import Baseline
from trimtab.core.profiles.latency import latency_bins
from trimtab.core.profiles.pairs import Compared, differences, loss_scale
from trimtab.serving.record.columns import booleans, numbers, texts_of, times
from trimtab.serving.record.profile_columns import answers, event_times

if TYPE_CHECKING:
    from trimtab.serving.scoring.deployment import Slot

WAITING_MAX = 50_000
"""Requests whose scores wait for another version's; the oldest go first."""
SUMS_MAX = 512
"""Sums from which on they are written early."""

_Key = tuple[int, int, bool, int]
"""(version, generation, shadow, bucket)"""
_Half = tuple[int, float, tuple[float, ...]]
"""(version, time, scores by class; the value alone for regression)"""


@dataclass(slots=True)
class Sum:
    """Of one version in one bucket."""

    first: float = float("inf")
    last: float = float("-inf")
    requests: int = 0
    errors: int = 0
    invalid: int = 0
    latency: Counter[int] = field(default_factory=Counter)
    """Of answers without an error, by ``latency_bins``."""


class Traffic:
    """``believed``: event times are the project's clock, as in replays; else arrivals are."""

    def __init__(self, bucket_s: float, believed: bool, baseline_of: Callable[[int], Baseline | None]) -> None:
        self._bucket_s = bucket_s
        self._believed = believed
        self._baseline_of = baseline_of
        self._sums: dict[_Key, Sum] = {}
        self._compared: dict[tuple[int, int, int, int], Compared] = {}
        """By challenger, champion, generation and bucket."""
        self._waiting: dict[str, _Half] = {}
        self._shadowed = -1
        """Newest generation in which a version scores in shadow."""

    @property
    def empty(self) -> bool:
        return not self._sums

    @property
    def full(self) -> bool:
        return len(self._sums) >= SUMS_MAX

    def add(self, slot: Slot, batch: pa.RecordBatch) -> None:
        """Rows of one kind: version, generation, shadow, error."""
        shadow = bool(np.frombuffer(batch.column("shadow").buffers()[1], np.uint8, 1)[0] & 1)
        generation = int(np.frombuffer(batch.column("generation").buffers()[1], np.int32, 1)[0])
        failed = batch.column("error").null_count < len(batch)
        at = event_times([batch]) if self._believed else _arrivals(batch)
        scores = None if failed else answers([batch], slot.layout).reshape(len(batch), -1)
        none = np.zeros(len(batch), dtype=np.bool_)
        usable = none if scores is None else np.asarray(np.isfinite(scores).all(axis=1), dtype=np.bool_)
        invalid = ~usable if slot.layout.is_classification and not failed else none
        bins = latency_bins(_latencies(batch))
        places = np.floor(at / self._bucket_s).astype(np.int64)
        for place in np.unique(places).tolist():
            here = places == place
            if len(self._sums) >= 8 * SUMS_MAX:  # the disk has refused them for long
                self._sums.pop(next(iter(self._sums)))
            total = self._sums.setdefault((slot.version, generation, shadow, place), Sum())
            total.first, total.last = min(total.first, float(at[here].min())), max(total.last, float(at[here].max()))
            total.requests += int(here.sum())
            total.invalid += int(invalid[here].sum())
            if failed:
                total.errors += int(here.sum())
            else:
                seen, counts = np.unique(bins[here], return_counts=True)
                total.latency.update(dict(zip(seen.tolist(), counts.tolist(), strict=True)))
        if shadow:
            self._shadowed = max(self._shadowed, generation)
        if scores is not None and generation <= self._shadowed:
            self._pair(slot, generation, texts_of(batch.column("prediction_id")), at, scores, usable)

    def _pair(
        self,
        slot: Slot,
        generation: int,
        ids: list[str | None],
        at: npt.NDArray[np.float64],
        scores: npt.NDArray[np.float64],
        usable: npt.NDArray[np.bool_],
    ) -> None:
        """Join scores of the same request by two versions, of which one is the champion."""
        champion = slot.version if slot.champion is None else slot.champion
        found: dict[int, list[tuple[float, Any, Any]]] = {}
        for row_id, when, row, fine in zip(ids, at.tolist(), map(tuple, scores.tolist()), usable.tolist(), strict=True):
            if row_id is None or not fine:
                continue
            other = self._waiting.pop(row_id, None)
            if other is None or other[0] == slot.version or len(other[2]) != len(row):
                self._waiting[row_id] = (slot.version, when, row)
            elif champion in (slot.version, other[0]):
                ours, theirs = (row, other[2]) if slot.version == champion else (other[2], row)
                challenger = other[0] if slot.version == champion else slot.version
                found.setdefault(challenger, []).append((max(when, other[1]), ours, theirs))
        while len(self._waiting) > WAITING_MAX:
            del self._waiting[next(iter(self._waiting))]
        scale = None if slot.layout.is_classification else self._scale(champion)
        for challenger, pairs in found.items():
            when_all, first, second = (np.array(column) for column in zip(*pairs, strict=True))
            each = differences(first, second, scale)
            places = np.floor(when_all / self._bucket_s).astype(np.int64)
            for place in np.unique(places).tolist():
                total = self._compared.setdefault((challenger, champion, generation, place), Compared())
                total.add(each.sum(places == place))

    def _scale(self, champion: int) -> float:
        baseline = self._baseline_of(champion)
        return 0.0 if baseline is None else loss_scale(baseline)

    def table(self) -> pa.Table | None:
        """All sums since the last ``clear`` (``trimtab.logs.TRAFFIC_COLUMNS``); None where there are none."""
        if self.empty:
            return None
        keys: list[_Key] = sorted(self._sums)
        sums = [self._sums[key] for key in keys]
        pairs = sorted(self._compared)
        of = [self._compared[key] for key in pairs]
        nothing = [0] * len(pairs)
        when = [self._bucket_s * (place + 0.5) for *_, place in pairs]
        whole = {
            "version": [key[0] for key in keys] + [pair[0] for pair in pairs],
            "generation": [key[1] for key in keys] + [pair[2] for pair in pairs],
            "champion": [-1] * len(keys) + [pair[1] for pair in pairs],
        }
        counts = {
            "requests": [one.requests for one in sums] + nothing,
            "errors": [one.errors for one in sums] + nothing,
            "invalid": [one.invalid for one in sums] + nothing,
            "compared": [0] * len(keys) + [one.rows for one in of],
            "disagreed": [0] * len(keys) + [one.disagreed for one in of],
        }
        latency = [np.array(sorted(one.latency.items()), dtype=np.int64).tobytes() for one in sums]
        shift = [one.shift.astype("<f8").tobytes() for one in of]
        arrays = {
            **{name: numbers(np.array(values, dtype=np.int32), pa.int32()) for name, values in whole.items()},
            "shadow": booleans(np.array([key[2] for key in keys] + [False] * len(pairs))),
            "first": times([one.first for one in sums] + when),
            "last": times([one.last for one in sums] + when),
            **{name: numbers(np.array(values, dtype=np.int64), pa.int64()) for name, values in counts.items()},
            "latency": _binary([*latency, *(b"" for _ in pairs)]),
            "shift": _binary([*(b"" for _ in keys), *shift]),
        }
        return pa.Table.from_arrays(list(arrays.values()), names=list(arrays))

    def clear(self) -> None:
        """The sums were written."""
        self._sums.clear()
        self._compared.clear()


def _arrivals(batch: pa.RecordBatch) -> npt.NDArray[np.float64]:
    column = batch.column("time")
    return np.frombuffer(column.buffers()[1], np.int64, len(batch), 8 * column.offset) / 1e6


def _latencies(batch: pa.RecordBatch) -> npt.NDArray[np.float64]:
    column = batch.column("latency_ms")
    return np.frombuffer(column.buffers()[1], np.float32, len(batch), 4 * column.offset).astype(np.float64)


def _binary(content: list[bytes]) -> pa.Array:
    offsets = np.zeros(len(content) + 1, dtype=np.int32)
    np.cumsum([len(one) for one in content], out=offsets[1:])
    return pa.Array.from_buffers(
        pa.binary(), len(content), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(content))]
    )
