"""Did outcomes change in one part of the inputs and not in the others, from some row on?

Rows are cut into blocks of time, cells of the score and groups of one column. Within each cell of the score, the mean
outcome of a group less that of all groups is its *contrast*: what moves all rows alike (a bad week, a recalibration,
labels that are broken everywhere) leaves it. A step is a contrast that differs between the rows since and as many rows
just before. Its statistic is chi-squared over the groups, with the variance of chance plus that of nature: how far the
contrasts of neighbouring windows lie apart before the step (as in the Allan variance, for windows of 1, 2, 4 and 8
blocks, growing with the square root of the length beyond). So a stream whose relations wander by themselves needs a
larger step than a quiet one.

Contrasts are asked twice: plain, and with the sign of the model's opinion, which sees outcomes that turned round in
both directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.core.diagnosis.rows.case import Case, Cells, Codes, Flags
from trimtab.core.diagnosis.rows.outcomes import Outcomes
from trimtab.core.diagnosis.rows.when import SEGMENTS, chance
from trimtab.core.profiles.columns import Numbers

BINS = 8
"""Cells of the score."""
GROUPS = 8
"""Of one column: its most frequent levels and the rest, or six quantile groups, and missing."""
CLASSES = 6
"""Most frequent classes that are looked at, each against the others."""
COUNT_MIN = 8
"""Rows of a group, before and since, to be compared."""
NATURE = 2.0
"""Weight of the variance by nature: it is known from few windows."""
LAGS = (1, 2, 4, 8)
BEFORE_MIN = 4
"""Blocks that stand before a step at least."""

Blocks = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Step:
    """The strongest step of one column."""

    name: str
    first: int
    """Labelled row of current."""
    statistic: float
    limit: float
    """By chance over all columns and rows, probability 1e-4."""
    explained: float
    """Share of the outcomes' variance given the score that it makes since."""

    @property
    def ratio(self) -> float:
        return self.statistic / self.limit


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Rows as one outcome between two sides: a class against the others, or the error of a number."""

    score: Codes
    """(n,) cell."""
    outcome: Numbers
    opinion: Numbers
    """(cells,) weight of the signed contrast."""


def steps(case: Case, found: Outcomes) -> list[Step]:
    """The strongest step of each column, the strongest column first."""
    edges = np.unique(np.linspace(0, len(found.rows), min(SEGMENTS, len(found.rows) // 8) + 1).astype(np.int64))
    block, before = _blocks(found, edges)
    sides = views(case, found)
    tries = 40.0 * len(case.cells) * len(sides)
    best: dict[str, Step] = {}
    for name, cells in case.cells.items():
        groups = grouped(cells, found)
        for view in sides:
            step = _strongest(name, _Sums.of(block, view, groups), before, edges, tries)
            if step is not None and (name not in best or step.ratio > best[name].ratio):
                best[name] = step
    return sorted(best.values(), key=lambda each: -each.ratio)


def _blocks(found: Outcomes, edges: Blocks) -> tuple[Blocks, int]:
    """(e + k,) block of each row, and how many blocks the reference has: as long as those of current."""
    size = len(found.rows) / (len(edges) - 1)
    before = max(int(found.known / size), 1)
    own = np.minimum(np.arange(found.known) * before // max(found.known, 1), before - 1)
    since = before + np.searchsorted(edges, np.arange(len(found.rows)), side="right") - 1
    return np.concatenate([own, since]), before


def views(case: Case, found: Outcomes) -> list[View]:
    if found.number:
        known = slice(0, found.known)
        error = found.outcome - found.score
        middle = float(np.median(error[known]))
        spread = float(np.quantile(np.abs(error[known] - middle), 0.9)) or 1.0
        cell, size = _cells(found.score, found.known)
        width = float(found.score[known].std()) or 1.0
        opinion = -np.tanh((found.score - float(np.median(found.score[known]))) / width)
        mean = np.bincount(cell, weights=opinion, minlength=size) / np.maximum(np.bincount(cell, minlength=size), 1)
        return [View(cell, np.clip((error - middle) / spread, -4, 4), mean)]
    counts = np.bincount(found.labels.astype(np.int64), minlength=len(case.classes))
    chosen = [1] if len(case.classes) == 2 else np.argsort(-counts, kind="stable")[:CLASSES].tolist()
    out = []
    for at in chosen:
        outcome = (found.labels == at).astype(np.float64)
        cell, size = _cells(found.scores[:, at], found.known)
        own = np.bincount(cell[: found.known], weights=outcome[: found.known], minlength=size)
        share = (own + 0.5) / (np.bincount(cell[: found.known], minlength=size) + 1)
        out.append(View(cell, outcome, 1 - 2 * share))
    return out


def _cells(score: Numbers, known: int) -> tuple[Codes, int]:
    edges = np.unique(np.quantile(score[:known], np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.searchsorted(edges, score, side="right").astype(np.int64), len(edges) + 1


def grouped(cells: Cells, found: Outcomes) -> Codes:
    """(e + k,) group of each row: of ``GROUPS``."""
    counts = np.bincount(cells.reference, minlength=cells.size).astype(np.float64)
    if cells.by_level:
        table = np.full(cells.size, GROUPS - 1, dtype=np.int64)
        kept = np.argsort(-counts, kind="stable")[: GROUPS - 1]
        table[kept] = np.arange(len(kept))
    else:
        inner = counts[: cells.unseen]
        middle = (np.cumsum(inner) - inner / 2) / max(float(inner.sum()), 1.0)
        last = GROUPS - 3
        table = np.full(cells.size, last + 1, dtype=np.int64)  # missing
        table[: cells.unseen] = np.minimum((middle * (last + 1)).astype(np.int64), last)
        table[cells.unseen], table[cells.unseen + 1] = 0, last
    found_groups: Codes = table[np.concatenate([cells.reference[found.known_rows], cells.current[found.rows]])]
    return found_groups


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """Running sums over blocks, a leading zero first: any window is a difference."""

    count: Numbers
    """(B + 1, cells)"""
    total: Numbers
    square: Numbers
    group_count: Numbers
    """(B + 1, cells, groups)"""
    group_total: Numbers
    opinion: Numbers

    @classmethod
    def of(cls, block: Blocks, view: View, groups: Codes) -> _Sums:
        size, blocks = len(view.opinion), int(block.max()) + 1
        at = (block * size + view.score) * GROUPS + groups

        def summed(weights: Numbers | None) -> Numbers:
            found = np.bincount(at, weights=weights, minlength=blocks * size * GROUPS).astype(np.float64)
            out: Numbers = np.zeros((blocks + 1, size, GROUPS))
            np.cumsum(found.reshape(blocks, size, GROUPS), axis=0, out=out[1:])
            return out

        count, total = summed(None), summed(view.outcome)
        square = total if _is_flag(view.outcome) else summed(view.outcome**2)
        return cls(count.sum(axis=2), total.sum(axis=2), square.sum(axis=2), count, total, view.opinion)

    def contrasts(self, start: Blocks, end: Blocks) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        """(W, 2, groups) contrasts, their variances, (W, 1, groups) rows, (W, 2) sum of squares given the score."""
        count = self.count[end] - self.count[start]
        mean = (self.total[end] - self.total[start]) / np.maximum(count, 1)
        variance = np.maximum((self.square[end] - self.square[start]) / np.maximum(count, 1) - mean**2, 2e-3)
        rows = self.group_count[end] - self.group_count[start]
        apart = self.group_total[end] - self.group_total[start] - rows * mean[:, :, None]
        spread = rows * variance[:, :, None] * (1 - rows / np.maximum(count, 1)[:, :, None])
        size = np.maximum(rows.sum(axis=1), 1)[:, None, :]
        weights = np.stack([np.ones_like(self.opinion), self.opinion])
        return (
            np.einsum("wsg,ks->wkg", apart, weights) / size,
            np.einsum("wsg,ks->wkg", spread, weights**2) / size**2,
            rows.sum(axis=1)[:, None, :],
            np.einsum("ws,ks->wk", count * variance, weights**2),
        )

    def compared(self, start: Blocks, middle: Blocks, end: Blocks) -> tuple[Numbers, Numbers, Flags, Numbers]:
        """(W, 2, groups) squared differences of both windows and their variances, which groups count, and the (W, 2)
        share of the outcomes' variance that they make since."""
        was, was_variance, was_rows, _ = self.contrasts(start, middle)
        now, variance, rows, total = self.contrasts(middle, end)
        kept = np.broadcast_to((was_rows >= COUNT_MIN) & (rows >= COUNT_MIN), now.shape)
        square, error = np.where(kept, (now - was) ** 2, 0.0), was_variance + variance
        share = (rows * np.maximum(square - np.where(kept, error, 0.0), 0.0)).sum(axis=2) / np.maximum(total, 1e-9)
        return square, error, kept, share


