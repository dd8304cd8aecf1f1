"""What the sequential tests share: the three answers, mixtures in log space, and checks of what comes in.

All three tests ask the same question of two arms, *is the challenger worse than the champion?*, where higher is worse
(bad events, losses, latencies), and answer with the same words:

- ``failed``: it is worse. Raised with probability at most ``alpha`` where it is not, at any time, however often one
  looks.
- ``successful``: it is not worse by the margin or more. Shown wrongly with probability at most ``alpha`` as well.
- ``inconclusive``: neither is shown yet. No evidence is never success.

The tool is the e-process: a running product of fair bets against a hypothesis. Under the hypothesis it exceeds
``1/alpha`` ever with probability at most ``alpha`` (Ville's inequality), so it may be looked at after every row.
Source: Ramdas, Grünwald, Vovk, Shafer, "Game-theoretic statistics and safe anytime-valid inference", Statistical
Science 2023.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Answer = Literal["successful", "failed", "inconclusive"]
Floats = NDArray[np.float64]

LARGEST_LOG = 700.0
"""Evidence beyond exp(700) is reported as that: a float holds no more."""


def log_mix(log_values: Floats, log_weights: Floats) -> float:
    """Log of the weighted sum of ``exp(log_values)``; both of shape (k,), the weights sum to one.

    >>> round(log_mix(np.log([1.0, 3.0]), np.log([0.5, 0.5])), 6) == round(math.log(2.0), 6)
    True
    """
    terms = log_values + log_weights
    top = float(terms.max())
    if top == -math.inf:
        return -math.inf
    return top + math.log(float(np.exp(terms - top).sum()))


def bounded_exp(log_value: float) -> float:
    """``exp`` that stops at ``exp(700)`` instead of overflowing."""
    return math.exp(min(log_value, LARGEST_LOG))


def decide(log_harm: float, log_within: float, alpha: float, already_failed: bool) -> Answer:
    """The answer from the log evidence of harm and the log evidence of a difference under the margin.

    Harm that is shown to be smaller than the margin is tolerated; a failure that was once raised stays.
    """
    threshold = -math.log(alpha)
    if already_failed:
        return "failed"
    if log_within >= threshold:
        return "successful"
    return "failed" if log_harm >= threshold else "inconclusive"


def check_alpha(alpha: float) -> float:
    """``alpha`` when it is a probability strictly between 0 and 1."""
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must be between 0 and 1, found {alpha!r} (0.05 is usual)")
    return float(alpha)


def check_margin(margin: float) -> float:
    """``margin`` when it is finite and not negative."""
    if not (math.isfinite(margin) and margin >= 0.0):
        raise ValueError(f"margin must be a finite number of at least 0, found {margin!r}")
    return float(margin)


def as_values(values: Any, name: str, lower: float, upper: float) -> Floats:
    """One-dimensional float64 array of values within [lower, upper]; anything else is an error that names the first
    offender."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, found shape {array.shape}")
    wrong = np.flatnonzero(~((array >= lower) & (array <= upper)))
    if wrong.size:
        first = int(wrong[0])
        raise ValueError(
            f"{name}[{first}] is {array[first]!r}, outside [{lower:g}, {upper:g}] "
            f"({wrong.size} of {array.size} values are); give the bounds that the values can have"
        )
    return array


def check_state(state: dict[str, Any], test: str) -> None:
    """Refuse a state that another test, or another format, wrote."""
    found = (state.get("test"), state.get("format"))
    if found != (test, 1):
        raise ValueError(f"not the state of a {test} test of format 1: found test {found[0]!r}, format {found[1]!r}")
