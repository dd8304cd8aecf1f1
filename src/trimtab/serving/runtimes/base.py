"""What every runtime offers to the server: one batch call and one quick call for a single row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from trimtab.core.domain.errors import ExternalError
from trimtab.serving.package import ClassValue, InputSpec, Signature

Columns = Mapping[str, npt.NDArray[np.generic]]
"""One array of equal length per input, any order. ``float64``, ``int64``, ``bool`` and ``datetime`` inputs are float64
arrays with NaN for missing (a datetime in seconds since the epoch, a bool as 0 and 1); ``string`` inputs are object
arrays of ``str | None``."""

Value = float | int | bool | str | None
"""One input of one row; None or NaN is missing."""


class Outputs(NamedTuple):
    """The answer for n rows."""

    prediction: npt.NDArray[np.generic]
    """Length n: the class values (bool, int64, float64 or object array of str), or float64 for regression."""
    scores: npt.NDArray[np.float64] | None
    """(n, classes) in the order of the signature's classes; None for regression and for classifiers without scores."""


class Row(NamedTuple):
    """The answer for one row, in plain Python values."""

    prediction: ClassValue
    scores: tuple[float, ...] | None


Answers = tuple[list[Any], Sequence[Sequence[float]] | None]
"""Predictions and, where there are any, scores by class: one per row, in plain Python values."""


class Direct(NamedTuple):
    """What it takes to answer a row of present numbers at once: trees, then a link with a base."""

    forest: Any
    """``trimtab.serving.compiled.forest.Forest`` with one output."""
    link: str
    base: float


class Model(Protocol):
    """A loaded, warmed and proved version. Safe to call from several threads at once."""

    @property
    def direct(self) -> Direct | None:
        """Where rows of numbers take a microsecond or two, and need not wait for others to share a call with."""
        ...

    @property
    def signature(self) -> Signature: ...

    @property
    def digest(self) -> str:
        """sha256 of the package's manifest."""
        ...

    def predict(self, columns: Columns) -> Outputs:
        """Score n rows in one call. Columns that are not inputs are ignored.

        Raises:
            DataError: an input is missing or the arrays differ in length.
            ExternalError: the model itself failed on these rows.
        """
        ...

    def predict_row(self, values: Sequence[Value]) -> Row:
        """Score one row quickly: values in the order of ``signature.inputs``, already of the input's type.

        Raises:
            DataError: a value is missing or unknown that the model refuses.
            ExternalError: the model itself failed on this row.
        """
        ...

    def predict_rows(self, rows: Sequence[Sequence[Value]]) -> Answers:
        """Score rows as ``predict_row`` takes them in one call; one that fails fails them all.

        Raises:
            DataError: a value is missing or unknown that the model refuses.
            ExternalError: the model itself failed on these rows.
        """
        ...

    def predict_matrix(self, matrix: npt.NDArray[np.float64]) -> Answers:
        """The same for rows of numbers: (n, inputs), NaN for missing; only where all inputs are ``float64``.

        The matrix is not written to.
        """
        ...


class MissingLibraryError(ExternalError):
    """A library that a runtime needs is not installed."""

    def __init__(self, runtime: str, library: str, extra: str) -> None:
        super().__init__(
            f"the model's runtime '{runtime}' needs {library}, which is not installed: pip install 'trimtab[{extra}]'"
        )


def plain(outputs: Outputs) -> Answers:
    """The answer for n rows in plain Python values."""
    return outputs.prediction.tolist(), None if outputs.scores is None else outputs.scores.tolist()


def columns_of_matrix(matrix: npt.NDArray[np.float64], inputs: Sequence[InputSpec]) -> Columns:
    """A matrix as ``predict_matrix`` takes it, as the columns that ``predict`` takes."""
    return {spec.name: matrix[:, index] for index, spec in enumerate(inputs)}


def columns_of_rows(rows: Sequence[Sequence[Value]], inputs: Sequence[InputSpec]) -> Columns:
    """Rows as ``predict_rows`` takes them, as the columns that ``predict`` takes."""
    columns: dict[str, npt.NDArray[np.generic]] = {}
    for spec, values in zip(inputs, zip(*rows, strict=True), strict=True):
        column: npt.NDArray[np.generic]
        if spec.type == "string":
            column = np.empty(len(values), dtype=object)
            column[:] = values
        else:
            column = np.array(values, dtype=np.float64)  # None becomes NaN
        columns[spec.name] = column
    return columns


def class_array(classes: Sequence[ClassValue]) -> npt.NDArray[np.generic]:
    """The classes as an array to index by position: bool, int64 or float64, else objects."""
    if all(isinstance(value, bool) for value in classes):
        return np.array(classes, dtype=np.bool_)
    if all(isinstance(value, int) and not isinstance(value, bool) for value in classes):
        return np.array(classes, dtype=np.int64)
    if all(isinstance(value, float) for value in classes):
        return np.array(classes, dtype=np.float64)
    array: npt.NDArray[np.generic] = np.empty(len(classes), dtype=object)
    array[:] = list(classes)
    return array
