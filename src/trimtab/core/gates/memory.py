"""The memory gate: does a server with this version fit into what it is given?"""

from __future__ import annotations

from trimtab.core.domain.gate import GateResult
from trimtab.core.domain.verdict import Verdict

GATE = "memory"


def memory_gate(peak_mb: float | None, *, limit_mb: float, why: str = "") -> GateResult:
    """Compare the most memory that a server's process took with its limit.

    Args:
        peak_mb: of a process of its own that loaded the package and answered requests; None: could not be measured.
        limit_mb: most megabytes.
        why: it could not be measured.

    >>> memory_gate(143.2, limit_mb=2048).text
    'a server process with this version took 143 MB <= 2,048 MB at most'
    """
    if peak_mb is None:
        return GateResult(GATE, Verdict.INCONCLUSIVE, f"could not measure: {why}", None, limit_mb, "MB")
    fits = peak_mb <= limit_mb
    text = (
        f"a server process with this version took {peak_mb:,.0f} MB {'<=' if fits else '>'} {limit_mb:,.0f} MB at most"
    )
    return GateResult(GATE, Verdict.SUCCESSFUL if fits else Verdict.FAILED, text, peak_mb, limit_mb, "MB")
