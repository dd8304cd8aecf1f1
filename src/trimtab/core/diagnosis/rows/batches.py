"""Rows that come twice, come again, or do not come."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from trimtab.core.diagnosis.rows.case import Case, Flags
from trimtab.core.diagnosis.rows.finding import Finding, confidence
from trimtab.core.diagnosis.rows.values import record
from trimtab.core.diagnosis.rows.when import scan
from trimtab.core.domain.diagnosis import Kind
from trimtab.core.profiles.columns import Categorical, Columns, Numbers

SHARE_MIN = 0.05
HOLE_MIN = 0.02
"""Of the span of current: a smaller hole is none."""


def repeated(case: Case) -> list[Finding]:
    """Rows that equal an earlier row in every column and in the label, far more than the reference has by nature."""
    now = _again(_hashes(case.current, case.labels), case.rows)
    before = _again(_hashes(case.reference, case.reference_labels), case.rows)
    change = scan(before.astype(np.int64), now.astype(np.int64), 2)
    share = float(now[change.first : change.end].mean()) if change.end > change.first else 0.0
    usual = max(record(before, change.end - change.first), float(now[: change.first].mean()) if change.first else 0.0)
    limit = usual + SHARE_MIN
    if not change.real or share <= limit or usual > 0.5:
        return []
    text = f"{share:.0%} of the rows are copies of earlier ones, at most {usual:.1%} before"
    sure = confidence(share - usual, SHARE_MIN) * confidence(change.ratio, 1.0)
    return [Finding(Kind.DATA_FAULT, "DuplicatedRows", (), change.first, change.end, sure, text, share, limit)]


def _hashes(columns: Columns, labels: Numbers) -> NDArray[np.uint64]:
    """(n,) a hash of each row."""
    total = np.zeros(len(labels), dtype=np.uint64)
    prime = np.uint64(0x9E3779B97F4A7C15)
    for name in sorted(columns):
        column = columns[name]
        if isinstance(column, Categorical):
            table = np.array([zlib.crc32(level.encode("utf-8", "surrogatepass")) for level in column.levels] + [7])
            part = table.astype(np.uint64)[column.codes]
        else:
            part = np.where(np.isnan(column), 0.123456789, column + 0.0).view(np.uint64)
        total = (total ^ (part * prime)) * np.uint64(0xBF58476D1CE4E5B9) + (part >> np.uint64(29))
    known = np.where(np.isnan(labels), -7.25, labels).view(np.uint64)
    return total ^ (known * prime)


def _again(hashes: NDArray[np.uint64], window: int) -> Flags:
    """(n,) rows whose hash came before within so many rows."""
    order = np.argsort(hashes, kind="stable")
    same = np.concatenate([[False], hashes[order][1:] == hashes[order][:-1]])
    near = np.concatenate([[False], np.diff(order) <= window])
    out = np.zeros(len(hashes), dtype=np.bool_)
    out[order] = same & near
    return out


def holes(case: Case) -> list[Finding]:
    """A time without rows, far longer than any in the reference."""
    if case.rows < 100:
        return []
    gaps = np.diff(case.times)
    at = int(np.argmax(gaps))
    gap, span = float(gaps[at]), float(case.times[-1] - case.times[0])
    usual = float(np.diff(case.reference_times).max(initial=0.0))
    expected = gap * (case.rows - 1) / max(span - gap, 1e-9)
    limit = max(1.5 * usual, HOLE_MIN * span)
    if gap <= limit or expected < 30:
        return []
    text = (
        f"no rows for {gap / 86400:.3g} days where about {expected:,.0f} were due; at most {usual / 86400:.3g} before"
    )
    sure = confidence(gap, limit, 1.5)
    return [Finding(Kind.DATA_FAULT, "MissingRows", (), at + 1, case.rows, max(sure, 0.6), text, gap, limit)]
