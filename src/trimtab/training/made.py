"""A candidate, however it was made: its answers to the evaluation rows, its frozen baseline, the way to its package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.core.domain.errors import DataError
from trimtab.core.gates.metrics import Answers
from trimtab.training.summary import baseline_of

if TYPE_CHECKING:
    from trimtab.core.profiles.baseline import Baseline
    from trimtab.project.settings import Project
    from trimtab.serving.package import ClassValue
    from trimtab.training.compile import PackageResult
    from trimtab.training.prepared import Prepared


@dataclass(frozen=True, slots=True)
class Made:
    """A candidate."""

    answers: Answers
    """To the evaluation rows."""
    baseline: Callable[[], bytes]
    package: Callable[[Path, bytes, str | None], PackageResult]
    """(directory to make, baseline, requirements or None for this environment's) to a sealed package."""
    text: str = ""
    """What was done, in words, where that is more than fitting."""
    estimator: Any = None
    """The fitted object, where there is one that a later run could continue."""
    details: dict[str, Any] = field(default_factory=dict)
    """The figures behind ``text``, for the run's record: plain JSON."""


def frozen_baseline(
    project: Project,
    prepared: Prepared,
    inputs: Sequence[str],
    answers: Answers,
    known: Sequence[ClassValue] | None,
    importance: dict[str, float],
) -> Baseline:
    """The frozen baseline over the inputs that the rows have."""
    there = [name for name in inputs if name in prepared.table.column_names]
    if not there:
        raise DataError("the rows have none of the model's inputs")
    return baseline_of(
        prepared.table,
        there,
        prepared.at,
        prepared.training,
        answers,
        prepared.classes,
        known,
        project.monitoring.block,
        importance,
    )


def positive_class(prepared: Prepared) -> ClassValue | None:
    two = prepared.classes is not None and len(prepared.classes) == 2
    return prepared.classes[prepared.positive] if two and prepared.classes else None
