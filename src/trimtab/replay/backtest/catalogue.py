"""Policies by their names on the command line."""

from __future__ import annotations

import math

from trimtab.core.domain.errors import UserError
from trimtab.core.policy import PayoffSettings
from trimtab.core.policy.facts import FULL, WINDOW, Kind
from trimtab.replay.backtest.cara import Cara
from trimtab.replay.backtest.policies import Every, OnAdwin, OnDrift, OnError
from trimtab.replay.backtest.policy import Newest, Policy
from trimtab.replay.backtest.production import Trimtab


def parse(text: str, price: float) -> Policy:
    """A policy from what is written on the command line.

    Args:
        text: e.g. ``every:4`` or ``every:4:window``.
        price: of a run, in units of the first version's mean loss on one batch.

    Raises:
        UserError: there is no such policy, or its figure cannot be; with what there is.

    >>> parse("every:4", 0.1).name
    'every:4'
    """
    name, _, rest = text.partition(":")
    if name == "trimtab" and rest in ("", "single"):
        return Trimtab(text, PayoffSettings(price=price), blend=not rest)
    if text == "cara":
        return Cara(text, price=price)
    figure, _, window = rest.partition(":")
    kind = WINDOW if "window" in (figure, window) else FULL
    figure = "" if figure == "window" else figure
    if window not in ("", "window") or name not in _MAKERS:
        raise UserError(f"there is no policy '{text}'; there are {', '.join(KNOWN)} (and ':window' after most)")
    return _MAKERS[name](text, kind, figure)


def _every(text: str, kind: Kind, figure: str) -> Policy:
    if not figure.isdigit() or int(figure) < 1:
        raise UserError(f"policy '{text}': write every:N with N batches between two runs, e.g. every:4")
    return Every(text, kind, every=int(figure))


def _error(text: str, kind: Kind, figure: str) -> Policy:
    return OnError(text, kind, share=_figure(text, figure or "0.1", "error:0.1"))


def _drift(text: str, kind: Kind, figure: str) -> Policy:
    if not (figure or "psi0.2").startswith("psi"):
        raise UserError(f"policy '{text}': write drift:psiX with the index that starts a run, e.g. drift:psi0.2")
    return OnDrift(text, kind, limit=_figure(text, (figure or "psi0.2")[3:], "drift:psi0.2"))


def _adwin(text: str, kind: Kind, figure: str) -> Policy:
    return OnAdwin(text, kind, delta=_figure(text, figure or "0.002", "adwin:0.002"))


def _never(text: str, kind: Kind, figure: str) -> Policy:
    if figure or kind == WINDOW:
        raise UserError(f"policy '{text}': 'never' takes no figure")
    return Newest("never")


def _figure(text: str, figure: str, example: str) -> float:
    try:
        value = float(figure)
    except ValueError:
        raise UserError(f"policy '{text}': '{figure}' is not a number; write e.g. {example}") from None
    if not (math.isfinite(value) and value > 0):
        raise UserError(f"policy '{text}': the figure must be above 0; write e.g. {example}")
    return value


_MAKERS = {"never": _never, "every": _every, "error": _error, "drift": _drift, "adwin": _adwin}
KNOWN = ("never", "every:N", "error:X", "drift:psiX", "adwin", "cara", "trimtab", "trimtab:single", "oracle")
