"""What is known when it is asked whether to retrain: versions, and their losses on blocks whose labels are there.

Time is counted in blocks of traffic. Before block ``t`` begins, the labels of the first ``known[t]`` blocks are there,
and ``available[t]`` rows of history could be trained on. A version's loss on a block counts only where the version was
not trained on that block.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Kind = Literal["first", "full", "sliding-window"]
FIRST: Kind = "first"
FULL: Kind = "full"
WINDOW: Kind = "sliding-window"


@dataclass(frozen=True, slots=True)
class Trained:
    """A version that came of a training run; the first one stands for what there was before."""

    kind: Kind
    started: int
    """The block before which its run was started; 0 for the first."""
    until: int
    """It was trained on no row of this block or later ones."""
    rows: float
    """Rows of history that were there to be trained on (``available`` at that time), of whichever it took."""


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """Everything up to now; ``as_of`` takes it back to an earlier block."""

    models: tuple[Trained, ...]
    """The first version, then one for each run, oldest first."""
    known: Ints
    """(T + 1,) blocks labelled before each block; the last entry is now."""
    available: Floats
    """(T + 1,) rows that could be trained on before each block."""
    losses: Floats
    """(models, known[-1]) mean loss on each labelled block; NaN where the version was trained on it."""
    role_losses: Floats
    """(roles, known[-1]) the same of each role of ``trimtab.core.policy.roles``, as it would have answered then."""
    window_rows: float
    """Rows that a sliding window holds."""
    tried: int = 0
    """The block before which the newest run was started, where its version is not among ``models``."""

    def __post_init__(self) -> None:
        if not self.models or self.models[0].kind != FIRST:
            raise ValueError("the first of the models must be the first version")
        if len(self.known) != len(self.available):
            raise ValueError(f"known has {len(self.known)} entries and available {len(self.available)}")
        if self.losses.shape != (len(self.models), self.known[-1]):
            raise ValueError(
                f"losses have the shape {self.losses.shape}, expected {(len(self.models), self.known[-1])}"
            )

    @property
    def now(self) -> int:
        """The block that is about to begin."""
        return len(self.known) - 1

    @property
    def labelled(self) -> int:
        """Blocks whose labels are there."""
        return int(self.known[-1])

    def as_of(self, block: int) -> Facts:
        """What was known before ``block`` began, and before anything was decided then."""
        models = tuple(model for model in self.models if model.started < block or model.kind == FIRST)
        known = int(self.known[block])
        return replace(
            self,
            models=models,
            known=self.known[: block + 1],
            available=self.available[: block + 1],
            losses=self.losses[: len(models), :known],
            role_losses=self.role_losses[:, :known],
            tried=min(self.tried, block),
        )
