"""What servers added up of their versions where no rows are logged, as the comparison of a rollout takes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trimtab.core.profiles.latency import bin_ms, typical_ms
from trimtab.core.profiles.pairs import Compared
from trimtab.core.rollout.facts import ArmCounts

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Counted:
    """Requests of one version within some seconds."""

    version: int
    generation: int
    first_s: float
    last_s: float
    counts: ArmCounts
    latency_ms: NDArray[np.float64]
    """Of answers without an error, shape (requests,) or a sample of them (``typical_ms``)."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """Requests that champion and challenger both scored."""

    champion: int
    challenger: int
    generation: int
    at_s: float
    compared: Compared


def counted(traffic: pa.Table, slow_ms: float | None) -> Iterator[tuple[Counted, bool]]:
    """Sums of requests, and whether they were scored in shadow.

    Args:
        traffic: ``trimtab.logs.TRAFFIC_COLUMNS``.
        slow_ms: answers above it are slow; None: none is. Exact to the bins of ``latency``, 1 %.
    """
    for row in _rows(traffic):
        if not row["requests"]:
            continue
        bins, counts = np.frombuffer(row["latency"], dtype="<i8").reshape(-1, 2).T
        slow = 0 if slow_ms is None else int(counts[bin_ms(bins) > slow_ms].sum())
        arm = ArmCounts(row["requests"], row["errors"], slow, row["invalid"])
        yield (
            Counted(row["version"], row["generation"], row["first"], row["last"], arm, typical_ms(bins, counts)),
            row["shadow"],
        )


def agreed(traffic: pa.Table) -> Iterator[Agreed]:
    """Sums of compared requests."""
    for row in _rows(traffic):
        if row["compared"]:
            shift = np.frombuffer(row["shift"], dtype="<f8")
            sums = Compared(row["compared"], row["disagreed"], shift)
            yield Agreed(row["champion"], row["version"], row["generation"], row["last"], sums)


def _rows(traffic: pa.Table) -> Iterator[dict[str, Any]]:
    for row in traffic.to_pylist():
        yield {**row, "first": row["first"].timestamp(), "last": row["last"].timestamp()}
