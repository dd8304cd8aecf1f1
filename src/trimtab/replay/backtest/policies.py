"""The usual policies: by the calendar, by errors, by drift of the inputs, by ADWIN. The newest version serves."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from trimtab.core.stats.distances import psi
from trimtab.replay.backtest.adwin import Adwin
from trimtab.replay.backtest.policy import Newest, Run
from trimtab.replay.backtest.world import Mixture, Model, View, Where, single

Floats = npt.NDArray[np.float64]
BINS = 10
"""Of the population stability index: deciles, as it is usually computed."""


@dataclass(slots=True)
class Every(Newest):
    """Every so many batches."""

    every: int = 1

    def decide(self, view: View) -> Run | None:
        """By the calendar."""
        if view.batch == 0 or view.batch % self.every:
            return None
        return self.run(view, f"every {self.every} batches" if self.every > 1 else "every batch")


@dataclass(slots=True)
class OnError(Newest):
    """When the newest version's loss on the newest labelled batch exceeds that on its first by a share."""

    share: float = 0.1

    def decide(self, view: View) -> Run | None:
        """By realised performance."""
        first = view.bench.until(self.models[-1])
        if view.known <= first + 1:
            return None
        mixture = single(self.models[-1])
        usual, now = view.loss(mixture, first), view.loss(mixture, view.known - 1)
        if now <= (1 + self.share) * usual:
            return None
        return self.run(
            view, f"loss {now:.4g} on the newest labelled batch, more than {1 + self.share:g} x {usual:.4g}"
        )


@dataclass(slots=True)
class OnDrift(Newest):
    """When the largest population stability index of a feature exceeds a limit: the usual drift trigger."""

    limit: float = 0.2
    _bins: dict[Model, list[tuple[str, Floats, Floats]]] = field(default_factory=dict)

    def decide(self, view: View) -> Run | None:
        """By the inputs of the newest batch; needs no labels."""
        if view.batch == 0:
            return None
        reference = self._reference(view)
        current = view.inputs(view.batch - 1)
        found = [(psi(counts, _counts(edges, current[name].to_numpy())), name) for name, edges, counts in reference]
        worst, name = max(found)
        return self.run(view, f"PSI {worst:.2f} of {name}, more than {self.limit:g}") if worst > self.limit else None

    def _reference(self, view: View) -> list[tuple[str, Floats, Floats]]:
        """Deciles and counts of each feature where the newest version was trained."""
        model = self.models[-1]
        if model not in self._bins:
            history, fits = view.bench.history, view.bench.fits
            rows = fits.rows(model.kind, model.batch)
            frame = history.frame.iloc[rows]
            self._bins[model] = [
                (name, edges, _counts(edges, values))
                for name in frame.columns
                for values in [frame[name].to_numpy()]
                for edges in [_edges(values, categories=name in history.coded)]
            ]
        return self._bins[model]


def _edges(values: Floats, *, categories: bool) -> Floats:
    known = values[np.isfinite(values)]
    if categories or not known.size:
        return np.unique(known)
    return np.unique(np.quantile(known, np.arange(1, BINS) / BINS))


def _counts(edges: Floats, values: Floats) -> Floats:
    """Rows below each edge and above the last; missing ones by themselves."""
    known = values[np.isfinite(values)]
    counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1).astype(np.float64)
    return np.append(counts, float(len(values) - len(known)))


@dataclass(slots=True)
class OnAdwin(Newest):
    """When ADWIN finds that the served losses rose."""

    delta: float = 0.002
    _seen: int = 0
    _detector: Adwin | None = None
    _scale: float = 0.0

    def decide(self, view: View) -> Run | None:
        """By realised performance, row by row."""
        if self._detector is None:
            self._detector = Adwin(self.delta)
        rose = ""
        while self._seen < view.known:
            where = view.judged(self._seen)
            losses = row_losses_by(view, view.served[self._seen], where)
            self._scale = self._scale or float(np.quantile(losses, 0.99)) or 1.0
            change = self._detector.add_all(np.minimum(losses / self._scale, 1.0))
            if change is not None and change[1] > change[0]:
                rose = f"ADWIN: mean loss {change[0] * self._scale:.4g} -> {change[1] * self._scale:.4g}"
            self._seen += 1
        return self.run(view, rose) if rose else None


def row_losses_by(view: View, mixture: Mixture, where: Where) -> Floats:
    """(rows,) what a mixture loses on labelled rows."""
    return view.bench.losses_of(view.bench.mixed(mixture, where), where)
