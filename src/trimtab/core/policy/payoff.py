"""Does a training run pay? Expected gains that were not taken add up to a debt; a run starts when it reaches the price.

What refitting gains grows with the amount of data (a full version: with its logarithm) or with the share of the window
that is new, at a slope that differs from stream to stream. The slope is estimated from what earlier runs gained, shrunk
to a prior: where retraining hurt, it goes to zero, the debt stops growing, and no further run is started. Losses well
above what the newest version began with are evidence of a change that no slope has seen yet, and add to the debt.

For a gain that grows by g per block, this starts a run every sqrt(2 price / g) blocks: the interval of the economic
order quantity, which minimises price per run plus what waiting costs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.core.policy.facts import FULL, WINDOW, Facts, Kind
from trimtab.core.policy.roles import SINGLE

Floats = npt.NDArray[np.float64]

USUAL = 4
"""Blocks that say what is usual: the first ones after those that the newest version was trained on, and as many before.
"""
HEAVIEST = 3.0
"""A block counts at most so many times as one with the first version's mean loss."""


@dataclass(frozen=True, slots=True)
class PayoffSettings:
    """The price, and what is believed before there is evidence. One configuration for all streams."""

    price: float = 0.1
    """Of a run, in units of the first version's mean loss on one block."""
    prior_full: float = 0.15
    """Relative gain of a full refit for each e-fold of data, before any was seen."""
    prior_window: float = 0.30
    """Relative gain of a window all of whose rows are new, before any was seen."""
    prior_weight: float = 0.7
    """How much the priors count, in units of one block on which the size of the history (or the whole window) differs
    by one."""
    memory: float = 0.9
    """What a gain that was seen one block earlier counts."""
    discount: float = 0.7
    """What a loss of one block earlier counts in the present level, and in the weights of the versions."""
    excess_from: float = 1.2
    """The level may be this many times what the newest version began with, before that is evidence of a change."""
    excess_most: float = 2.0
    """More excess than this counts as this."""
    excess_share: float = 0.2
    """Share of the excess that a run is expected to take back."""
    least: float = 0.05
    """Slopes under this count as this: a refusal wears off slowly, since what a run gains may change."""
    recent: int = 3
    """Blocks that the present level is the mean of."""
    useless: float = 0.05
    """With a slope under this, another kind that was tried counts."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands for and against a run, before one block."""

    slope: dict[Kind, float]
    growth: dict[Kind, float]
    """Full: ln of how many times the newest full version's rows there are now; window: share of it that is new."""
    counted: Kind
    """The kind whose expected gain counts: of the newest run, or another that was tried where that gains nothing."""
    excess: float
    level: float
    """What the best role loses lately, in units of the first version's mean loss."""
    step: float
    """What this block adds to the debt."""

    @property
    def gain(self) -> float:
        """Expected relative gain of a run now."""
        return max(0.0, self.slope[self.counted]) * self.growth[self.counted]


def debt(settings: PayoffSettings, facts: Facts) -> float:
    """Expected gains since the newest run was started (or from the beginning), in units of the price."""
    since = max(facts.models[-1].started, facts.tried)
    return sum(standing(settings, facts.as_of(block)).step for block in range(since + 1, facts.now + 1))


def standing(settings: PayoffSettings, facts: Facts) -> Standing:
    """The evidence before the block that is about to begin. Nothing labelled yet: no step."""
    slope = {kind: slope_of(settings, facts, kind) for kind in (FULL, WINDOW)}
    newest, rows = facts.models[-1].rows, float(facts.available[-1])
    growth = {kind: _growth(facts, kind, newest, rows) for kind in (FULL, WINDOW)}
    counted = _counted(settings, facts, slope)
    excess = _excess(settings, facts)
    level, step = 0.0, 0.0
    if facts.labelled:
        level = float(_discounted(facts.role_losses, settings.discount).min() / facts.role_losses[0].mean())
        gain = max(settings.least, slope[counted]) * growth[counted]
        step = (gain + settings.excess_share * min(excess, settings.excess_most)) * level
    return Standing(slope, growth, counted, excess, level, step)


