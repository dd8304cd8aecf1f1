"""From a compiled model's raw numbers to classes and scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from trimtab.core.domain.errors import IntegrityError
from trimtab.serving.package import Signature
from trimtab.serving.runtimes.base import Answers, Outputs, Row, class_array, plain

Link = Literal["value", "exp", "sigmoid", "softmax", "complement", "scores"]
"""value: the number itself; exp: its exponential; sigmoid: one logit of the second class; softmax: a logit per class;
complement: the second class's score; scores: a score per class."""


FEW_ROWS = 24


class HeadSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stands in the signature's ``runtime.settings["head"]``."""

    link: Link
    base: tuple[float, ...] = ()
    """Added to the raw numbers, one per column; empty: nothing is added."""


class Head:
    """Executes a ``HeadSpec`` for a batch and, in plain Python, for a row."""

    def __init__(self, signature: Signature) -> None:
        try:
            spec = msgspec.convert(signature.runtime.settings["head"], HeadSpec)
        except (KeyError, msgspec.ValidationError) as error:
            raise IntegrityError(f"signature.json runtime.settings.head: {error}") from error
        regression = spec.link in ("value", "exp")
        if regression != (signature.task == "regression"):
            raise IntegrityError(f"signature.json: link '{spec.link}' does not fit task {signature.task}")
        self._link: Link = spec.link
        self._base = np.array(spec.base, dtype=np.float64)
        self._bases: Sequence[float] = spec.base
        self._classes: tuple[Any, ...] = signature.classes or ()
        self._class_array = class_array(self._classes)

    @property
    def link(self) -> tuple[str, float]:
        """The link, and what is added to a single number before it."""
        return self._link, self._bases[0] if self._bases else 0.0

    def batch(self, raw: npt.NDArray[np.generic]) -> Outputs:
        """Raw numbers (n, width) to outputs."""
        if not len(raw):
            return self.empty()
        numbers: npt.NDArray[np.float64] = raw.reshape(len(raw), -1).astype(np.float64, copy=False)
        if len(self._base):
            numbers = numbers + self._base
        if self._link == "value":
            return Outputs(numbers[:, 0], None)
        if self._link == "exp":
            return Outputs(np.exp(numbers[:, 0]), None)
        if self._link in ("sigmoid", "complement"):
            scores = self._two_scores(numbers[:, 0])
            return Outputs(self._class_array[(scores[:, 1] > scores[:, 0]).view(np.int8)], scores)
        scores = self._scores(numbers)
        return Outputs(self._class_array[scores.argmax(axis=1)], scores)

    def empty(self) -> Outputs:
        """The answer for no rows."""
        if not self._classes:
            return Outputs(np.empty(0), None)
        return Outputs(self._class_array[:0], np.empty((0, len(self._classes))))

    def _scores(self, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        if self._link == "scores":
            return numbers
        shifted = np.exp(numbers - numbers.max(axis=1, keepdims=True))
        normal: npt.NDArray[np.float64] = shifted / shifted.sum(axis=1, keepdims=True)
        return normal

    def _two_scores(self, second: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        scores = np.empty((len(second), 2))
        if self._link == "sigmoid":
            small = np.exp(-np.abs(second))
            small /= 1.0 + small  # the smaller of the two scores
            second = np.where(second >= 0, 1.0 - small, small)
        scores[:, 1] = second
        np.subtract(1.0, second, out=scores[:, 0])
        return scores

    def rows(self, raw: npt.NDArray[np.generic]) -> Answers:
        """Raw numbers (n, width) to answers. Few rows are quicker in plain Python than in calls of numpy."""
        if len(raw) > FEW_ROWS:
            return plain(self.batch(raw))
        listed: Any = raw.reshape(len(raw), -1).tolist()
        if self._link == "sigmoid":
            base = self._bases[0] if self._bases else 0.0
            scores = [_sigmoid(numbers[0] + base) for numbers in listed]
            negative, positive = self._classes
            return [positive if second > 0.5 else negative for _, second in scores], scores
        answers = [self.row(numbers) for numbers in listed]
        some = [answer.scores for answer in answers if answer.scores is not None]
        return [answer.prediction for answer in answers], some or None

    def row(self, numbers: Sequence[float]) -> Row:
        """The raw numbers of one row to its answer."""
        if self._bases:
            numbers = [number + base for number, base in zip(numbers, self._bases, strict=True)]
        link = self._link
        if link == "sigmoid":
            scores = _sigmoid(numbers[0])
            return Row(self._classes[1 if scores[1] > 0.5 else 0], scores)
        if link == "complement":
            second = numbers[0]
            first = 1.0 - second
            return Row(self._classes[1 if second > first else 0], (first, second))
        if link == "value":
            return Row(float(numbers[0]), None)
        if link == "exp":
            return Row(math.exp(numbers[0]), None)
        if link == "softmax":
            top = max(numbers)
            shifted = [math.exp(number - top) for number in numbers]
            total = math.fsum(shifted)
            numbers = [value / total for value in shifted]
        several = tuple(numbers)
        return Row(self._classes[several.index(max(several))], several)


def _sigmoid(x: float) -> tuple[float, float]:
    """Scores of the first and the second class from the logit of the second."""
    small = math.exp(-abs(x))
    second = 1.0 / (1.0 + small) if x >= 0 else small / (1.0 + small)
    return 1.0 - second, second
