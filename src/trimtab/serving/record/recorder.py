"""From a batch of answered rows to what stands in the log: counted into profiles, sampled, stripped of what is private.

Runs in the log's thread, batch by batch, before anything reaches the disk.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from trimtab.core.domain.errors import TrimtabError
from trimtab.serving.package import Signature
from trimtab.serving.record.columns import booleans, microseconds, numbers, texts_of
from trimtab.serving.record.files import HOUR_S, PROFILES, TRAFFIC
from trimtab.serving.record.privacy import Veil
from trimtab.serving.record.profiling import Profiler
from trimtab.serving.record.settings import LogSettings
from trimtab.serving.record.traffic import Traffic

if TYPE_CHECKING:
    from trimtab.serving.scoring.deployment import Slot

SAMPLE = "sample"
"""Column of the log with the share of the predictions that is kept; only there where it is less than 1."""

TRAFFIC_S = 10.0
"""Arrivals that one sum of the traffic spans, where rows are not logged."""
BUCKETS = 24
"""Of event time in that of one profile, where the project's clock is the event time."""

_log = logging.getLogger("trimtab.serving")


def sampled(prediction_id: str, share: float) -> bool:
    """Whether a prediction is logged where ``share`` of them is: always the same for the same id, in every process.

    >>> [sampled(f"id-{i}", 0.5) for i in range(6)]
    [False, False, True, True, True, False]
    """
    digest = hashlib.blake2b(b"sample\0" + prediction_id.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64


class Recorder:
    """What becomes of batches, by the settings."""

    def __init__(self, settings: LogSettings, deployment: Path) -> None:
        self._settings = settings
        self._veil = Veil(settings) if settings.hashed or settings.omitted else None
        private = frozenset((*settings.hashed, *settings.omitted))
        self._profiler = (
            Profiler(deployment, settings.bucket_s, settings.ahead_s, private) if settings.profiles else None
        )
        self._traffic: Traffic | None = None
        if self._profiler is not None and not settings.rows:
            believed = settings.ahead_s is None
            span = settings.bucket_s / BUCKETS if believed else TRAFFIC_S
            self._traffic = Traffic(span, believed, self._profiler.baseline)
        self._due: float | None = None
        self.unsampled = 0
        """Answered rows that sampling left out."""
        self.hour = 0
        """Of the newest arrival, since the epoch."""
        self.failed = ""
        """Why rows are not in the profiles, where some are not."""

    def take(self, slot: Slot, batch: pa.RecordBatch) -> pa.RecordBatch | None:
        """What is to be logged of a batch of one kind (version, generation, shadow, error); None for nothing."""
        if self._profiler is not None and _answered(batch):
            self._count(self._profiler, slot, batch)
        if self._traffic is not None:
            self._add_traffic(self._traffic, slot, batch)
        if not self._settings.rows:
            return None
        batch = self._sample(batch)
        if not len(batch):
            return None
        return batch if self._veil is None else self._veil.over(batch, slot.signature)

    def _count(self, profiler: Profiler, slot: Slot, batch: pa.RecordBatch) -> None:
        self.hour = int(microseconds(batch.column("time"))[-1]) // (HOUR_S * 1_000_000)
        try:
            profiler.add(slot, batch, int(np.frombuffer(batch.column("generation").buffers()[1], np.int32, 1)[0]))
        except (TrimtabError, ValueError, TypeError, pa.ArrowException) as error:
            profiler.uncounted += len(batch)
            if not self.failed:
                _log.exception("%d rows are not in the profiles, and maybe more later", len(batch))
            self.failed = str(error)

    def _add_traffic(self, traffic: Traffic, slot: Slot, batch: pa.RecordBatch) -> None:
        self.hour = int(microseconds(batch.column("time"))[-1]) // (HOUR_S * 1_000_000)
        try:
            traffic.add(slot, batch)
        except (TrimtabError, ValueError, TypeError, pa.ArrowException) as error:
            if not self.failed:
                _log.exception("%d rows are not counted, and maybe more later", len(batch))
            self.failed = str(error)

    def due_sums(self, now: float, *, final: bool = False) -> list[tuple[str, pa.Table]]:
        """Sums that are to be written now (``now``: monotonic), by folder; call ``wrote`` when one is on disk."""
        kept = {PROFILES: self._profiler, TRAFFIC: self._traffic}
        sums = {folder: each for folder, each in kept.items() if each is not None and not each.empty}
        if not sums:
            self._due = None
            return []
        if self._due is None:
            self._due = now + self._settings.profile_s
        if not (final or now >= self._due or any(each.full for each in sums.values())):
            return []
        tables = [(folder, each.table()) for folder, each in sums.items()]
        return [(folder, table) for folder, table in tables if table is not None]

    def wrote(self, folder: str) -> None:
        """They are on disk."""
        for each in (self._profiler if folder == PROFILES else self._traffic,):
            if each is not None:
                each.clear()
        self._due = None

    def _sample(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        share = self._settings.sample
        if share >= 1:
            return batch
        ids = texts_of(batch.column("prediction_id"))
        keep = np.fromiter((sampled(identity or "", share) for identity in ids), np.bool_, len(ids))
        self.unsampled += len(ids) - int(keep.sum())
        kept = batch.filter(booleans(keep))
        shares = numbers(np.full(len(kept), share), pa.float64())
        return pa.RecordBatch.from_arrays([*kept.columns, shares], names=[*kept.schema.names, SAMPLE])


def _answered(batch: pa.RecordBatch) -> bool:
    """Whether the rows of a batch, all of one kind, were answered: no shadow, no errors."""
    shadow = np.frombuffer(batch.column("shadow").buffers()[1], np.uint8, 1)[0] & 1
    return not shadow and batch.column("error").null_count == len(batch)


def unfit(settings: LogSettings, signature: Signature) -> list[str]:
    """What of the settings does not fit a model: columns that it does not have, or that cannot be hashed."""
    types = {spec.name: spec.type for spec in signature.inputs}
    entity = {"entity", signature.entity}
    private = (*settings.hashed, *settings.omitted)
    absent = [f"'{name}' is no input of {signature.model}" for name in private if name not in types.keys() | entity]
    numbers_of = [name for name in settings.hashed if types.get(name, "string") != "string"]
    return absent + [f"'{name}' is {types[name]}: only text is hashed, so it is left out" for name in numbers_of]
