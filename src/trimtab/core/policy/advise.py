"""The advice before a block: train or not, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trimtab.core.domain.verdict import Reason
from trimtab.core.policy.facts import FULL, WINDOW, Facts
from trimtab.core.policy.payoff import PayoffSettings, Standing, debt, standing

_WORDS = {FULL: "per e-fold of data", WINDOW: "for a window of new rows"}


@dataclass(frozen=True, slots=True)
class Advice:
    """Train or don't, and the reason with its figures. On which rows is for the run to find out
    (``strategy: auto``)."""

    train: bool
    reason: Reason
    debt: float = 0.0
    standing: Standing | None = None
    """None where nothing could be judged."""


def advise(settings: PayoffSettings, facts: Facts) -> Advice:
    """Whether to start a training run now.

    Args:
        settings: the price and the priors.
        facts: everything that is known before the block that is about to begin.

    Returns:
        ``train`` is set where the debt has reached the price and rows are there that no version was trained on.
    """
    now = standing(settings, facts)
    owed = debt(settings, facts)
    fresh = facts.available[-1] > max(model.rows for model in facts.models)
    if not facts.labelled:
        return Advice(False, Reason("NoEvidence", "no block is labelled yet"), owed, now)
    if not fresh:
        return Advice(False, Reason("NothingNew", "no labelled rows since the newest version"), owed, now)
    if owed < settings.price:
        return Advice(False, _not_yet(settings, now, owed), owed, now)
    slope = f"{100 * now.slope[now.counted]:.0f} % {_WORDS[now.counted]}"
    text = f"expected gains add up to {owed:.2f} of a block's loss, the price of a run is {settings.price:g}: "
    if now.slope[now.counted] < settings.least:
        text += f"earlier runs gained little or nothing ({slope}), and the newest is so old that one is tried again"
    else:
        text += f"a refit now is worth {100 * now.gain:.1f} % ({slope})"
    if now.excess > 0:
        text += f"; losses are {100 * (now.excess + settings.excess_from - 1.0):.0f} % above the newest version's first"
    return Advice(True, Reason("RetrainPays", text, owed, settings.price), owed, now)


def _not_yet(settings: PayoffSettings, now: Standing, owed: float) -> Reason:
    if now.slope[now.counted] <= 0.0:
        text = f"earlier runs gained nothing ({100 * now.slope[now.counted]:.0f} % {_WORDS[now.counted]})"
        return Reason("RetrainDoesNotPay", text, owed, settings.price)
    text = f"expected gains add up to {owed:.2f} of a block's loss, less than the price of a run, {settings.price:g}"
    return Reason("RetrainNotYet", text, owed, settings.price)


def nothing(code: str, text: str) -> Advice:
    """No advice, and why there is none."""
    return Advice(False, Reason(code, text))


def figures(advice: Advice) -> dict[str, Any]:
    """Plain JSON of the arithmetic, for the journal and for people."""
    now = advice.standing
    if now is None:
        return {}
    return {
        "debt": advice.debt,
        "price": advice.reason.limit,
        "slope": dict(now.slope),
        "growth": dict(now.growth),
        "counted": now.counted,
        "excess": now.excess,
        "level": now.level,
        "step": now.step,
    }