def slope_of(settings: PayoffSettings, facts: Facts, kind: Kind) -> float:
    """Relative gain per unit of growth: ridge regression through zero, around the prior.

    On each labelled block the newest version that did not train on it, where it is of the kind, is compared with its
    predecessor: the best of the earlier versions, of whichever kind. A block counts by what is lost on it, since gains
    are losses saved: a ratio on a block with little loss says little.
    """
    prior = settings.prior_full if kind == FULL else settings.prior_window
    above, below = settings.prior_weight * prior, settings.prior_weight
    for block in range(facts.labelled):
        fit = [i for i, model in enumerate(facts.models) if model.until <= block]
        if len(fit) < 2 or facts.models[fit[-1]].kind != kind:
            continue
        new = fit[-1]
        old = _best(facts, fit[:-1], block)
        growth = _growth(facts, kind, facts.models[old].rows, facts.models[new].rows)
        gained = 1.0 - float(facts.losses[new, block] / facts.losses[old, block])
        if not np.isfinite(gained):
            continue
        weight = settings.memory ** (facts.labelled - 1 - block)
        weight *= min(HEAVIEST, float(facts.losses[old, block] / facts.role_losses[0].mean()))
        above += weight * gained * growth
        below += weight * growth * growth
    return above / below


def _best(facts: Facts, places: list[int], block: int) -> int:
    """The earlier version that did best up to a block, on blocks that none of them was trained on: going back to an
    older one is free, so a run must gain over the best of them."""
    since = facts.models[places[-1]].until
    totals = facts.losses[places, since : block + 1].sum(axis=1)
    return places[int(np.argmin(np.where(np.isfinite(totals), totals, np.inf)))]


def _growth(facts: Facts, kind: Kind, old: float, new: float) -> float:
    if kind == FULL:
        return float(np.log(new / old))
    return float(min(1.0, (new - old) / facts.window_rows))


def _discounted(losses: Floats, discount: float) -> Floats:
    """(roles,) mean over blocks, newer ones counting more."""
    if losses.shape[1] == 0:
        return np.ones(len(losses))
    weights = discount ** np.arange(losses.shape[1])[::-1]
    level: Floats = losses @ weights / weights.sum()
    return level


def _counted(settings: PayoffSettings, facts: Facts, slope: dict[Kind, float]) -> Kind:
    """The kind of the newest run (at first: full), or another that was tried where that gains nothing any more."""
    tried = [model.kind for model in facts.models[1:]] or [FULL]
    newest = tried[-1]
    if slope[newest] >= settings.useless:
        return newest
    return max(set(tried), key=lambda kind: slope[kind])


def _excess(settings: PayoffSettings, facts: Facts) -> float:
    """By how much the present level exceeds what is usual for the newest version: 0.5 is half as much again.

    Its first blocks say what is usual, or those before it where they had less: a change that came just before a run,
    unseen by it, is still a change. What two runs did not bring down is the level from then on, and asks for no further
    run.
    """
    if not facts.labelled:
        return 0.0
    lately = _discounted(facts.role_losses, settings.discount)
    best = facts.role_losses[int(np.argmin(lately))]
    first = facts.models[-1].until
    usual = best[first : first + USUAL]
    if first > 0 and len(usual) < 2:
        return 0.0
    level = float(usual.mean())
    if first > 0:
        level = min(level, float(best[max(0, first - USUAL) : first].mean()))
    ratio = float(best[-settings.recent :].mean()) / level
    return max(0.0, ratio - settings.excess_from) if np.isfinite(ratio) else 0.0


def single_best(facts: Facts, settings: PayoffSettings) -> int:
    """The role of a single version that does best lately."""
    levels = _discounted(facts.role_losses, settings.discount)
    return min(SINGLE, key=lambda role: float(levels[role]))
