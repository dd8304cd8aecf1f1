"""What candidate, champion and a constant say of the evaluation rows, and how good that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trimtab.core.domain.errors import EstimatorError
from trimtab.core.gates.metrics import LABELS, Answers, measure
from trimtab.training.fit import user_code

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from trimtab.serving.package import InputSpec
    from trimtab.serving.runtimes import Columns, Model

Floats = npt.NDArray[np.float64]
Class = bool | int | float | str
PREDICTED_ROWS = 200


def encoded(target: npt.NDArray[Any], classes: Sequence[Class]) -> Floats:
    """Position of each row's class, shape (n,); -1 for one that is not among ``classes``.

    >>> encoded(np.array(["b", "c", "a"], dtype=object), ["a", "b"]).tolist()
    [1.0, -1.0, 0.0]
    """
    kinds = {type(value) for value in classes}
    if kinds == {{"b": bool, "i": int}.get(target.dtype.kind)}:  # a million of them: not one by one
        found = pc.index_in(pa.array(target), value_set=pa.array(list(classes), pa.from_numpy_dtype(target.dtype)))
        return np.asarray(pc.fill_null(found, -1), dtype=np.float64)
    place = {value: float(i) for i, value in enumerate(classes)}
    return np.array([place.get(value, -1.0) for value in target.tolist()], dtype=np.float64)


def positive_position(classes: Sequence[Class], positive: Class | None) -> int:
    """Where the positive of two classes stands: by default the second."""
    return list(classes).index(positive) if positive is not None and positive in classes else 1


def estimator_answers(
    estimator: Any, features: pd.DataFrame, truth: Floats, classes: Sequence[Class] | None, positive: int, root: Path
) -> Answers:
    """The fitted estimator's answers, each row scored once.

    Classes are those of the largest score, unless ``predict`` says otherwise on some of the rows (a tuned threshold):
    then they are ``predict``'s.

    Args:
        truth: (n,) positions in ``classes``, or values.
        classes: all classes of the history, sorted; None for regression. Those unknown to the estimator get score 0.

    Raises:
        EstimatorError: it fails, or its answers are not numbers or of the wrong shape.
    """
    name = type(estimator).__name__
    if classes is None:
        with user_code(root, f"{name}.predict on {len(features):,} rows"):
            values = np.asarray(estimator.predict(features), dtype=np.float64)
        _check_answers(values, (len(features),), f"{name}.predict")
        return Answers(truth, values)
    with user_code(root, f"{name}.predict_proba on {len(features):,} rows"):
        scores = np.asarray(estimator.predict_proba(features), dtype=np.float64)
        known = list(np.asarray(estimator.classes_).tolist())
    _check_answers(scores, (len(features), len(known)), f"{name}.predict_proba")
    aligned = align(scores, known, classes)
    predicted = aligned.argmax(axis=1).astype(np.float64)
    some = np.unique(np.linspace(0, len(features) - 1, min(len(features), PREDICTED_ROWS)).astype(int))
    with user_code(root, f"{name}.predict"):
        if (encoded(np.asarray(estimator.predict(features.iloc[some])), classes) != predicted[some]).any():
            predicted = encoded(np.asarray(estimator.predict(features)), classes)
    return Answers(truth, predicted, aligned, positive)


def _check_answers(values: Floats, shape: tuple[int, ...], what: str) -> None:
    if values.shape != shape:
        raise EstimatorError(f"{what} gave an array of shape {values.shape}, expected {shape}")
    if bad := int((~np.isfinite(values)).sum()):
        raise EstimatorError(f"{what} gave {bad:,} values that are not finite numbers")


def align(scores: Floats, known: Sequence[Class], classes: Sequence[Class]) -> Floats:
    """Scores of a model's own classes as scores of ``classes``; what it does not know gets 0, what is gone is dropped.

    >>> align(np.array([[0.25, 0.75]]), ["a", "c"], ["a", "b", "c"])
    array([[0.25, 0.  , 0.75]])
    """
    out = np.zeros((len(scores), len(classes)))
    for column, value in enumerate(known):
        for place, wanted in enumerate(classes):
            if type(value) is type(wanted) and value == wanted:
                out[:, place] = scores[:, column]
    return out


def model_answers(
    model: Model, table: pa.Table, truth: Floats, classes: Sequence[Class] | None, positive: int
) -> tuple[Answers, tuple[str, ...]]:
    """A packaged model's answers, and the names of its inputs that the table no longer has (given as missing).

    Raises:
        ExternalError: the model fails on these rows.
    """
    columns, lacking = model_columns(model.signature.inputs, table)
    outputs = model.predict(columns)
    values = np.asarray(outputs.prediction)
    predicted = values.astype(np.float64) if classes is None else encoded(values, classes)
    scores = None
    if classes is not None and outputs.scores is not None:
        scores = align(np.asarray(outputs.scores, dtype=np.float64), model.signature.classes or (), classes)
    return Answers(truth, predicted, scores, positive), lacking


def model_columns(inputs: Sequence[InputSpec], table: pa.Table) -> tuple[Columns, tuple[str, ...]]:
    """A table's columns as ``Model.predict`` takes them, and the inputs that the table lacks."""
    columns: dict[str, npt.NDArray[np.generic]] = {}
    lacking = []
    for spec in inputs:
        column = table[spec.name] if spec.name in table.column_names else None
        textual = column is not None and pa.types.is_string(column.type)
        if column is None or textual != (spec.type == "string"):
            lacking.append(spec.name)
            empty = None if spec.type == "string" else np.nan
            columns[spec.name] = np.full(table.num_rows, empty, dtype=object if empty is None else np.float64)
        elif textual:
            columns[spec.name] = np.asarray(column.to_numpy(zero_copy_only=False), dtype=object)
        else:
            scale = 1e6 if pa.types.is_timestamp(column.type) else 1.0
            numbers = (column.cast(pa.int64()) if scale > 1 else column).cast(pa.float64(), safe=False)
            columns[spec.name] = np.asarray(numbers.to_numpy(zero_copy_only=False), dtype=np.float64) / scale
    return columns, tuple(lacking)


