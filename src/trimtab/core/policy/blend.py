"""How much each candidate's answers should count: the weights whose mixture lost least on the newest labelled blocks.

The weights w on the simplex minimise sum_i a_i loss(sum_r w_r p_ri, y_i) / level + KL(w, prior) / rate by mirror
descent (exponentiated gradient: Kivinen & Warmuth, "Exponentiated gradient versus gradient descent for linear
predictors", 1997), averaged over the second half of the steps, since an absolute loss has corners. The loss is that
of the mixture, not the mixture of the losses: candidates whose errors differ are worth more together than the best of
them. The prior keeps weights even where the rows do not tell the candidates apart.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
RATE = 40.0
"""1 / RATE of the level of loss is what it costs to leave the prior by one nat."""
STEPS = 60
FIRST_STEP = 2.0
LEAST = 0.005
"""Smaller weights are dropped: each version that has a weight must score each request."""
SMALLEST = 1e-12


def blend_weights(errors: Floats, weights: Floats, *, probability: bool, rate: float = RATE) -> Floats:
    """Weights of the candidates, shape (candidates,), that sum to 1.

    Args:
        errors: (candidates, rows): with ``probability`` what each candidate gave the true class (the loss is the log
            loss), otherwise its prediction less the truth (the loss is the absolute error).
        weights: (rows,) how much each row counts, e.g. less for older blocks; they need not sum to 1.
        probability: which of the two.
        rate: how far the evidence may move the weights from being equal.

    >>> blend_weights(np.array([[0.9, 0.9], [0.1, 0.1]]), np.ones(2), probability=True).round(2)
    array([1., 0.])
    """
    count = len(errors)
    if count == 1 or errors.shape[1] == 0:
        return np.full(count, 1.0 / count, dtype=np.float64)
    level: float = float(weights @ _losses(errors[0], probability)) or 1.0
    shares = np.full(count, 1.0 / count)
    logs = np.log(shares)
    prior = logs.copy()
    mean = np.zeros(count)
    scale = weights / level * weights.sum()
    for step in range(STEPS):
        size = FIRST_STEP / np.sqrt(1.0 + step)
        logs = (logs - size * (_slopes(errors, shares, probability) @ scale) + size / rate * prior) / (
            1.0 + size / rate
        )
        shares = np.exp(logs - logs.max())
        shares /= shares.sum()
        logs = np.log(np.maximum(shares, SMALLEST))
        if step >= STEPS // 2:
            mean += shares / (STEPS - STEPS // 2)
    kept: Floats = np.where(mean >= LEAST, mean, 0.0)
    kept /= kept.sum()
    return kept


def _losses(errors: Floats, probability: bool) -> Floats:
    losses: Floats = -np.log(np.maximum(errors, SMALLEST)) if probability else np.abs(errors)
    return losses


def _slopes(errors: Floats, shares: Floats, probability: bool) -> Floats:
    """(candidates, rows) derivative of each row's loss by each weight."""
    mixed = shares @ errors
    slopes: Floats = -errors / np.maximum(mixed, SMALLEST) if probability else errors * np.sign(mixed)
    return slopes
