"""Scores mapped to what really happened lately: for a model whose ranking still holds while its level does not.

Maps of class scores p_k share one form, q_k ~ p_k^a_k exp(b_k), which is a multinomial logistic regression on log p:

    prior         a = 1            the base rates moved (Saerens, Latinne & Decaestecker, Neural Computation 14, 2002)
    temperature   a = t, b = 0     too sure, or not sure enough (Guo et al., ICML 2017)
    platt         a = t            both (Platt, "Probabilistic outputs for support vector machines", 1999)
    beta          all free         two classes (Kull, Silva Filho & Flach, AISTATS 2017)
    vector        all free         more classes (Guo et al.)

``isotonic`` (two classes) is any growing function, by pooling adjacent violators, joined by lines so that the ranking
stays. For numbers ``shift`` adds what the predictions miss by, ``linear`` scales them too.

Which one is chosen by the loss on blocks of time that it was not fitted on; a map of more parameters must be better by
more than one standard error of the paired difference (Breiman et al., "Classification and Regression Trees", 1984).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FOLDS = 5
SMALLEST = 1e-9
"""A score is taken to be at least this: a certainty of zero cannot be mapped to anything else."""
RIDGE = 1.0
"""Weight of staying as it was, in rows: keeps a map finite where the rows are separable."""
ISOTONIC_ROWS = 1_000
"""Fewest rows for a map without a form; with fewer it fits chance."""
VECTOR_CLASSES = 20
STEPS = 50
_ORDER = ("none", "shift", "prior", "temperature", "platt", "linear", "beta", "vector", "isotonic")
_LEAST_EXPONENT = 0.05
"""Less would turn or flatten the ranking: then the ranking is what is wrong, and no map mends it."""


@dataclass(frozen=True, slots=True)
class ScoreMap:
    """A fitted map. ``none`` changes nothing."""

    method: str
    exponents: tuple[float, ...] = ()
    """One per class; for numbers the slope."""
    offsets: tuple[float, ...] = ()
    """One per class, the first 0; for numbers what is added."""
    knots: tuple[float, ...] = ()
    """``isotonic``: scores of the second class, growing strictly."""
    values: tuple[float, ...] = ()
    """``isotonic``: what each knot becomes."""

    def scores(self, scores: Floats) -> Floats:
        """Class scores (n, classes) to class scores, rows summing to 1.

        >>> ScoreMap("prior", (1.0, 1.0), (0.0, np.log(4.0))).scores(np.array([[0.5, 0.5]])).round(3)
        array([[0.2, 0.8]])
        """
        if self.method == "none":
            return scores
        if self.method == "isotonic":
            second = np.interp(scores[:, 1], self.knots, self.values)
            return np.column_stack([1.0 - second, second])
        logits = np.log(np.maximum(scores, SMALLEST)) * np.array(self.exponents) + np.array(self.offsets)
        return _softmax(logits)

    def values_of(self, predictions: Floats) -> Floats:
        """Numbers (n,) to numbers.

        >>> ScoreMap("linear", (2.0,), (1.0,)).values_of(np.array([3.0]))
        array([7.])
        """
        if self.method == "none":
            return predictions
        return predictions * self.exponents[0] + self.offsets[0]


@dataclass(frozen=True, slots=True)
class Recalibration:
    """The chosen map, and what each map lost on rows that it was not fitted on."""

    map: ScoreMap
    rows: int
    losses: dict[str, float] = field(default_factory=dict)
    """Mean loss by method, out of fold: log loss, or absolute or squared error."""


def recalibrate_scores(scores: Floats, truth: Floats) -> Recalibration:
    """Choose and fit a map of class scores.

    Args:
        scores: (n, classes) of a model that was not trained on these rows, oldest row first.
        truth: (n,) position of each row's class.

    Raises:
        ValueError: fewer than two rows per fold, or a single class.

    >>> rng = np.random.default_rng(0)
    >>> p = rng.beta(2, 5, 4000)
    >>> moved = p * 3 / (p * 3 + 1 - p)
    >>> found = recalibrate_scores(np.column_stack([1 - p, p]), (rng.random(4000) < moved).astype(float))
    >>> found.map.method, bool(abs(found.map.offsets[1] - np.log(3)) < 0.15)
    ('prior', True)
    """
    n, classes = scores.shape
    _check(n, truth)
    two = classes == 2
    methods = ["none", "prior", "temperature", "platt"]
    methods += ["beta"] if two else (["vector"] if classes <= VECTOR_CLASSES else [])
    methods += ["isotonic"] if two and n >= ISOTONIC_ROWS else []
    places = truth.astype(np.intp)

    def lost(found: ScoreMap, rows: npt.NDArray[np.intp]) -> Floats:
        mapped = found.scores(scores[rows])[np.arange(len(rows)), places[rows]]
        losses: Floats = -np.log(np.maximum(mapped, SMALLEST))
        return losses

    losses = {}
    for method in methods:
        folds = [
            (_fit_scores(method, scores[rest], places[rest]), fold) for fold, rest in _folds(n, places if two else None)
        ]
        if all(found is not None for found, _ in folds):
            losses[method] = np.concatenate([lost(found, fold) for found, fold in folds if found is not None])
    return _choose(losses, n, lambda method: _fit_scores(method, scores, places))


def recalibrate_values(predictions: Floats, truth: Floats, *, squared: bool = False) -> Recalibration:
    """Choose and fit a map of predicted numbers.

    Args:
        predictions: (n,) of a model that was not trained on these rows, oldest row first.
        truth: (n,) what came.
        squared: whether squared errors count, otherwise absolute ones.

    Raises:
        ValueError: fewer than two rows per fold.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(10, 3, 500)
    >>> recalibrate_values(x, x + 2 + rng.normal(0, 1, 500)).map.method
    'shift'
    """
    n = len(predictions)
    _check(n, None)

    def lost(found: ScoreMap, rows: npt.NDArray[np.intp]) -> Floats:
        misses = truth[rows] - found.values_of(predictions[rows])
        return misses**2 if squared else np.abs(misses)

    losses = {}
    for method in ("none", "shift", "linear"):
        parts = []
        for fold, rest in _folds(n, None):
            found = _fit_values(method, predictions[rest], truth[rest], squared)
            if found is not None:
                parts.append(lost(found, fold))
        if len(parts) == FOLDS:
            losses[method] = np.concatenate(parts)
    return _choose(losses, n, lambda method: _fit_values(method, predictions, truth, squared))


def _check(n: int, truth: Floats | None) -> None:
    if n < 2 * FOLDS:
        raise ValueError(f"{n} rows are too few to choose a map by; {2 * FOLDS} are the least")
    if truth is not None and len(np.unique(truth)) < 2:
        raise ValueError("all rows are of one class, so there is nothing to map by")


def _folds(n: int, places: npt.NDArray[np.intp] | None) -> list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """(rows of a block of time, the others), in order; the others have both classes where there are two."""
    everything = np.arange(n)
    parts = np.array_split(everything, FOLDS)
    out = [(part, np.setdiff1d(everything, part, assume_unique=True)) for part in parts]
    if places is not None and any(len(np.unique(places[rest])) < 2 for _, rest in out):
        out = [(everything[k::FOLDS], np.setdiff1d(everything, everything[k::FOLDS])) for k in range(FOLDS)]
    return out


def _choose(losses: dict[str, Floats], rows: int, fit: Callable[[str], ScoreMap | None]) -> Recalibration:
    """The simplest map that is within one standard error of the best."""
    means = {method: float(lost.mean()) for method, lost in losses.items()}
    best = min(means, key=lambda method: means[method])
    for method in sorted(losses, key=_ORDER.index):
        difference = losses[method] - losses[best]
        error = float(difference.std(ddof=1)) / np.sqrt(len(difference))
        if means[method] <= means[best] + error:
            found = fit(method)
            if found is not None:
                return Recalibration(found, rows, means)
    return Recalibration(ScoreMap("none"), rows, means)


def _fit_scores(method: str, scores: Floats, places: npt.NDArray[np.intp]) -> ScoreMap | None:
    """The map of that method; None where it would turn the ranking."""
    if method == "none":
        return ScoreMap("none")
    if method == "isotonic":
        return _isotonic(scores[:, 1], places.astype(np.float64))
    classes = scores.shape[1]
    logs = np.log(np.maximum(scores, SMALLEST))
    free = _directions(method, classes)
    start = np.concatenate([np.ones(classes), np.zeros(classes)])
    found = start + free @ _newton(logs, places, start, free)
    exponents, offsets = found[:classes], found[classes:]
    if (exponents < _LEAST_EXPONENT).any():
        return None
    return ScoreMap(method, tuple(exponents.tolist()), tuple((offsets - offsets[0]).tolist()))


def _directions(method: str, classes: int) -> Floats:
    """(2 classes, parameters): how exponents and offsets follow the parameters. The first offset stays 0."""
    common = np.concatenate([np.ones(classes), np.zeros(classes)])[:, None]
    offsets = np.eye(2 * classes)[:, classes + 1 :]
    if method == "prior":
        return offsets
    if method == "temperature":
        return common
    if method == "platt":
        return np.hstack([common, offsets])
    return np.hstack([np.eye(2 * classes)[:, :classes], offsets])


def _newton(logs: Floats, places: npt.NDArray[np.intp], start: Floats, free: Floats) -> Floats:
    """Parameters that maximise the likelihood less ``RIDGE`` / 2 |parameters|^2, by Newton's method."""
    n, classes = logs.shape
    truth = np.zeros((n, classes))
    truth[np.arange(n), places] = 1.0
    parameters = np.zeros(free.shape[1])

    def objective(at: Floats) -> tuple[float, Floats]:
        found = start + free @ at
        q = _softmax(logs * found[:classes] + found[classes:])
        value = float(-np.log(np.maximum(q[np.arange(n), places], 1e-300)).sum() + RIDGE / 2 * at @ at)
        return value, q

    value, q = objective(parameters)
    for _ in range(STEPS):
        rest = q - truth
        gradient = free.T @ np.concatenate([(rest * logs).sum(axis=0), rest.sum(axis=0)]) + RIDGE * parameters
        weighted = np.hstack([q * logs, q])
        plain = np.block(
            [
                [np.diag((q * logs**2).sum(axis=0)), np.diag((q * logs).sum(axis=0))],
                [np.diag((q * logs).sum(axis=0)), np.diag(q.sum(axis=0))],
            ]
        )
        curvature = free.T @ (plain - weighted.T @ weighted) @ free + RIDGE * np.eye(free.shape[1])
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while size > 1e-6:
            after, q_after = objective(parameters - size * step)
            if after <= value:
                break
            size /= 2
        else:
            break
        gained, parameters = value - after, parameters - size * step
        value, q = after, q_after
        if gained < 1e-10 * max(1.0, abs(value)):
            break
    return parameters


