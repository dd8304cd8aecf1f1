"""The parity gate: does the model that is served give the predictions of the model that was trained?"""

from __future__ import annotations

from trimtab.core.domain.gate import GateResult
from trimtab.core.domain.verdict import Verdict

GATE = "parity"


def parity_gate(*, difference: float, rows: int, tolerance: float, runtime: str, unit: str = "score") -> GateResult:
    """Compare the largest difference over rows and outputs with the tolerance.

    Args:
        difference: largest absolute difference between served and trained outputs; NaN where one was not a number.
        rows: how many rows were compared, hostile ones included.
        tolerance: largest difference allowed, in ``unit``.
        runtime: what serves, for the text.
        unit: of the outputs.

    >>> parity_gate(difference=2e-7, rows=500, tolerance=1e-5, runtime="onnx").text
    'onnx differs from the trained model by 2e-07 <= 1e-05 score (largest of 500 rows)'
    """
    if rows == 0:
        return GateResult(GATE, Verdict.INCONCLUSIVE, f"no row was compared on {runtime}", None, tolerance, unit)
    fits = difference <= tolerance
    text = (
        f"{runtime} differs from the trained model by {difference:.2g} {'<=' if fits else '>'} {tolerance:g} {unit} "
        f"(largest of {rows:,} rows)"
    )
    return GateResult(GATE, Verdict.SUCCESSFUL if fits else Verdict.FAILED, text, difference, tolerance, unit)