def constant_answers(
    training: Floats, truth: Floats, classes: Sequence[Class] | None, positive: int, metric: str
) -> Answers:
    """What is reached without the features: the training rows' class shares, mean, or median (for ``mae``)."""
    if classes is None:
        value = float(np.median(training) if metric == "mae" else training.mean())
        return Answers(truth, np.full(len(truth), value))
    shares = np.bincount(training.astype(int), minlength=len(classes)) / len(training)
    scores = np.tile(shares, (len(truth), 1))
    return Answers(truth, np.full(len(truth), float(shares.argmax())), scores, positive)


def figures(answers: Answers) -> dict[str, float]:
    """All metrics that apply, on all rows; what these rows do not define (AUROC of one class) is left out."""
    rows = np.ones(len(answers.truth), bool)
    of_numbers = ["mae", "rmse"]
    names = of_numbers if answers.scores is None else [name for name in LABELS if name not in of_numbers]
    found = {name: measure(name, answers)(rows) for name in names}
    if answers.scores is None:
        residual = float(((answers.truth - answers.predicted) ** 2).sum())
        spread = float(((answers.truth - answers.truth.mean()) ** 2).sum())
        found["r2"] = 1.0 - residual / spread if spread else float("nan")
    else:
        found |= _precision_recall(answers)
    return {name: float(value) for name, value in found.items() if np.isfinite(value)}


def _precision_recall(answers: Answers) -> dict[str, float]:
    if answers.scores is None or answers.scores.shape[1] != 2:
        return {}
    truth, predicted = answers.truth == answers.positive, answers.predicted == answers.positive
    hits = float((truth & predicted).sum())
    return {
        "precision": hits / predicted.sum() if predicted.any() else float("nan"),
        "recall": hits / truth.sum() if truth.any() else float("nan"),
    }
