"""CARA: Mahadevan & Mathioudakis, "Cost-aware retraining for machine learning", Knowledge-Based Systems 2024.

A version is stale for the requests that are being asked as far as it loses on labelled rows like them: for each request
the losses on the newest labelled batch, weighted by similarity (a Gaussian kernel on standardised features), averaged
over requests. A run starts when the staleness exceeds a threshold (the variant Cara-T); the threshold is the one that
would have cost least on the history that there was at the beginning, cut into pieces as long as the batches of old.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trimtab.core.policy.facts import Floats
from trimtab.replay.backtest.history import History
from trimtab.replay.backtest.labels import Rows
from trimtab.replay.backtest.policies import row_losses_by
from trimtab.replay.backtest.policy import Newest, Run
from trimtab.replay.backtest.world import View, single

PIECES = 6
SAMPLE = 300
"""Rows of each side that similarities are computed for."""


@dataclass(slots=True)
class Cara(Newest):
    """Threshold on the estimated staleness, chosen on the first part of the history."""

    price: float = 0.1
    _threshold: float | None = None
    _scale: tuple[Floats, Floats] | None = None

    def decide(self, view: View) -> Run | None:
        """By staleness for the newest batch of requests."""
        newest = self.models[-1]
        if view.batch == 0 or view.known <= view.bench.until(newest):
            return None
        if self._threshold is None:
            self._threshold = self._offline(view)
        where = view.judged(view.known - 1)
        losses = row_losses_by(view, single(newest), where)
        rows = np.arange(where.start, where.stop) if isinstance(where, slice) else where
        asked = np.arange(*view.bench.history.rows_of(view.batch - 1).indices(len(view.bench.history.at)))
        stale = self._stale(view.bench.history, asked, rows, losses)
        if stale <= self._threshold:
            return None
        return self.run(view, f"staleness {stale:.4g} for the newest requests, more than {self._threshold:.4g}")

    def _stale(self, history: History, asked: Rows, rows: Rows, losses: Floats) -> float:
        asked, chosen = _evenly(asked), _evenly(np.arange(len(rows)))
        a, b = self._standard(history, asked), self._standard(history, rows[chosen])
        distance = (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2.0 * a @ b.T
        alike = np.exp(-np.maximum(distance, 0.0) / (2.0 * a.shape[1])) + 1e-12
        return float(np.mean(alike @ losses[chosen] / alike.sum(axis=1)))

    def _standard(self, history: History, rows: Rows) -> Floats:
        if self._scale is None:
            first = history.frame.iloc[: history.initial_rows].to_numpy()
            counts = np.maximum(np.isfinite(first).sum(axis=0), 1)
            mean = np.nansum(first, axis=0) / counts
            spread = np.sqrt(np.nansum((first - mean) ** 2, axis=0) / counts)
            self._scale = mean, np.where(spread > 0, spread, 1.0)
        mean, spread = self._scale
        standard: Floats = np.nan_to_num((history.frame.iloc[rows].to_numpy() - mean) / spread, nan=0.0)
        return np.clip(standard, -5.0, 5.0)

    def _offline(self, view: View) -> float:
        """The threshold that would have cost least on the pieces of the first part."""
        bench = view.bench
        history = bench.history
        edges = np.round(np.linspace(0, history.initial_rows, PIECES + 1)).astype(int)
        loss = np.full((PIECES, PIECES), np.nan)
        stale = np.full((PIECES, PIECES), np.nan)
        for old in range(1, PIECES):
            if history.classes and len(np.unique(history.truth[: edges[old]])) < 2:
                continue
            fitted = bench.fits.prefix(int(edges[old]))
            losses = bench.losses_of(fitted.answers, slice(int(edges[old]), history.initial_rows))
            for piece in range(old, PIECES):
                part = losses[edges[piece] - edges[old] : edges[piece + 1] - edges[old]]
                loss[old, piece] = part.mean()
                if piece > old:
                    data = np.arange(edges[piece - 1], edges[piece])
                    asked = np.arange(edges[piece], edges[piece + 1])
                    before = losses[edges[piece - 1] - edges[old] : edges[piece] - edges[old]]
                    stale[old, piece] = self._stale(history, asked, data, before)
        begin = next((old for old in range(1, PIECES) if np.isfinite(loss[old, old])), None)
        if begin is None:
            return float("inf")
        price = self.price * float(np.nanmean(loss[begin]))
        thresholds = [*np.unique(stale[np.isfinite(stale)]), np.inf]
        return float(min(thresholds, key=lambda limit: _cost(loss, stale, begin, float(limit), price)))


def _cost(loss: Floats, stale: Floats, begin: int, limit: float, price: float) -> float:
    old, total = begin, float(loss[begin, begin])
    for piece in range(begin + 1, PIECES):
        if stale[old, piece] > limit:
            old, total = piece, total + price
        total += float(loss[old, piece])
    return total


def _evenly(of: Rows) -> Rows:
    places = np.unique(np.linspace(0, len(of) - 1, min(len(of), SAMPLE)).astype(int))
    chosen: Rows = of[places]
    return chosen
