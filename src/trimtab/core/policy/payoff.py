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

from trimtab.core.policy.facts import FIRST, FULL, WINDOW, Facts, Kind
from trimtab.core.policy.roles import FULL_ROLE, SINGLE, WINDOW_ROLE

Floats = npt.NDArray[np.float64]


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
    memory: float = 0.95
    """What a gain that was seen one block earlier counts."""
    discount: float = 0.7
    """What a loss of one block earlier counts in the present level, and in the weights of the versions."""
    kind_discount: float = 0.9
    """The same where kinds are compared: a steadier judgement, since a run follows from it."""
    excess_from: float = 1.2
    """The level may be this many times what the newest version began with, before that is evidence of a change."""
    excess_most: float = 2.0
    """More excess than this counts as this."""
    excess_share: float = 0.2
    """Share of the excess that a run is expected to take back."""
    recent: int = 3
    """Blocks that the present level is the mean of."""
    explore_after: int = 5
    """After so many runs in a row of one kind, the other kind is tried."""
    explore_gain: float = 0.3
    """With a slope above this, or a level in excess, the other kind is tried after the first run."""
    useless: float = 0.05
    """With a slope of full refits under this after two of them, a window is tried."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands for and against a run, before one block."""

    slope: dict[Kind, float]
    growth: dict[Kind, float]
    """Full: ln of how many times the newest full version's rows there are now; window: share of it that is new."""
    preferred: Kind
    """The kind whose newest version does better lately."""
    counted: Kind
    """The kind whose expected gain counts: the preferred one, or a window where full refits were useless."""
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
    since = facts.models[-1].started
    return sum(standing(settings, facts.as_of(block)).step for block in range(since + 1, facts.now + 1))


def standing(settings: PayoffSettings, facts: Facts) -> Standing:
    """The evidence before the block that is about to begin. Nothing labelled yet: no step."""
    slope = {kind: slope_of(settings, facts, kind) for kind in (FULL, WINDOW)}
    rows = float(facts.available[-1])
    growth = {kind: _growth(facts, kind, _newest_rows(facts, kind), rows) for kind in (FULL, WINDOW)}
    levels = _discounted(facts.role_losses, settings.discount)
    preferred, counted = _kinds(settings, facts, slope)
    excess = _excess(settings, facts)
    level, step = 0.0, 0.0
    if facts.labelled:
        level = float(levels.min() / facts.role_losses[0].mean())
        gain = max(0.0, slope[counted]) * growth[counted]
        step = (gain + settings.excess_share * min(excess, settings.excess_most)) * level
    return Standing(slope, growth, preferred, counted, excess, level, step)


def slope_of(settings: PayoffSettings, facts: Facts, kind: Kind) -> float:
    """Relative gain per unit of growth: ridge regression through zero, around the prior.

    On each labelled block the newest version of the kind that did not train on it is compared with its predecessor.
    """
    chain = [i for i, model in enumerate(facts.models) if model.kind in (FIRST, kind)]
    prior = settings.prior_full if kind == FULL else settings.prior_window
    above, below = settings.prior_weight * prior, settings.prior_weight
    for block in range(facts.labelled):
        fit = [i for i in chain if facts.models[i].until <= block]
        if len(fit) < 2:
            continue
        old, new = fit[-2], fit[-1]
        growth = _growth(facts, kind, facts.models[old].rows, facts.models[new].rows)
        gained = 1.0 - float(facts.losses[new, block] / facts.losses[old, block])
        if not np.isfinite(gained):
            continue
        weight = settings.memory ** (facts.labelled - 1 - block)
        above += weight * gained * growth
        below += weight * growth * growth
    return above / below


def _growth(facts: Facts, kind: Kind, old: float, new: float) -> float:
    if kind == FULL:
        return float(np.log(new / old))
    return float(min(1.0, (new - old) / facts.window_rows))


def _newest_rows(facts: Facts, kind: Kind) -> float:
    return next(model.rows for model in reversed(facts.models) if model.kind in (FIRST, kind))


def _discounted(losses: Floats, discount: float) -> Floats:
    """(roles,) mean over blocks, newer ones counting more."""
    if losses.shape[1] == 0:
        return np.ones(len(losses))
    weights = discount ** np.arange(losses.shape[1])[::-1]
    level: Floats = losses @ weights / weights.sum()
    return level


def _kinds(settings: PayoffSettings, facts: Facts, slope: dict[Kind, float]) -> tuple[Kind, Kind]:
    levels = _discounted(facts.role_losses, settings.kind_discount)
    runs = [model.kind for model in facts.models[1:]]
    if FULL in runs and WINDOW in runs:
        preferred = WINDOW if levels[WINDOW_ROLE] < levels[FULL_ROLE] else FULL
        return preferred, preferred
    useless = len(runs) >= 2 and WINDOW not in runs and slope[FULL] < settings.useless
    return FULL, WINDOW if useless else FULL


def _excess(settings: PayoffSettings, facts: Facts) -> float:
    """By how much the present level exceeds what is usual for the newest version: 0.5 is half as much again.

    Its first blocks say what is usual: what a run did not bring down is the level from then on, and asks for no
    further run.
    """
    if not facts.labelled:
        return 0.0
    lately = _discounted(facts.role_losses, settings.discount)
    best = facts.role_losses[int(np.argmin(lately))]
    first = facts.models[-1].until
    usual = best[first : first + 4]
    if first > 0 and len(usual) < 2:
        return 0.0
    ratio = float(best[-settings.recent :].mean() / usual.mean())
    return max(0.0, ratio - settings.excess_from) if np.isfinite(ratio) else 0.0


def single_best(facts: Facts, settings: PayoffSettings) -> int:
    """The role of a single version that does best lately."""
    levels = _discounted(facts.role_losses, settings.discount)
    return min(SINGLE, key=lambda role: float(levels[role]))
