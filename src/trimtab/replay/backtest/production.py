"""The policy ``trimtab``: the same advice and the same weights that the loop goes by, fed with simulated history."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from trimtab.core.policy import (
    FIRST,
    ROLES,
    Facts,
    PayoffSettings,
    Role,
    Trained,
    advise,
    blend_weights,
    members,
)
from trimtab.core.policy.facts import FULL, WINDOW, Floats, Kind
from trimtab.core.policy.payoff import single_best
from trimtab.replay.backtest.fits import whole
from trimtab.replay.backtest.labels import Rows
from trimtab.replay.backtest.policy import Event, Run
from trimtab.replay.backtest.world import FIRST_MODEL, Mixture, Model, View, combined, single

HELD_OUT = 2
"""Labelled batches that full and window compete on."""
BLEND_BATCHES = 12
"""Labelled batches that the weights are fitted to."""
BLEND_ROWS = 400
"""Of each, at most: evenly spread."""


@dataclass(slots=True)
class Trimtab:
    """Trains when ``trimtab.core.policy`` says that it pays.

    Args:
        settings: the price of a run, and the priors.
        blend: several retained versions answer together, each counting by its evidence; otherwise the one that does
            best lately answers alone.
    """

    name: str = "trimtab"
    settings: PayoffSettings = field(default_factory=PayoffSettings)
    blend: bool = True
    models: list[Model] = field(default_factory=lambda: [FIRST_MODEL])
    _facts: Facts | None = None
    _newest_share: float = 0.0

    def decide(self, view: View) -> Run | None:
        """As the loop would."""
        if view.batch == 0:
            return None
        advice = advise(self.settings, self._observe(view))
        if not advice.train:
            return None
        kind, why = contest(view)
        return Run(kind, f"{advice.reason.text}; {why}")

    def trained(self, model: Model) -> None:
        """Retained beside the others."""
        self.models.append(model)
        self._newest_share = 0.0

    def serve(self, view: View) -> tuple[Mixture, tuple[Event, ...]]:
        """By the evidence of the labelled batches."""
        if len(self.models) == 1:
            return ((FIRST_MODEL, 1.0),), ()
        facts = self._observe(view)
        shares = self._shares(view, facts)
        parts: dict[Model, float] = {}
        for role, share in zip(ROLES, shares, strict=True):
            filled = members(role, facts.models, view.batch)
            for place in filled:
                parts[self.models[place]] = parts.get(self.models[place], 0.0) + float(share) / len(filled)
        mixture = combined(parts)
        return mixture, self._events(dict(mixture))

    def _shares(self, view: View, facts: Facts) -> Floats:
        if self.blend:
            return self._blend(view, facts)
        shares = np.zeros(len(ROLES))
        shares[single_best(facts, self.settings)] = 1.0
        return shares

    def _blend(self, view: View, facts: Facts) -> Floats:
        history = view.bench.history
        errors, weights = [], []
        for batch in range(max(0, view.known - BLEND_BATCHES), view.known):
            where = view.judged(batch)
            rows = np.arange(where.start, where.stop) if isinstance(where, slice) else where
            rows = rows[:: max(1, len(rows) // BLEND_ROWS)]
            found = [self._errors(view, self._filled(role, facts, batch), rows) for role in ROLES]
            errors.append(np.array(found))
            weights.append(np.full(len(rows), self.settings.discount ** (view.known - 1 - batch) / len(rows)))
        if not errors:
            return np.full(len(ROLES), 1.0 / len(ROLES))
        return blend_weights(np.concatenate(errors, axis=1), np.concatenate(weights), probability=bool(history.classes))

    def _errors(self, view: View, mixture: Mixture, rows: Rows) -> Floats:
        """What the role gave the true class, or by how much it missed."""
        history = view.bench.history
        answers = view.bench.mixed(mixture, rows)
        truth = history.truth[rows]
        if not history.classes:
            return answers[:, 0] - truth
        scores: Floats = whole(answers, history.classes)[np.arange(len(rows)), truth.astype(np.intp)]
        return scores

    def _filled(self, role: Role, facts: Facts, batch: int) -> Mixture:
        filled = members(role, facts.models, batch)
        return tuple((self.models[place], 1.0 / len(filled)) for place in filled)

    def _observe(self, view: View) -> Facts:
        """The facts before this batch."""
        bench, schedule = view.bench, view.bench.schedule
        trained = tuple(
            Trained(
                model.kind,
                0 if model.kind == FIRST else model.batch,
                bench.until(model),
                float(bench.history.initial_rows if model.kind == FIRST else schedule.available[model.batch]),
            )
            for model in self.models
        )
        known = view.known
        losses = np.full((len(trained), known), np.nan)
        for place, model in enumerate(self.models):
            for batch in range(min(trained[place].until, known), known):
                losses[place, batch] = view.loss(((model, 1.0),), batch)
        facts = Facts(
            models=trained,
            known=np.asarray(schedule.known[: view.batch + 1]),
            available=np.asarray(schedule.available[: view.batch + 1]),
            losses=losses,
            role_losses=np.zeros((len(ROLES), known)),
            window_rows=float(bench.history.initial_rows),
        )
        for place, role in enumerate(ROLES):
            for batch in range(known):
                facts.role_losses[place, batch] = view.loss(self._filled(role, facts, batch), batch)
        return facts

    def _events(self, shares: dict[Model, float]) -> tuple[Event, ...]:
        """The newest version lost its part: earlier ones answer again."""
        share = shares.get(self.models[-1], 0.0)
        before, self._newest_share = self._newest_share, share
        if before >= 0.05 > share:
            return (Event("rollback", f"the newest version's part fell from {before:.0%} to {share:.0%}"),)
        return ()


def contest(view: View) -> tuple[Kind, str]:
    """On which rows to train, as a run with ``strategy: auto`` finds out: a full and a window model that have not seen
    the newest labelled batches compete on them."""
    schedule, known = view.bench.schedule, view.known
    first = view.bench.history.initial_rows
    able = [
        batch
        for batch in range(1, view.batch)
        if schedule.available[batch] > first and schedule.until[batch] <= max(known - HELD_OUT, 1)
    ]
    if not able or schedule.until[able[-1]] >= known:
        return FULL, "full: too few labelled batches for a window to compete"
    batches = range(int(schedule.until[able[-1]]), known)
    full, window = (
        float(np.mean([view.loss(single(Model(kind, able[-1])), batch) for batch in batches]))
        for kind in (FULL, WINDOW)
    )
    kind = WINDOW if window < full else FULL
    return kind, f"{kind} does better on the newest labelled batches: full {full:.4g}, sliding-window {window:.4g}"
