"""Is a subgroup served worse than the others? Looked at as often as one likes, with many slices accounted for.

"92 % overall" must not hide 70 % in one hospital, and among a hundred small hospitals one must not look bad by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

import numpy as np
from numpy.typing import NDArray

from trimtab.core.domain.errors import DataError

Floats = NDArray[np.float64]

FACTORS = (1.15, 1.3, 1.6, 2.0, 3.0, 5.0)
"""Odds of a bad row, relative to the limit, that are bet on."""
OVERALL_ROWS = 200
"""Rows outside of a slice that are needed to say what is usual."""


@dataclass(frozen=True, slots=True)
class SliceRows:
    """Rows of one slice, and of all others, on the same time."""

    name: str
    """``hospital=b``."""
    rows: int
    bad: int
    """Wrong answers; for a number, errors larger than a fifth of all rows have."""
    other_rows: int
    other_bad: int


@dataclass(frozen=True, slots=True)
class SliceResult:
    """One slice against the rest."""

    name: str
    rows: int
    share_bad: float
    share_bad_elsewhere: float
    limit: float
    """Share of bad rows up to which nobody is alarmed: upper limit of elsewhere, plus margin."""
    evidence: float
    """e-value of 'more bad rows than the limit'; the alarm needs ``threshold``."""
    threshold: float
    """Number of slices / alpha."""
    alarm: bool

    @property
    def text(self) -> str:
        """In words, with the arithmetic."""
        sign = ">=" if self.alarm else "<"
        return (
            f"{self.name}: {self.share_bad:.1%} of {self.rows:,} rows are wrong, {self.share_bad_elsewhere:.1%} "
            f"elsewhere (limit {self.limit:.1%}; evidence {self.evidence:.3g} {sign} {self.threshold:.3g})"
        )


def judge_slices(
    slices: Sequence[SliceRows], *, alpha: float = 0.01, margin: float = 0.05, clustering: float = 1.0
) -> tuple[SliceResult, ...]:
    """Which slices are shown to be worse, worst evidence first.

    For each slice the mean of likelihood ratios of odds 1.15 to 5 times the limit is an e-value of 'the chance of a bad
    row is at most the limit': however often one looks, it reaches S / alpha with probability at most alpha / S, so that
    the chance of any false alarm among S slices is at most alpha. The limit is the upper 97.5 % limit of the other
    rows' share (Wilson) plus ``margin``. Where rows cluster in time, rows count 1 / clustering each (the evidence is
    raised to that power).

    Args:
        slices: all slices that are looked at, small ones too: they carry little evidence either way.
        alpha: chance of any false alarm.
        margin: a share of bad rows this much larger is nobody's concern (0.05: five points).
        clustering: design effect of the rows (see ``trimtab.core.stats.clustering``); at least 1.

    Raises:
        DataError: alpha or margin out of range.

    Example:
        >>> b, c = SliceRows("hospital=b", 400, 120, 9600, 768), SliceRows("hospital=c", 12, 4, 9988, 884)
        >>> found = judge_slices([b, c])
        >>> [(each.name, each.alarm) for each in found]
        [('hospital=b', True), ('hospital=c', False)]
    """
    if not 0 < alpha < 1 or not 0 <= margin < 1:
        raise DataError(f"alpha must lie between 0 and 1 and margin in [0, 1), found {alpha} and {margin}")
    judged = [each for each in slices if each.rows and each.other_rows >= OVERALL_ROWS]
    threshold = max(len(judged), 1) / alpha
    out = [_judge(each, threshold, margin, max(clustering, 1.0)) for each in judged]
    return tuple(sorted(out, key=lambda each: (-each.evidence, -each.share_bad, each.name)))


def _judge(each: SliceRows, threshold: float, margin: float, clustering: float) -> SliceResult:
    from trimtab.core.performance.figures import wilson

    elsewhere = each.other_bad / each.other_rows
    limit = min(wilson(elsewhere, each.other_rows / clustering)[1] + margin, 0.999)
    evidence = _evidence(each.bad / clustering, each.rows / clustering, limit)
    return SliceResult(
        each.name,
        each.rows,
        each.bad / each.rows,
        elsewhere,
        limit,
        evidence,
        threshold,
        evidence >= threshold,
    )


def _evidence(bad: float, rows: float, limit: float) -> float:
    logs = []
    for factor in FACTORS:
        odds = factor * limit / (1 - limit)
        chance = odds / (1 + odds)
        logs.append(bad * log(chance / limit) + (rows - bad) * log((1 - chance) / (1 - limit)))
    top = max(logs)
    mean = sum(exp(each - top) for each in logs) / len(logs)
    return exp(min(top + log(mean), 700.0))
