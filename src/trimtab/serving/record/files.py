"""One file of the log: written aside, synced, renamed; a reader never sees half of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trimtab.serving.record.records import LABEL_REPEATED, PREDICTION_REPEATED

HOUR_S = 3600
PREDICTIONS = "predictions"
LABELS = "labels"
PROFILES = "profiles"
TRAFFIC = "traffic"
REPEATED = {PREDICTIONS: [*PREDICTION_REPEATED, "sample"], LABELS: LABEL_REPEATED, PROFILES: ["digest"], TRAFFIC: []}
"""Columns with few different values."""


class LogFiles:
    """Names and writes the files of one worker."""

    def __init__(self, directory: Path, worker: str) -> None:
        self._directory = directory
        self._worker = worker
        self._sequence = 0

    def write(self, folder: str, hour: int, table: pa.Table) -> Path:
        """A new file in the folder's partition of that hour (since the epoch); durable on return.

        Raises:
            OSError: the disk is full, the folder cannot be written, …; nothing is left behind.
        """
        at = datetime.fromtimestamp(hour * HOUR_S, UTC)
        directory = self._directory / folder / f"date={at:%Y-%m-%d}" / f"hour={at:%H}"
        directory.mkdir(parents=True, exist_ok=True)
        self._sequence += 1
        final = directory / f"{self._worker}-{self._sequence:08d}.parquet"
        aside = directory / f".{final.name}.tmp"
        try:
            with aside.open("wb") as file:
                pq.write_table(table, file, **parquet_options(folder, table.column_names))
                file.flush()
                os.fsync(file.fileno())
            aside.rename(final)
            sync_directory(directory)
        except BaseException:
            with contextlib.suppress(OSError):
                aside.unlink()
            raise
        return final


def parquet_options(folder: str, columns: Sequence[str]) -> dict[str, Any]:
    """How files of the log are written, for ``pyarrow.parquet``."""
    return {
        "compression": "lz4",
        "use_dictionary": [name for name in REPEATED[folder] if name in columns],
        "write_statistics": ["time"] if "time" in columns else False,
        "store_schema": False,
    }


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
