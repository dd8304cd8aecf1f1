"""The example's project files and its estimator, with the real tools."""

from __future__ import annotations

from pathlib import Path

import estimator
import numpy as np
import prepare
import pyarrow.parquet as pq
import pytest

from tests.examples.conftest import FLIGHTS
from trimtab.project.load import load
from trimtab.project.settings import Project
from trimtab.training.compile import build_package


@pytest.mark.parametrize("name", ["trimtab.yaml", "release.yaml"])
def test_the_project_files_hold_no_mistakes(name: str) -> None:
    """Both are of one endpoint, with one model."""
    project: Project = load(FLIGHTS / name)
    assert project.name == "flights"
    assert project.data.label_time == "landed_at"


def test_the_release_differs_by_its_table_alone() -> None:
    """The colleague changed nothing else."""
    ours, theirs = load(FLIGHTS / "trimtab.yaml"), load(FLIGHTS / "release.yaml")
    assert ours.estimator == theirs.estimator
    assert ours.retraining.evaluation_share == theirs.retraining.evaluation_share
    assert (ours.data.collect, theirs.data.collect) == (True, False)


def test_the_estimator_compiles_to_the_same_answers(prepared: prepare.Prepared, tmp_path: Path) -> None:
    """Missing values, unseen airports: the served model answers as the trained one."""
    frame = pq.read_table(prepared.path).slice(0, 3000).to_pandas()
    late = frame.pop("late").to_numpy()
    frame = frame.drop(columns=["departed_at", "landed_at", "tailnum"])
    frame["carrier"], frame["origin"], frame["dest"] = (frame[n].astype(object) for n in estimator.CATEGORIES)
    parameters = load(FLIGHTS / "trimtab.yaml").estimator.parameters
    fitted = estimator.build(**parameters).fit(frame.iloc[:2000], late[:2000])
    held_out = frame.iloc[2000:].copy()
    held_out.iloc[:50, held_out.columns.get_loc("dest")] = "nowhere"
    held_out.loc[held_out.index[50:100], "pressure"] = np.nan
    result = build_package(
        tmp_path / "package", estimator=fitted, task="classification", model="flights", target="late",
        time="departed_at", entity="tailnum", features=held_out, classes=[False, True], positive=True,
        baseline=b"-", requirements="",
    )  # fmt: skip
    assert result.runtime in ("trees", "onnx", "treelite")
