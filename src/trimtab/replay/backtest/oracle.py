"""The least that any policy of single versions could have cost, found in hindsight by dynamic programming.

Before each batch the full or the window model of that batch may be trained, at the price of a run, and serves until
the next run (Mahadevan & Mathioudakis 2024). It sees what no policy can; it does not blend, so a policy that blends may
cost less.
"""

from __future__ import annotations

from trimtab.core.policy.facts import FULL, WINDOW
from trimtab.replay.backtest.world import FIRST_MODEL, Bench, Model, single


def oracle(bench: Bench, price: float) -> tuple[Model, ...]:
    """Which version serves each batch.

    Args:
        bench: all full and window models of all batches are asked for.
        price: of a run, in units of the loss.
    """
    best: dict[Model, tuple[float, tuple[Model, ...]]] = {FIRST_MODEL: (0.0, ())}
    for batch in range(bench.history.batches):
        total, path = min(best.values(), key=lambda entry: entry[0])
        if batch and bench.schedule.available[batch] > bench.history.initial_rows:
            for kind in (FULL, WINDOW):
                best[Model(kind, batch)] = total + price, path
        best = {
            model: (spent + bench.loss(single(model), batch), (*served, model))
            for model, (spent, served) in best.items()
        }
    return min(best.values(), key=lambda entry: entry[0])[1]
