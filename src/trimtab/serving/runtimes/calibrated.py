"""A model whose answers are mapped before they are given: a recalibrated version, around any runtime."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.core.domain.errors import IntegrityError
from trimtab.serving.package import Calibration, Signature
from trimtab.serving.runtimes.base import Answers, Columns, Model, Outputs, Row, Value, class_array, plain

SMALLEST = 1e-9
"""A score is taken to be at least this, as when the map was fitted."""
FEW_ROWS = 24


class CalibratedModel:
    """The model inside, and the map over its answers. Classes are those of the largest mapped score."""

    direct = None

    def __init__(self, signature: Signature, inside: Model) -> None:
        """``signature``: with its calibration.

        Raises:
            IntegrityError: the calibration does not fit the task or the classes.
        """
        if signature.calibration is None:
            raise IntegrityError("signature.json has no calibration")
        self.signature = signature
        self._inside = inside
        self._map = signature.calibration
        self._classes: tuple[Any, ...] = signature.classes or ()
        self._class_array = class_array(self._classes)
        _check(self._map, signature)
        self._exponents, self._offsets = np.array(self._map.exponents), np.array(self._map.offsets)

    @property
    def digest(self) -> str:
        return self._inside.digest

    def predict(self, columns: Columns) -> Outputs:
        return self._mapped(self._inside.predict(columns))

    def predict_row(self, values: Sequence[Value]) -> Row:
        answer = self._inside.predict_row(values)
        if answer.scores is None:
            if self._classes:
                raise _no_scores()
            return Row(float(answer.prediction) * self._map.exponents[0] + self._map.offsets[0], None)
        scores = self._row(answer.scores)
        return Row(self._classes[scores.index(max(scores))], scores)

    def predict_rows(self, rows: Sequence[Sequence[Value]]) -> Answers:
        return self._answers(self._inside.predict_rows(rows))

    def predict_matrix(self, matrix: npt.NDArray[np.float64]) -> Answers:
        return self._answers(self._inside.predict_matrix(matrix))

    def _mapped(self, outputs: Outputs) -> Outputs:
        if outputs.scores is None:
            if self._classes:
                raise _no_scores()
            numbers = outputs.prediction.astype(np.float64)
            return Outputs(numbers * self._map.exponents[0] + self._map.offsets[0], None)
        if not len(outputs.scores):
            return outputs
        if self._map.knots:
            second = np.interp(outputs.scores[:, 1], self._map.knots, self._map.values)
            scores = np.column_stack([1.0 - second, second])
        else:
            logits = np.log(np.maximum(outputs.scores, SMALLEST)) * self._exponents + self._offsets
            scores = np.exp(logits - logits.max(axis=1, keepdims=True))
            scores /= scores.sum(axis=1, keepdims=True)
        return Outputs(self._class_array[scores.argmax(axis=1)], scores)

    def _answers(self, answers: Answers) -> Answers:
        """Few rows are quicker in plain Python than in calls of numpy."""
        predictions, scores = answers
        if scores is None:
            if self._classes:
                raise _no_scores()
            slope, offset = self._map.exponents[0], self._map.offsets[0]
            return [number * slope + offset for number in predictions], None
        if len(scores) > FEW_ROWS:
            return plain(self._mapped(Outputs(np.array(predictions), np.array(scores))))
        mapped = [self._row(row) for row in scores]
        return [self._classes[row.index(max(row))] for row in mapped], mapped

    def _row(self, scores: Sequence[float]) -> tuple[float, ...]:
        if self._map.knots:
            second = self._between(scores[1])
            return 1.0 - second, second
        logits = [
            math.log(score if score > SMALLEST else SMALLEST) * exponent + offset
            for score, exponent, offset in zip(scores, self._map.exponents, self._map.offsets, strict=True)
        ]
        top = max(logits)
        shifted = [math.exp(logit - top) for logit in logits]
        total = math.fsum(shifted)
        return tuple(value / total for value in shifted)

    def _between(self, score: float) -> float:
        """On the line between two knots; beyond the outer ones their values."""
        knots, values = self._map.knots, self._map.values
        place = bisect_right(knots, score)
        if place == 0:
            return values[0]
        if place == len(knots):
            return values[-1]
        share = (score - knots[place - 1]) / (knots[place] - knots[place - 1])
        return values[place - 1] + share * (values[place] - values[place - 1])


def _no_scores() -> IntegrityError:
    return IntegrityError("the model gives no scores, so its calibration has nothing to map")


def _check(map_: Calibration, signature: Signature) -> None:
    width = len(signature.classes) if signature.classes is not None else 1
    if map_.knots:
        fits = width == 2 and len(map_.knots) == len(map_.values) >= 2
        fits = fits and all(a < b for a, b in zip(map_.knots, map_.knots[1:], strict=False))
    else:
        fits = len(map_.exponents) == len(map_.offsets) == width
    if not fits:
        raise IntegrityError(
            f"signature.json: calibration '{map_.method}' does not fit {width} "
            f"{'classes' if signature.classes is not None else 'number'}"
        )
