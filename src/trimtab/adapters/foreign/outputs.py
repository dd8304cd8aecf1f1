"""Answers of any server as scores and predictions of ours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.core.domain.errors import DataError


def as_many(outputs: list[Any], rows: int) -> list[Any]:
    """One output for each row: some servers write the answers to several rows into one line.

    Raises:
        DataError: the numbers differ.
    """
    if len(outputs) == 1 and rows > 1 and isinstance(outputs[0], list) and len(outputs[0]) == rows:
        outputs = outputs[0]
    if len(outputs) != rows:
        raise DataError(f"{rows} rows were asked, but {len(outputs)} answers given")
    return outputs


def answer_of(output: Any, classes: Sequence[str], regression: bool) -> tuple[tuple[float, ...] | None, Any]:
    """(scores, prediction) of one output.

    A list of as many numbers as there are classes, or a mapping of class to score: scores. A single number between 0
    and 1 that is no class, where there are two: the score of the second. Anything else: the class, or the value.

    Raises:
        DataError: an output that is none of these.

    Example:
        >>> answer_of(0.8, ("no", "yes"), False)[1]
        'yes'
        >>> answer_of("no", ("no", "yes"), False)
        (None, 'no')
    """
    if isinstance(output, Mapping):
        return _of_mapping(output, classes)
    if isinstance(output, list):
        if classes and len(output) == len(classes):
            return _scored([_number(value) for value in output], classes)
        hint = f"{len(classes)} classes are named" if classes else "name the classes with --classes"
        raise DataError(f"an answer of {len(output)} values, but {hint}")
    if regression:
        return None, _number(output)
    text = class_text(output)
    if len(classes) == 2 and text not in classes and isinstance(output, int | float) and 0 <= output <= 1:
        return _scored([1.0 - float(output), float(output)], classes)
    if classes and text not in classes:
        raise DataError(f"the answer {text[:40]!r} is not one of the classes {', '.join(classes)}")
    return None, text


def _of_mapping(output: Mapping[str, Any], classes: Sequence[str]) -> tuple[tuple[float, ...] | None, Any]:
    named = {str(name): value for name, value in output.items()}
    for key in ("probabilities", "scores", "probability"):
        if key in named and classes:
            inner = named[key]
            return answer_of(inner if isinstance(inner, Mapping | list) else float(inner), classes, False)
    if classes and set(classes) <= set(named):
        return _scored([_number(named[name]) for name in classes], classes)
    for key in ("prediction", "predicted_label", "label", "score"):
        if key in named and not isinstance(named[key], Mapping | list):
            return answer_of(named[key], classes, not classes)
    raise DataError(f"an answer with the keys {', '.join(list(named)[:6])} is of no known form")


def _scored(scores: list[float], classes: Sequence[str]) -> tuple[tuple[float, ...], str]:
    best = max(range(len(scores)), key=scores.__getitem__)
    return tuple(scores), classes[best]


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise DataError(f"a number was expected, found {str(value)[:40]!r}")
    try:
        found = float(value)
    except ValueError:
        raise DataError(
            f"a number was expected, found {value[:40]!r}" if isinstance(value, str) else str(value)
        ) from None
    if not math.isfinite(found):
        raise DataError(f"a finite number was expected, found {found}")
    return found


def class_text(value: Any) -> str:
    """A class as the log writes it: JSON without quotes; whole numbers without a point.

    >>> class_text(1.0), class_text(True), class_text("late")
    ('1', 'true', 'late')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
