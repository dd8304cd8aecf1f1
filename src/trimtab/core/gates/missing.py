"""The gate of missing inputs: when a feed breaks off, is the model still better than no model?

One input at a time is missing in all rows; the candidate's mean loss is held against that of a constant answer on the
same rows. The loss is the Brier score, or the absolute error for numbers. Inputs that the model takes no missing value
of are refused when a request comes, with a clear error; they are only told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.core.domain.gate import GateResult
from trimtab.core.domain.verdict import Verdict
from trimtab.core.gates.guard import SIGN, guard, percent
from trimtab.core.gates.intervals import jackknife_interval

GATE = "missing"
ROWS_MIN = 30


@dataclass(frozen=True, slots=True)
class Without:
    """Losses of the candidate while one input is missing, rows in time order."""

    feature: str
    losses: NDArray[np.float64]
    """NaN where the answer was no answer."""


def missing_gate(
    without: Sequence[Without],
    whole: NDArray[np.float64],
    constant: NDArray[np.float64],
    *,
    tolerance: float,
    refused: Sequence[str] = (),
    level: float = 0.95,
) -> GateResult:
    """Find the input that the model can do least without.

    Args:
        without: one for each input that may be missing.
        whole: the candidate's losses with everything there, shape (n,).
        constant: losses of a constant answer on the same rows.
        tolerance: how much worse than the constant the model may get, as a share of the constant's loss.
        refused: inputs without which the model does not answer.
        level: of the interval, over all inputs together (Bonferroni).

    >>> base = np.tile([0.2, 0.3], 100)
    >>> missing_gate([Without("rain", base - 0.05)], base - 0.1, base, tolerance=0.25).text[:75]
    'without rain the loss is 0.200, that of a constant 0.250: -20.0 % <= 25.0 %'
    """
    needs = f"; needed: {', '.join(refused)}" if refused else ""
    rows, base = len(constant), float(constant.mean()) if len(constant) else 0.0
    if rows < ROWS_MIN or not without or not base:
        few = f"{rows:,} rows < {ROWS_MIN} that are needed" if rows < ROWS_MIN else "no input may be missing"
        fine = rows >= ROWS_MIN and base > 0
        return GateResult(GATE, Verdict.SUCCESSFUL if fine else Verdict.INCONCLUSIVE, f"{few}{needs}", None, tolerance)
    broken = [each.feature for each in without if not np.isfinite(each.losses).all()]
    if broken:
        text = f"without {', '.join(broken[:4])} some answers are no finite numbers{needs}"
        return GateResult(GATE, Verdict.FAILED, text, float(len(broken)), 0.0, "inputs")
    worst = max(without, key=lambda each: float(each.losses.mean()))
    difference = (worst.losses - constant) / base
    corrected = 1.0 - (1.0 - level) / len(without)
    interval = jackknife_interval(lambda kept: float(difference[kept].mean()), rows, corrected)
    verdict = guard(interval, tolerance)
    text = (
        f"without {worst.feature} the loss is {worst.losses.mean():.3f}, that of a constant {base:.3f}: "
        f"{100 * interval.estimate:+.1f} % {SIGN[verdict]} {percent(tolerance)} (with everything {whole.mean():.3f}; "
        f"worst of {len(without):,} inputs, {rows:,} rows; {100 * level:g} % interval {100 * interval.low:+.1f} to "
        f"{100 * interval.high:+.1f} %{needs})"
    )
    return GateResult(GATE, verdict, text, interval.estimate, tolerance, "share of the loss")
