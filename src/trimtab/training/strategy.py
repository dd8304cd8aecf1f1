"""Whether a project's estimator can be trained as its settings say: asked before any data are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.core.domain.errors import EstimatorError
from trimtab.training.continuing import obstacle
from trimtab.training.fit import named_estimator

if TYPE_CHECKING:
    from trimtab.project.settings import Project


def check_strategy(project: Project, root: Path, strategy: str) -> None:
    """Refuse ``incremental`` where the named estimator cannot learn on; the default one always can.

    Raises:
        EstimatorError: it cannot, and why; or it cannot be built.
    """
    if strategy != "incremental" or project.estimator.function is None:
        return
    why = obstacle(named_estimator(project, root))
    if why is not None:
        raise EstimatorError(
            f"retraining.strategy: incremental does not go with estimator.function '{project.estimator.function}': "
            f"{why}; 'auto' takes what is possible"
        )


def keeps_estimator(project: Project) -> bool:
    """Whether later runs of this project may learn on from a fitted estimator, so that each must be kept."""
    return project.retraining.strategy in ("incremental", "auto")
