"""Two columns exchanged: each now has the other's distribution, in all rows or in the same part of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trimtab.core.diagnosis.rows.case import Case
from trimtab.core.diagnosis.rows.coherence import Bond
from trimtab.core.diagnosis.rows.finding import Finding, confidence
from trimtab.core.diagnosis.rows.when import Change
from trimtab.core.domain.diagnosis import Kind
from trimtab.core.profiles.columns import Categorical, Column, Numbers, take_rows

LEFT_MAX = 0.3
"""Share of each column's movement that the exchange may leave unexplained."""
SHARE_MIN = 0.1
GRID = 30
RECENT_MIN = 300
"""Rows just before that are enough to compare with."""


@dataclass(frozen=True, slots=True)
class _Pair:
    a: str
    b: str
    first: int
    end: int
    share: float
    left: float


def swapped(case: Case, changes: dict[str, Change], bond: Callable[[str], Bond]) -> list[Finding]:
    """Pairs that explain each other's movement and that, exchanged back, fit the other columns again."""
    moved = [name for name, change in changes.items() if change.real]
    pairs = [pair for i, a in enumerate(moved) for b in moved[i + 1 :] if (pair := _explained(case, changes, a, b))]
    out: list[Finding] = []
    taken: set[str] = set()
    for pair in sorted(pairs, key=lambda each: each.left):
        if taken & {pair.a, pair.b}:
            continue
        restored = _restored(case, pair, bond)
        if restored is not None and restored < 0.15:
            continue
        taken |= {pair.a, pair.b}
        again = "" if restored is None else "; exchanged back, they fit the other columns again"
        part = f" in {pair.share:.0%} of the rows" if pair.share < 0.95 else ""
        text = f"{pair.a} and {pair.b} are exchanged{part}: that leaves {pair.left:.0%} of their movement{again}"
        sure = max(confidence(LEFT_MAX, max(pair.left, 1e-3)), 0.9 if restored is not None else 0.0)
        out.append(
            Finding(
                Kind.DATA_FAULT,
                "SwappedColumns",
                (pair.a, pair.b),
                pair.first,
                pair.end,
                sure,
                text,
                pair.left,
                LEFT_MAX,
            )
        )
    return out


def _explained(case: Case, changes: dict[str, Change], a: str, b: str) -> _Pair | None:
    one, other = changes[a], changes[b]
    near = 0.05 * case.rows
    if abs(one.first - other.first) > near or abs(one.end - other.end) > near:
        return None
    if isinstance(case.reference[a], Categorical) != isinstance(case.reference[b], Categorical):
        return None
    first, end = min(one.first, other.first), max(one.end, other.end)
    tried = [_mixture(case, a, b, first, end, recent) for recent in (False, True)]
    found = [(share, left) for each in tried if each is not None for share, left in [each]]
    share, left = min(found, key=lambda each: each[1], default=(0.0, 1.0))
    return _Pair(a, b, first, end, share, left) if share >= SHARE_MIN and left <= LEFT_MAX else None


def _mixture(case: Case, a: str, b: str, first: int, end: int, recent: bool) -> tuple[float, float] | None:
    """(share of rows exchanged, share of the movement that is left), against the whole reference or the rows just
    before."""
    shares = _joint(case, a, b, first, end, recent)
    if shares is None:
        return None
    was_a, was_b, now_a, now_b = shares
    apart = was_b - was_a
    size = 2 * float(np.dot(apart, apart))
    if size <= 0:
        return None
    share = float(np.clip((np.dot(apart, now_a - was_a) - np.dot(apart, now_b - was_b)) / size, 0, 1))
    return share, max(
        _distance(now_a, was_a + share * apart) / max(_distance(now_a, was_a), 1e-9),
        _distance(now_b, was_b - share * apart) / max(_distance(now_b, was_b), 1e-9),
    )


def _joint(
    case: Case, a: str, b: str, first: int, end: int, recent: bool
) -> tuple[Numbers, Numbers, Numbers, Numbers] | None:
    """Shares of both columns, before and now, over the same cells."""
    parts: list[Column] = []
    if recent and first < RECENT_MIN:
        return None
    before = (slice(0, first), case.current) if recent else (slice(None), case.reference)
    for rows, table in (before, (slice(first, end), case.current)):
        taken = take_rows({a: table[a], b: table[b]}, rows)
        parts += [taken[a], taken[b]]
    codes, size = _cells(parts)
    if size < 2:
        return None
    found = [np.bincount(each, minlength=size) / max(len(each), 1) for each in codes]
    return found[0], found[1], found[2], found[3]


def _cells(parts: list[Column]) -> tuple[list[np.ndarray], int]:
    """Codes over common cells: the union of levels, or quantiles of all values."""
    texts = [part for part in parts if isinstance(part, Categorical)]
    if texts:
        index: dict[str, int] = {}
        codes = []
        for part in texts:
            table = np.array([index.setdefault(level, len(index)) for level in part.levels] + [0], dtype=np.int64)
            codes.append(np.where(part.codes < 0, 0, 1 + table[part.codes]))
        return codes, len(index) + 1
    numbers = [part for part in parts if not isinstance(part, Categorical)]
    pooled = np.concatenate([part[np.isfinite(part)] for part in numbers[:2]])
    if not pooled.size:
        return [], 0
    edges = np.unique(np.quantile(pooled, np.linspace(0, 1, GRID + 1)))
    found = [np.where(np.isfinite(p), 1 + np.searchsorted(edges, p, side="right"), 0) for p in numbers]
    return found, len(edges) + 2


def _distance(a: Numbers, b: Numbers) -> float:
    return float(np.abs(a - b).sum() / 2)


def _restored(case: Case, pair: _Pair, bond: Callable[[str], Bond]) -> float | None:
    """By how much of its usual tie the better bound column gains when both are exchanged back; None: no tie to ask."""
    if pair.share < 0.9:
        return None
    rows = np.arange(pair.first, pair.end)[:: max((pair.end - pair.first) // 2000, 1)]
    now = take_rows(case.current, rows)
    back = {**now, pair.a: now[pair.b], pair.b: now[pair.a]}
    gains = [each.kept(back) - each.kept(now) for name in (pair.a, pair.b) if (each := bond(name)).tells]
    return max(gains) if gains else None
