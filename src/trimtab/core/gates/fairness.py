"""The fairness gate: are groups of people treated alike, as far as the rows can tell?

The measures are fairlearn's (``MetricFrame.difference``: largest minus smallest over the groups): of the selection rate
(demographic parity), of the true positive rate (equal opportunity), or the larger of the differences of true and false
positive rates (equalized odds). Each pair of groups gets Newcombe's interval for a difference of two proportions,
corrected for the number of pairs (Bonferroni): small groups can't fail by chance.

Sources: Hardt, Price, Srebro, "Equality of opportunity in supervised learning", NeurIPS 2016; Newcombe, Statistics in
Medicine 17 (1998), method 10.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trimtab.core.domain.gate import GateResult
from trimtab.core.domain.verdict import Verdict
from trimtab.core.gates.guard import SIGN, guard, percent
from trimtab.core.gates.intervals import Interval

GATE = "fairness"
Measure = Literal["equalized_odds", "equal_opportunity", "demographic_parity"]
Rows = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Group:
    """The rows of one group: what was true and what was predicted, positive or not, shape (n,)."""

    name: str
    truth: Rows
    predicted: Rows


@dataclass(frozen=True, slots=True)
class Gap:
    """The difference of a rate between two groups."""

    rate: str
    high: str
    low: str
    interval: Interval
    rates: tuple[float, float]


def rates(group: Group, measure: Measure) -> dict[str, tuple[int, int]]:
    """(hits, of) of each rate that the measure compares.

    >>> group = Group("a", np.array([True, True, False]), np.array([True, False, False]))
    >>> rates(group, "equalized_odds")
    {'true positive rate': (1, 2), 'false positive rate': (0, 1)}
    """
    if measure == "demographic_parity":
        return {"selection rate": (int(group.predicted.sum()), len(group.truth))}
    found = {"true positive rate": (int((group.truth & group.predicted).sum()), int(group.truth.sum()))}
    if measure == "equalized_odds":
        found["false positive rate"] = (int((~group.truth & group.predicted).sum()), int((~group.truth).sum()))
    return found


def wilson(hits: int, of: int, z: float) -> tuple[float, float]:
    """Wilson's interval of a proportion.

    >>> [round(end, 3) for end in wilson(5, 10, 1.96)]
    [0.237, 0.763]
    """
    p, zz = hits / of, z * z
    middle, half = p + zz / (2 * of), z * sqrt(p * (1 - p) / of + zz / (4 * of * of))
    return (middle - half) / (1 + zz / of), (middle + half) / (1 + zz / of)


def difference(a: tuple[int, int], b: tuple[int, int], level: float) -> Interval:
    """Newcombe's interval of the difference of two proportions, a - b."""
    z = NormalDist().inv_cdf(0.5 + level / 2.0)
    p, q = a[0] / a[1], b[0] / b[1]
    (low_a, high_a), (low_b, high_b) = wilson(*a, z), wilson(*b, z)
    low = p - q - sqrt((p - low_a) ** 2 + (high_b - q) ** 2)
    high = p - q + sqrt((high_a - p) ** 2 + (q - low_b) ** 2)
    return Interval(p - q, low, high, level, "Newcombe")


def fairness_gate(
    groups: Sequence[Group], *, measure: Measure, limit: float, rows_min: int, level: float = 0.95
) -> GateResult:
    """Compare every two groups by the rates of the measure.

    ``failed``: two groups are shown to differ by more than ``limit``; ``inconclusive``: they differ by more, and chance
    could have done it. A rate needs ``rows_min`` rows under it to be judged.

    >>> half = np.tile([True, False], 500)
    >>> groups = [Group("a", half, half), Group("b", half, np.zeros(1000, bool))]
    >>> fairness_gate(groups, measure="equal_opportunity", limit=0.1, rows_min=30).text[:54]
    'true positive rate of a 100.0 % and b 0.0 %: 100.0 % >'
    """
    found: list[tuple[str, str, str, tuple[int, int], tuple[int, int]]] = []
    for first, second in combinations(groups, 2):
        theirs = rates(second, measure)
        for name, counts in rates(first, measure).items():
            if min(counts[1], theirs[name][1]) < max(1, rows_min):
                continue
            ordered = sorted([(counts, first.name), (theirs[name], second.name)], key=lambda c: -c[0][0] / c[0][1])
            found.append((name, ordered[0][1], ordered[1][1], ordered[0][0], ordered[1][0]))
    if not found:
        text = f"no two of {len(groups):,} groups have the {rows_min:,} rows that are needed"
        return GateResult(GATE, Verdict.INCONCLUSIVE, text, None, limit)
    corrected = 1.0 - (1.0 - level) / len(found)
    gaps = [Gap(n, h, lo, difference(a, b, corrected), (a[0] / a[1], b[0] / b[1])) for n, h, lo, a, b in found]
    order = [Verdict.FAILED, Verdict.ERROR, Verdict.INCONCLUSIVE, Verdict.SUCCESSFUL]
    worst = min(gaps, key=lambda gap: (order.index(guard(gap.interval, limit)), -gap.interval.estimate))
    verdict = guard(worst.interval, limit)
    text = (
        f"{worst.rate} of {worst.high} {percent(worst.rates[0])} and {worst.low} {percent(worst.rates[1])}: "
        f"{percent(worst.interval.estimate)} {SIGN[verdict]} {percent(limit)} "
        f"({percent(worst.interval.low)} to {percent(worst.interval.high)} at 95 % over {len(gaps):,} comparisons)"
    )
    return GateResult(GATE, verdict, text, worst.interval.estimate, limit, measure)