def _softmax(logits: Floats) -> Floats:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    normal: Floats = shifted / shifted.sum(axis=1, keepdims=True)
    return normal


def _isotonic(scores: Floats, truth: Floats) -> ScoreMap | None:
    """Pool adjacent violators (Ayer et al., 1955); each pool stands at its mean score, and no pool is certain."""
    order = np.argsort(scores, kind="stable")
    pools: list[list[float]] = []  # rows, sum of scores, sum of truths
    for score, outcome in zip(scores[order].tolist(), truth[order].tolist(), strict=True):
        pools.append([1.0, score, outcome])
        while len(pools) > 1 and pools[-2][2] * pools[-1][0] >= pools[-1][2] * pools[-2][0]:
            last = pools.pop()
            pools[-1] = [a + b for a, b in zip(pools[-1], last, strict=True)]
    knots = np.array([pool[1] / pool[0] for pool in pools])
    values = np.array([(pool[2] + 0.5) / (pool[0] + 1.0) for pool in pools])
    values = np.maximum.accumulate(values)
    keep = np.concatenate([[True], np.diff(knots) > SMALLEST])
    knots, values = knots[keep], values[keep]
    if len(knots) < 2:
        return None
    return ScoreMap("isotonic", knots=tuple(knots.tolist()), values=tuple(values.tolist()))


def _fit_values(method: str, predictions: Floats, truth: Floats, squared: bool) -> ScoreMap | None:
    if method == "none":
        return ScoreMap("none")
    missed = truth - predictions
    if method == "shift":
        return ScoreMap("shift", (1.0,), (float(missed.mean() if squared else np.median(missed)),))
    centre = float(predictions.mean())
    design = np.column_stack([predictions - centre, np.ones(len(predictions))])
    weights: Floats = np.ones(len(predictions))
    found: Floats = np.zeros(2)
    for _ in range(1 if squared else 20):  # least absolute errors by weighted least squares (Schlossmacher, 1973)
        gram = design.T @ (design * weights[:, None]) + 1e-9 * np.eye(2)
        found = np.asarray(np.linalg.solve(gram, design.T @ (weights * truth)), dtype=np.float64)
        rest: Floats = np.abs(truth - design @ found)
        weights = np.asarray(1.0 / np.maximum(rest, 1e-3 * max(float(rest.mean()), 1e-12)), dtype=np.float64)
    slope = float(found[0])
    if slope < _LEAST_EXPONENT:
        return None
    return ScoreMap("linear", (slope,), (float(found[1]) - slope * centre,))