def _is_flag(outcome: Numbers) -> bool:
    return bool(((outcome == 0) | (outcome == 1)).all())


def _strongest(name: str, sums: _Sums, before: int, edges: Blocks, tries: float) -> Step | None:
    last = len(sums.count) - 1
    at = np.arange(max(before, 2), last - 1)
    if not len(at):
        return None
    reach = np.minimum(at, np.maximum(last - at, BEFORE_MIN))
    square, error, kept, share = sums.compared(at - reach, at, np.full(len(at), last))
    nature = NATURE * _nature(sums, at, np.minimum(last - at, reach), last)
    statistic = np.where(kept, square / (error + nature[:, :, None] + 1e-12), 0.0).sum(axis=2)
    freedom = np.maximum(kept.sum(axis=2) - 1, 1)
    limits = {int(each): chance(int(each), tries, 1e-4) for each in np.unique(freedom)}
    limit = np.vectorize(limits.__getitem__, otypes=[np.float64])(freedom)
    row, kind = np.unravel_index(int(np.argmax(statistic / limit)), statistic.shape)
    first = int(edges[int(at[row]) - before])
    return Step(name, first, float(statistic[row, kind]), float(limit[row, kind]), float(share[row, kind]))


def _nature(sums: _Sums, at: Blocks, length: Blocks, last: int) -> Numbers:
    """(T, 2) variance of a contrast's difference between windows of ``length`` blocks, beyond chance, as seen before
    each ``at``."""
    out = np.zeros((len(at), 2))
    for lag in LAGS:
        middle = np.arange(lag, last - lag + 1)
        if not len(middle):
            continue
        square, error, kept, _ = sums.compared(middle - lag, middle, middle + lag)
        beyond = np.where(kept, square - error, 0.0).sum(axis=2) / np.maximum(kept.sum(axis=2), 1)
        seen = at - 2 * lag + 1  # windows that end before
        usable = seen >= max(2, lag)
        mean = np.cumsum(beyond, axis=0)[np.clip(seen, 1, len(middle)) - 1] / np.maximum(seen, 1)[:, None]
        grown = np.sqrt(np.maximum(length / lag, 1.0))[:, None]
        out = np.where(usable[:, None], np.maximum(out, np.maximum(mean, 0.0) * grown), out)
    return out
