"""Profiles of the traffic, added up by the log's thread and written now and then (docs/formats.md).

Every answered row is counted in the bins of the baseline of the champion of its routes: that is what the controller
compares with, also for the rows that a challenger answered. Memory does not grow with traffic: rows wait only until
there are enough for a quick count, profiles add up, and beyond ``PROFILES_MAX`` they are written early.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from trimtab.core.domain.errors import IntegrityError
from trimtab.core.profiles import Baseline, Profile, take_rows
from trimtab.serving.package import BASELINE
from trimtab.serving.record.columns import booleans, numbers, strings, times
from trimtab.serving.record.profile_columns import answers, event_times, input_columns
from trimtab.serving.record.records import Layout

if TYPE_CHECKING:
    from trimtab.serving.scoring.deployment import Slot

ROWS_AT_ONCE = 16_384
"""Rows counted in one go: from 16,384 on a row costs a third of what it costs in small batches."""
PROFILES_MAX = 64
"""Profiles (of a version, generation and hour of event time) that add up before they are written."""
BASELINES_MAX = 8

_log = logging.getLogger("trimtab.serving")


@dataclass(frozen=True, slots=True)
class Kind:
    """Rows that are counted together."""

    champion: int
    """Whose baseline."""
    version: int
    """That answered."""
    generation: int
    layout: Layout


@dataclass(slots=True)
class _Waiting:
    batches: list[pa.RecordBatch] = field(default_factory=list)
    rows: int = 0


@dataclass(slots=True)
class _Sum:
    profile: Profile
    newest: float


class Profiler:
    """Only the log's thread touches it. ``private``: columns whose unseen values are not kept by name."""

    def __init__(
        self,
        deployment: Path,
        bucket_s: float,
        ahead_s: float | None = None,
        private: frozenset[str] = frozenset(),
    ) -> None:
        self._deployment = deployment
        self._bucket_s = bucket_s
        self._ahead_s = ahead_s
        self._private = private
        self._waiting: dict[tuple[int, int, int, int], tuple[Kind, _Waiting]] = {}
        self._sums: dict[tuple[int, int, int, float], _Sum] = {}
        """By champion, version, generation and bucket."""
        self._baselines: dict[int, Baseline | None] = {}
        self.uncounted = 0
        """Rows of versions whose baseline cannot be used, or of profiles that could not be written for long."""

    @property
    def full(self) -> bool:
        """Whether the profiles should be written now."""
        return len(self._sums) >= PROFILES_MAX

    @property
    def empty(self) -> bool:
        return not self._sums and not self._waiting

    def add(self, slot: Slot, batch: pa.RecordBatch, generation: int) -> None:
        """Count answered rows: no shadow, no errors."""
        champion = slot.version if slot.champion is None else slot.champion
        key = (champion, slot.version, generation, id(slot.layout))
        kind, waiting = self._waiting.setdefault(
            key, (Kind(champion, slot.version, generation, slot.layout), _Waiting())
        )
        waiting.batches.append(batch)
        waiting.rows += len(batch)
        if waiting.rows >= ROWS_AT_ONCE:
            del self._waiting[key]
            self._count(kind, waiting)

    def table(self) -> pa.Table | None:
        """All profiles since the last ``clear``; None where there are none."""
        for kind, waiting in self._waiting.values():
            self._count(kind, waiting)
        self._waiting.clear()
        return _table(self._rows(), self._bucket_s) if self._sums else None

    def clear(self) -> None:
        """The profiles were written."""
        self._sums.clear()

    def _rows(self) -> Iterator[tuple[int, int, int, float, _Sum]]:
        for (champion, version, generation, bucket), total in sorted(self._sums.items(), key=lambda item: item[0]):
            yield champion, version, generation, bucket, total

    def _count(self, kind: Kind, waiting: _Waiting) -> None:
        baseline = self.baseline(kind.champion)
        if baseline is None:
            self.uncounted += waiting.rows
            return
        columns = input_columns(waiting.batches, kind.layout)
        answered = answers(waiting.batches, kind.layout) if kind.version == kind.champion else None
        at = event_times(waiting.batches, self._ahead_s)
        buckets = np.floor(at / self._bucket_s) * self._bucket_s
        for bucket in np.unique(buckets).tolist():
            chosen = np.flatnonzero(buckets == bucket)
            some = len(chosen) < waiting.rows
            part = take_rows(columns, chosen) if some else columns
            mine = answered[chosen] if some and answered is not None else answered
            profile = self._anonymous(baseline, baseline.profile(part, predictions=mine))
            self._merge((kind.champion, kind.version, kind.generation, bucket), profile, float(at[chosen].max()))

    def _merge(self, key: tuple[int, int, int, float], profile: Profile, newest: float) -> None:
        known = self._sums.get(key)
        if known is None:
            if len(self._sums) >= 4 * PROFILES_MAX:  # the disk has refused them for long
                self.uncounted += self._sums.pop(next(iter(self._sums))).profile.rows
            self._sums[key] = _Sum(profile, newest)
        else:
            known.profile = known.profile + profile
            known.newest = max(known.newest, newest)

    def _anonymous(self, baseline: Baseline, profile: Profile) -> Profile:
        if not self._private:
            return profile
        names = tuple(
            () if feature.name in self._private else kept
            for feature, kept in zip(baseline.layout.features, profile.names, strict=True)
        )
        return dataclasses.replace(profile, names=names)

    def baseline(self, version: int) -> Baseline | None:
        """The frozen summary of a version; None where it cannot be used."""
        if version not in self._baselines:
            path = self._deployment / "versions" / str(version) / BASELINE
            if len(self._baselines) >= BASELINES_MAX:
                del self._baselines[next(iter(self._baselines))]
            try:
                self._baselines[version] = Baseline.from_bytes(path.read_bytes())
            except (OSError, IntegrityError) as error:
                _log.warning("the traffic of version %d is not profiled: %s: %s", version, path, error)
                self._baselines[version] = None
        return self._baselines[version]


def _table(rows: Iterator[tuple[int, int, int, float, _Sum]], bucket_s: float) -> pa.Table:
    champions, versions, generations, buckets, sums = (list(column) for column in zip(*rows, strict=True))
    n = len(sums)
    content = [total.profile.to_bytes() for total in sums]
    offsets = np.zeros(n + 1, dtype=np.int32)
    np.cumsum([len(one) for one in content], out=offsets[1:])
    arrays = {
        "baseline": numbers(np.array(champions, dtype=np.int32), pa.int32()),
        "version": numbers(np.array(versions, dtype=np.int32), pa.int32()),
        "generation": numbers(np.array(generations, dtype=np.int32), pa.int32()),
        "own": booleans(np.array(champions) == np.array(versions)),
        "bucket": times(buckets),
        "bucket_s": numbers(np.full(n, bucket_s), pa.float64()),
        "newest": times([total.newest for total in sums]),
        "rows": numbers(np.array([total.profile.rows for total in sums], dtype=np.int64), pa.int64()),
        "digest": strings([total.profile.digest for total in sums]),
        "profile": pa.Array.from_buffers(
            pa.binary(), n, [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(content))]
        ),
    }
    return pa.Table.from_arrays(list(arrays.values()), names=list(arrays))
