"""From a fitted estimator to a sealed package: the fastest runtime that gives the estimator's own answers.

Conversion is never trusted: each compiled form is compared with the estimator on the evaluation rows and on hostile rows
(missing, unknown, extreme), because converters are silently wrong for some models (a forest trained with missing values
differs on most rows in ONNX). What fails is discarded and the next runtime tried, down to the native object.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.serving.package import ClassValue, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class ParityResult:
    """How a compiled form compares with the fitted estimator."""

    runtime: str
    """``onnx``, ``treelite`` or ``native``."""
    rows: int
    """Rows compared: evaluation and hostile rows on which the estimator itself answers."""
    differing: int
    """Rows that differ by more than the tolerance."""
    largest: float
    """Largest difference of a score (or of a value, relative above 1); inf where one is finite and the other not."""
    left_out: int = 0
    """Rows on which the estimator itself raises."""
    row_us: float | None = None
    """Median time of one row, microseconds; None where it did not get that far."""
    error: str = ""
    """Why the estimator could not be converted, if so."""

    @property
    def passed(self) -> bool:
        return not self.error and self.differing == 0


@dataclass(frozen=True, slots=True)
class PackageResult:
    """A sealed package and how it came to be."""

    digest: str
    runtime: str
    reason: str
    """Which runtime was taken and why, with the figures."""
    parity: tuple[ParityResult, ...]


def build_package(
    to: Path,
    *,
    estimator: Any,
    task: Task,
    model: str,
    target: str,
    time: str | None,
    entity: str | None,
    features: pd.DataFrame,
    classes: Sequence[ClassValue] | None,
    positive: ClassValue | None,
    baseline: bytes,
    requirements: str,
    tolerance: float = TOLERANCE,
    hostile: bool = True,
) -> PackageResult:
    """Compile, check parity, write the package aside and rename it to ``to``.

    Args:
        to: the directory to make; must not exist.
        estimator: fitted, scikit-learn compatible; takes a DataFrame with the columns of ``features``.
        features: evaluation rows (feature columns only, in the estimator's order): types, parity and example come from them.
        classes: in the order of ``estimator.classes_``; None for regression.
        baseline: content of ``baseline.bin``.
        requirements: content of ``requirements.txt``.
        hostile: also compare on rows with missing, unknown and extreme values.

    Raises:
        DataError: no rows, a column of a type that cannot be served, ``to`` exists.
        EstimatorError: the estimator cannot answer even the evaluation rows.
    """
    raise NotImplementedError
