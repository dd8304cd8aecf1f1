"""Project files that a simulated endpoint may have."""

from __future__ import annotations

from trimtab.core.decide.policy import Mode, Policy, RetrainPolicy
from trimtab.core.domain.times import DAY_S, HOUR_S
from trimtab.core.rollout.plan import OnLongest, RolloutPlan, Strategy
from trimtab.replay.simulation.chance import Chance
from trimtab.replay.simulation.people import STRATEGIES


def policy_of(chance: Chance) -> Policy:
    """A project file: any strategy and mode, times short enough that a story of some days has an end."""
    strategy: Strategy = chance.one_of(STRATEGIES)
    longest: OnLongest = chance.one_of(("ask", "ask", "abort", "promote"))
    plan = RolloutPlan(
        strategy=strategy,
        steps=chance.one_of(((5, 25, 100), (10, 50, 100), (50, 100), (100,))),
        bake_s=HOUR_S,
        requests_min=chance.one_of((1, 100)),
        labels_min=chance.one_of((0, 100, 200)),
        block_s=0.0,
        longest_s=2 * DAY_S,
        on_longest=longest,
        paired=chance.happens(0.75),
        watch_s=chance.one_of((0.0, 6 * HOUR_S, DAY_S)),
    )
    retrain = RetrainPolicy(
        on_drift=chance.happens(0.9),
        on_payoff=chance.happens(0.5),
        every_s=chance.one_of((None, 5 * DAY_S)),
        cooldown_s=chance.one_of((HOUR_S, DAY_S)),
        budget=chance.one_of((3, 8)),
        breaker=chance.one_of((2, 3)),
    )
    mode = chance.one_of((Mode.AUTOMATIC, Mode.AUTOMATIC, Mode.AUTOMATIC, Mode.APPROVE, Mode.APPROVE, Mode.OBSERVE))
    return Policy(mode=mode, plan=plan, retrain=retrain, keep=chance.one_of((1, 3)), block_s=DAY_S)
