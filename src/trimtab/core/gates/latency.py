"""The latency gate: is a high quantile of the answer time under its limit, as far as the sample can tell?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trimtab.core.domain.gate import GateResult
from trimtab.core.domain.verdict import Verdict
from trimtab.core.gates.intervals import quantile_interval

GATE = "latency"


def latency_gate(
    samples_ms: NDArray[np.float64],
    *,
    limit_ms: float,
    q: float = 0.95,
    failures: int = 0,
    failure: str = "",
    level: float = 0.95,
) -> GateResult:
    """Compare the interval of a latency quantile with its limit.

    ``successful`` when the interval's upper end is at most the limit, ``failed`` when its lower end is above it,
    otherwise ``inconclusive``. A request that failed fails the gate: an error is not a quick answer.

    Args:
        samples_ms: shape (n,), answer times of single-row requests after warm-up, milliseconds.
        limit_ms: largest quantile allowed.
        q: which quantile.
        failures: requests that were not answered properly.
        failure: what the first of them was answered.
        level: confidence of the interval (order statistics, no assumption on the shape).

    >>> latency_gate(np.linspace(1.0, 3.0, 400), limit_ms=100.0).text
    'p95 2.90 ms <= 100 ms (400 requests; p50 2.00 ms, p99 2.98 ms; 95 % interval 2.85 to 2.94 ms)'
    """
    n = len(samples_ms)
    if failures:
        text = f"{failures:,} of {n + failures:,} requests failed" + (f", the first with {failure}" if failure else "")
        return GateResult(GATE, Verdict.FAILED, text, float(failures), 0.0, "requests")
    if n == 0:
        return unmeasured("no request was answered", limit_ms)
    interval = quantile_interval(samples_ms, q, level)
    p50, p99 = np.quantile(samples_ms, [0.5, 0.99], method="inverted_cdf")
    if interval.high <= limit_ms:
        verdict, sign = Verdict.SUCCESSFUL, "<="
    elif interval.low > limit_ms:
        verdict, sign = Verdict.FAILED, ">"
    else:
        verdict, sign = Verdict.INCONCLUSIVE, "around"
    text = (
        f"p{100 * q:g} {interval.estimate:.2f} ms {sign} {limit_ms:g} ms ({n:,} requests; p50 {p50:.2f} ms, "
        f"p99 {p99:.2f} ms; {100 * level:g} % interval {interval.low:.2f} to {interval.high:.2f} ms)"
    )
    return GateResult(GATE, verdict, text, interval.estimate, limit_ms, "ms")


def unmeasured(why: str, limit_ms: float) -> GateResult:
    """The answer when no latency could be taken: inconclusive, never passed."""
    return GateResult(GATE, Verdict.INCONCLUSIVE, f"could not measure: {why}", None, limit_ms, "ms")
