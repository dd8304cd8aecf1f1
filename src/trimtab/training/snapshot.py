"""The exact rows of a run as files of their own: ``data/snapshots/<job>/YYYY-MM.parquet``, versioned by content.

One file per month of event time, rows in order: the same rows give the same bytes, so the store keeps a month that did
not change once, however many runs were trained on it. Training rows are those up to the record's ``trained_until``; the
later ones are the evaluation rows.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trimtab.training.collect import parquet_bytes

FOLDER = Path("data") / "snapshots"


def write_snapshot(root: Path, job: str, table: pa.Table, at: npt.NDArray[np.float64]) -> Path:
    """Write the rows aside and rename; what a killed run of the same job left is replaced.

    Args:
        table: the rows, oldest first.
        at: (n,) their event times, ascending.

    Returns:
        The directory.
    """
    folder = root / FOLDER / job
    aside = folder.with_name(f".{job}.{os.getpid()}")
    for left in folder.parent.glob(f".{job}.*"):
        shutil.rmtree(left, ignore_errors=True)
    aside.mkdir(parents=True)
    months = (at * 1e6).astype("datetime64[us]").astype("datetime64[M]")
    starts = np.flatnonzero(np.r_[True, months[1:] != months[:-1]])
    for start, stop in zip(starts, [*starts[1:], len(at)], strict=True):
        content = parquet_bytes(table.slice(start, stop - start))
        (aside / f"{months[start]}.parquet").write_bytes(content)
    if folder.exists():
        shutil.rmtree(folder)
    aside.rename(folder)
    return folder
