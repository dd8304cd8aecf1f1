"""From prepared rows to a candidate, by whichever strategy: fitted, continued, recalibrated or blended."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.core.domain.errors import DataError
from trimtab.training.blending import blended
from trimtab.training.continuing import continued
from trimtab.training.evaluate import estimator_answers
from trimtab.training.fit import build_estimator, few_threads, fit
from trimtab.training.made import Made, frozen_baseline, positive_class
from trimtab.training.provenance import environment
from trimtab.training.recalibrating import recalibrated
from trimtab.training.summary import permutation_importance

if TYPE_CHECKING:
    from trimtab.project.settings import Project
    from trimtab.training.compile import PackageResult
    from trimtab.training.kept import Kept
    from trimtab.training.parents import Parents
    from trimtab.training.prepared import Prepared


def make(project: Project, root: Path, prepared: Prepared, parents: Parents) -> Made:
    """The candidate of the prepared rows by ``prepared.spec.strategy``.

    Raises:
        EstimatorError: the user's estimator fails, or cannot learn on.
        DataError: the rows do not allow it; with what they lack.
    """
    strategy = prepared.spec.strategy
    with few_threads():
        if strategy == "recalibrate":
            return recalibrated(project, prepared, parents)
        if strategy == "blend":
            return blended(project, prepared, parents)
        features = prepared.frame.iloc[: prepared.training]
        target = prepared.target[: prepared.training]
        if strategy == "incremental" and prepared.spec.parent is not None:
            before = checked(parents.estimator(prepared.spec.parent), project, prepared.spec.parent)
            estimator, words = continued(before, features, target, root)
            return _of_estimator(project, root, prepared, estimator, f"goes on from v{prepared.spec.parent}: {words}")
        estimator = build_estimator(project, root, prepared.frame)
        fit(estimator, features, target, root)
        return _of_estimator(project, root, prepared, estimator, "")


def checked(kept: Kept, project: Project, version: int) -> Any:
    """The kept estimator, if the project still names the same.

    Raises:
        DataError: the project's ``estimator`` section is another one by now.
    """
    now = project.estimator.model_dump(mode="json")
    if kept.configured is not None and kept.configured != now:
        names = ", ".join(f"estimator.{name}" for name in sorted(now) if kept.configured.get(name) != now[name])
        raise DataError(
            f"{names} changed since version {version} was trained, and learning on would keep what it was then: train "
            "in full ('trimtab train --strategy full')"
        )
    return kept.estimator


def _of_estimator(project: Project, root: Path, prepared: Prepared, estimator: Any, text: str) -> Made:
    held_out, truth = prepared.frame.iloc[prepared.evaluation], prepared.truth[prepared.evaluation]
    answers = estimator_answers(estimator, held_out, truth, prepared.classes, prepared.positive, root)
    known = None if prepared.classes is None else np.asarray(estimator.classes_).tolist()

    def baseline() -> bytes:
        importance = permutation_importance(estimator, held_out, truth, prepared.classes, prepared.positive, root)
        return frozen_baseline(project, prepared, prepared.features, answers, known, importance).to_bytes()

    def package(to: Path, frozen: bytes, requirements: str | None) -> PackageResult:
        from trimtab.training.compile import build_package

        return build_package(
            to,
            estimator=estimator,
            task=project.task,
            model=project.name,
            target=project.data.target,
            time=project.data.time,
            entity=project.data.entity,
            features=held_out,
            classes=known,
            positive=positive_class(prepared),
            baseline=frozen,
            requirements=environment() if requirements is None else requirements,
            tolerance=project.gates.parity.tolerance,
        )

    return Made(answers, baseline, package, text, estimator)
