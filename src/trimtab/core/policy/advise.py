"""The advice before a block: train or not, on what, why; and how sure the refusal is."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.core.domain.verdict import Reason
from trimtab.core.policy.facts import FULL, WINDOW, Facts, Kind
from trimtab.core.policy.payoff import PayoffSettings, Standing, debt, standing

_WORDS = {FULL: "per e-fold of data", WINDOW: "for a window of new rows"}


@dataclass(frozen=True, slots=True)
class Advice:
    """Train (a kind) or don't (None), and the reason with its figures."""

    train: Kind | None
    reason: Reason
    debt: float
    standing: Standing


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
        return Advice(None, Reason("NoEvidence", "no block is labelled yet"), owed, now)
    if not fresh:
        return Advice(None, Reason("NothingNew", "no labelled rows since the newest version"), owed, now)
    if owed < settings.price:
        return Advice(None, _not_yet(settings, now, owed), owed, now)
    kind, why = _kind(settings, facts, now)
    text = (
        f"expected gains add up to {owed:.2f} of a block's loss, the price of a run is {settings.price:g}: "
        f"a refit now is worth {100 * now.gain:.1f} % ({100 * now.slope[now.counted]:.0f} % {_WORDS[now.counted]})"
    )
    if now.excess > 0:
        text += f"; losses are {100 * (now.excess + settings.excess_from - 1.0):.0f} % above the newest version's first"
    return Advice(kind, Reason("RetrainPays", f"{text}; {why}", owed, settings.price), owed, now)


def _not_yet(settings: PayoffSettings, now: Standing, owed: float) -> Reason:
    if now.slope[now.counted] <= 0.0:
        text = f"earlier runs gained nothing ({100 * now.slope[now.counted]:.0f} % {_WORDS[now.counted]})"
        return Reason("RetrainDoesNotPay", text, owed, settings.price)
    text = f"expected gains add up to {owed:.2f} of a block's loss, less than the price of a run, {settings.price:g}"
    return Reason("RetrainNotYet", text, owed, settings.price)


def _kind(settings: PayoffSettings, facts: Facts, now: Standing) -> tuple[Kind, str]:
    """The preferred kind, or the other one where it is time to try it."""
    other: Kind = WINDOW if now.preferred == FULL else FULL
    if now.counted != now.preferred:
        return now.counted, f"{now.preferred} refits gained nothing, so a {now.counted} is tried"
    runs = [model.kind for model in facts.models[1:]]
    in_a_row = next((i for i, kind in enumerate(reversed(runs)) if kind != now.preferred), len(runs))
    urgent = other not in runs and (max(now.slope.values()) > settings.explore_gain or now.excess > 0)
    if in_a_row >= (1 if urgent else settings.explore_after):
        return other, f"{other} is tried after {in_a_row} of {now.preferred}"
    if other in runs:
        return now.preferred, f"{now.preferred} versions do better lately"
    return now.preferred, f"{now.preferred} by default"
