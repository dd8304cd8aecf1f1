"""Do neighbouring values resemble each other? Whether rows may be counted one by one, or only in blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BLOCK_ROWS = (25, 50, 100, 200, 400, 800, 1600)
BLOCKS_MIN = 16
SHOWN = 5.0
"""Standard errors above 1 from which clustering counts as shown."""


@dataclass(frozen=True, slots=True)
class Clustering:
    """How much more block means vary than independent rows would let them."""

    factor: float
    """Design effect: 1 where rows are exchangeable; at the block length where it is clearest."""
    block_rows: int
    z: float
    """Standard errors above 1."""

    @property
    def shown(self) -> bool:
        """Beyond chance."""
        return self.z >= SHOWN


def clustering(values: Floats) -> Clustering | None:
    """Measured by the Allan variance: b · ½ mean (m_{i+1} - m_i)² / s², where m_i are means of b consecutive values and
    s² is the variance of single values.

    A stream whose level changed once (what an alarm looks for) must not look clustered: so the best single step is
    taken out first, and neighbours are compared instead of all blocks with their mean. Its standard error is √(3/B)
    with B blocks of independent rows. Source: Allan, "Statistics of atomic frequency standards", Proc. IEEE 54 (1966);
    Kish's design effect.

    Args:
        values: (n,) in order of time.

    Returns:
        None below 16 blocks of 25 rows, or where the values do not vary.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> clustering(rng.random(3000)).shown
        False
        >>> days = np.repeat(rng.normal(0, 0.3, 60), 50)
        >>> found = clustering(days + rng.normal(size=3000))
        >>> found.shown, found.block_rows, round(found.factor, 1)
        (True, 50, 4.0)
    """
    if len(values) < BLOCKS_MIN * BLOCK_ROWS[0]:
        return None
    values = _without_step(values)
    spread = float(values.var())
    if spread <= 1e-18:
        return None
    best: Clustering | None = None
    for rows in BLOCK_ROWS:
        blocks = len(values) // rows
        if blocks < BLOCKS_MIN:
            break
        means = values[: blocks * rows].reshape(blocks, rows).mean(axis=1)
        factor = rows * 0.5 * float(np.mean(np.diff(means) ** 2)) / spread
        z = (factor - 1.0) / float(np.sqrt(3.0 / blocks))
        if best is None or z > best.z:
            best = Clustering(factor, rows, z)
    return best


def _without_step(values: Floats) -> Floats:
    """The values around the level of their side of the step that explains them best (least squares, every 25th row)."""
    rows = BLOCK_ROWS[0]
    sums = np.cumsum(values - values.mean())
    ends = np.arange(rows, len(values), rows)
    gain = sums[ends - 1] ** 2 * (1.0 / ends + 1.0 / (len(values) - ends))
    at = int(ends[int(np.argmax(gain))])
    return np.concatenate([values[:at] - values[:at].mean(), values[at:] - values[at:].mean()])
