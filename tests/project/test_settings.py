"""What the rest of Trimtab asks a project."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from trimtab.project.gate_settings import Gates, PerformanceGate
from trimtab.project.settings import Data, Project, Retraining, Rollout

DATA = Data(files=("a.parquet",), time="t", target="y", label_time="known", entity="id", ignore=("note",))


def project(**changes: object) -> Project:
    return Project(**{"name": "flights", "task": "classification", "data": DATA, **changes})  # type: ignore[arg-type]


def test_metric_follows_the_task() -> None:
    assert project().metric == "log_loss"
    assert project(task="regression").metric == "mae"
    assert project(gates=Gates(metric="f1")).metric == "f1"
    assert project(gates=Gates(metric="f1")).higher_is_better
    assert not project().higher_is_better


def test_the_allowance_is_absolute_for_classes_and_relative_for_numbers() -> None:
    """A tolerance of 0.01 of mean absolute error would mean nothing for house prices and all for blood values."""
    gates = Gates(performance=PerformanceGate(tolerance=0.01))
    assert project(gates=gates).allowance(0.5) == 0.01
    assert project(task="regression", gates=gates).allowance(20_000) == 200


def test_columns_that_are_never_features() -> None:
    assert project().never_features == {"t", "y", "known", "id", "note"}


def test_settings_made_in_python_are_checked_the_same() -> None:
    """A notebook builds a project without a file: contradictions are errors there too."""
    with pytest.raises(ValidationError, match=r"retraining\.window has no effect"):
        project(retraining=Retraining(window=86400))
    with pytest.raises(ValidationError, match="ends at 50"):
        project(rollout=Rollout(steps=(5, 50)))


def test_in_python_a_number_is_seconds() -> None:
    assert Rollout(bake=90).bake == 90
    with pytest.raises(ValidationError, match="cannot be"):
        Rollout(bake=-1)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        project().name = "other"  # type: ignore[misc]
