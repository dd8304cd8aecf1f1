"""``strategy: recalibrate``: the champion's own model, its answers mapped to what newer labels say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trimtab.core.domain.errors import DataError
from trimtab.core.gates.metrics import Answers
from trimtab.core.profiles.baseline import Baseline
from trimtab.core.stats.recalibration import Recalibration, ScoreMap, recalibrate_scores, recalibrate_values
from trimtab.serving.package import BASELINE
from trimtab.training.evaluate import align, encoded, model_answers
from trimtab.training.made import Made, frozen_baseline
from trimtab.training.provenance import environment

if TYPE_CHECKING:
    import pyarrow as pa

    from trimtab.project.settings import Project
    from trimtab.serving.package import ClassValue
    from trimtab.serving.runtimes import Model
    from trimtab.training.compile import PackageResult
    from trimtab.training.parents import Parents
    from trimtab.training.prepared import Prepared

Floats = npt.NDArray[np.float64]

RECALIBRATION_ROWS = 100
"""Fewest rows that a map is fitted on."""


def recalibrated(project: Project, prepared: Prepared, parents: Parents) -> Made:
    """The parent's model with a map of its answers, fitted on the training rows, which it has not seen.

    Raises:
        DataError: too few rows, no scores, or the answers are right as they are.
    """
    from trimtab.training.assemble import recalibrated_package

    version = prepared.spec.parent
    if version is None:
        raise DataError("a recalibration needs the version whose answers it maps")
    package = parents.package(version)
    model = uncalibrated(package)
    learnt = prepared.table.slice(0, prepared.training)
    found = score_map(project, model, learnt, prepared.target[: prepared.training], prepared.classes, prepared.positive)
    if found.map.method == "none":
        raise DataError(
            f"the answers of version {version} fit the {found.rows:,} newest labelled rows as they are: no map of them "
            "is better by more than chance, so there is nothing to recalibrate"
        )
    rows, truth = prepared.table.slice(prepared.training), prepared.truth[prepared.evaluation]
    raw = model_answers(model, rows, truth, prepared.classes, prepared.positive)[0]
    answers = mapped(raw, found.map, model, prepared.classes)
    importance = dict(Baseline.from_bytes((package / BASELINE).read_bytes()).importance)

    def build(to: Path, frozen: bytes, requirements: str | None) -> PackageResult:
        return recalibrated_package(
            to,
            package,
            found.map,
            rows,
            baseline=frozen,
            requirements=environment() if requirements is None else requirements,
            tolerance=project.gates.parity.tolerance,
        )

    inputs, classes = model.signature.names, model.signature.classes
    loss = "log loss" if prepared.classes is not None else "error"
    gain = f"{loss} {found.losses['none']:.4g} to {found.losses[found.map.method]:.4g}"
    return Made(
        answers,
        lambda: frozen_baseline(project, prepared, inputs, answers, classes, importance).to_bytes(),
        build,
        f"recalibrates v{version} by {found.map.method} on {found.rows:,} rows ({gain} on rows not fitted on)",
        None,
        {"method": found.map.method, "rows": found.rows, "losses": found.losses, "parent": version},
    )


def uncalibrated(package: Path) -> Model:
    """The packaged model without a map that it may have. The package is verified."""
    import msgspec

    from trimtab.serving.package import read_signature
    from trimtab.serving.runtimes.loading import open_model

    signature = read_signature(package)
    if signature.runtime.settings.get("predict") or (
        signature.classes and signature.runtime.settings.get("scores") is False
    ):
        raise DataError("its classes do not come from its scores, so mapping the scores would change nothing")
    return open_model(package, msgspec.structs.replace(signature, calibration=None), "")


def score_map(
    project: Project,
    model: Model,
    rows: pa.Table,
    target: npt.NDArray[Any],
    classes: Sequence[ClassValue] | None,
    positive: int,
) -> Recalibration:
    """Choose and fit a map of the model's answers to these rows, which it has not seen.

    Raises:
        DataError: too few rows, or of a single class, or of one that the model does not know.
    """
    if rows.num_rows < RECALIBRATION_ROWS:
        raise DataError(f"{rows.num_rows} labelled rows are too few to recalibrate on; {RECALIBRATION_ROWS} are needed")
    truth = target.astype(np.float64) if classes is None else encoded(target, classes)
    answers = model_answers(model, rows, truth, classes, positive)[0]
    if classes is None:
        return recalibrate_values(answers.predicted, truth, squared=project.metric == "rmse")
    if answers.scores is None:
        raise DataError("the model gives no scores, so there is nothing to recalibrate")
    places = encoded(target, model.signature.classes or ())
    if (places < 0).any():
        raise DataError("rows have a class that the model does not know: train in full")
    if len(np.unique(places)) < 2:
        raise DataError(f"all {rows.num_rows:,} rows are of one class, so there is nothing to recalibrate by")
    return recalibrate_scores(own_scores(answers.scores, model, classes), places)


def own_scores(scores: Floats, model: Model, classes: Sequence[ClassValue] | None) -> Floats:
    """Scores over all classes back in the order of the model's own."""
    return align(scores, classes or (), model.signature.classes or ())


def mapped(raw: Answers, found: ScoreMap, model: Model, classes: Sequence[ClassValue] | None) -> Answers:
    """The answers after the map, over all classes of the run."""
    if raw.scores is None or classes is None:
        return Answers(raw.truth, found.values_of(raw.predicted))
    own = found.scores(own_scores(raw.scores, model, classes))
    scores = align(own, model.signature.classes or (), classes)
    return Answers(raw.truth, scores.argmax(axis=1).astype(np.float64), scores, raw.positive)
