"""From a package on disk to a model that has proved itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.core.domain.errors import DataError, ExternalError, IntegrityError
from trimtab.serving.package import (
    ClassValue,
    Example,
    ExampleOutput,
    Signature,
    read_example,
    read_signature,
    verify,
)
from trimtab.serving.runtimes.base import Columns, Model, Outputs, Row, Value

TOLERANCE = 1e-5
"""Largest difference from the recorded example, absolute up to 1 and relative above."""


def load(directory: Path, digest: str | None = None) -> Model:
    """Verify the package, load it with its runtime, warm it and prove it on its example.

    Raises:
        IntegrityError: a file is not what the manifest says, or the answers differ from the recorded ones.
        MissingLibraryError: the runtime's library is not installed.
        ExternalError: the model cannot be loaded or executed.
    """
    found = verify(directory, digest)
    signature = read_signature(directory)
    model = open_model(directory, signature, found)
    prove(model, read_example(directory), str(directory))
    return model


def prove(model: Model, example: Example, where: str) -> None:
    """Score the example as a batch and row by row (which warms both paths) and compare with what is recorded.

    Raises:
        IntegrityError: an answer differs by more than ``TOLERANCE``; the row and both answers are named.
    """
    try:
        batch = model.predict(example_columns(model.signature, example.inputs))
        rows = [model.predict_row(example_values(model.signature, row)) for row in example.inputs]
    except (DataError, KeyError) as error:
        raise IntegrityError(f"{where}: the example does not fit the signature: {error}") from error
    for index, (row, recorded) in enumerate(zip(rows, example.outputs, strict=True)):
        for path, answer in (("row", row), ("batch", output_row(batch, index))):
            if not same(answer, recorded):
                raise IntegrityError(
                    f"{where}: the model does not give its recorded answers: example {index} ({path}) "
                    f"gives {_words(answer)}, recorded is {_words(recorded)}"
                )


def example_values(signature: Signature, row: dict[str, ClassValue | None]) -> list[Value]:
    """A row of ``example.json`` in the order of the inputs."""
    return [row[name] for name in signature.names]


def example_columns(signature: Signature, rows: Sequence[dict[str, ClassValue | None]]) -> Columns:
    """Rows of ``example.json`` as the arrays that ``Model.predict`` takes."""
    columns: dict[str, npt.NDArray[np.generic]] = {}
    for spec in signature.inputs:
        values = [row[spec.name] for row in rows]
        column: npt.NDArray[Any] = np.empty(len(values), dtype=object)
        column[:] = values
        columns[spec.name] = column if spec.type == "string" else column.astype(np.float64)
    return columns


def output_row(outputs: Outputs, index: int) -> Row:
    """One row of a batch's answer in plain Python values."""
    value = outputs.prediction[index]
    scores = None if outputs.scores is None else tuple(float(score) for score in outputs.scores[index])
    return Row(value.item() if isinstance(value, np.generic) else value, scores)


def same(found: Row, recorded: ExampleOutput, tolerance: float = TOLERANCE) -> bool:
    """Whether two answers are equal within the tolerance; classes may differ only where the scores tie."""
    if (found.scores is None) != (recorded.scores is None):
        return False
    if found.scores is not None and recorded.scores is not None:
        if len(found.scores) != len(recorded.scores):
            return False
        if not all(_close(a, b, tolerance) for a, b in zip(found.scores, recorded.scores, strict=True)):
            return False
        first, second = [*sorted(recorded.scores, reverse=True), -math.inf][:2]
        return found.prediction == recorded.prediction or first - second <= 2 * tolerance
    if isinstance(recorded.prediction, float) and isinstance(found.prediction, float):
        return _close(found.prediction, recorded.prediction, tolerance)
    return found.prediction == recorded.prediction


def _close(a: float, b: float, tolerance: float) -> bool:
    return abs(a - b) <= tolerance * max(1.0, abs(b))


def _words(answer: Row | ExampleOutput) -> str:
    scores = "" if answer.scores is None else " (" + ", ".join(f"{score:.6g}" for score in answer.scores) + ")"
    return f"{answer.prediction}{scores}"


def open_model(directory: Path, signature: Signature, digest: str) -> Model:
    """Load the files that the signature's runtime names, without verifying or proving them: ``load`` does both."""
    model = _open(directory, signature, digest)
    if signature.calibration is None:
        return model
    from trimtab.serving.runtimes.calibrated import CalibratedModel

    return CalibratedModel(signature, model)


def _open(directory: Path, signature: Signature, digest: str) -> Model:
    name = signature.runtime.name
    if name == "trees":
        from trimtab.serving.runtimes.trees import open_trees

        return open_trees(directory, signature, digest)
    if name == "onnx":
        from trimtab.serving.runtimes.onnx import open_onnx

        return open_onnx(directory, signature, digest)
    if name == "treelite":
        from trimtab.serving.runtimes.treelite import open_treelite

        return open_treelite(directory, signature, digest)
    if name == "native":
        from trimtab.serving.runtimes.native import open_native

        return open_native(directory, signature, digest)
    if name == "blend":
        from trimtab.serving.runtimes.blend import open_blend

        return open_blend(directory, signature, digest, load)
    known = "trees, onnx, treelite, native, blend"
    raise ExternalError(f"{directory} asks for runtime '{name}'; this version of Trimtab has {known}")
