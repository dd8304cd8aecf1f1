"""How many rows a version should score in one call, and how long rows will wait: learned from the calls it made.

A call of n rows takes ``c + r n`` seconds: for a compiled model nearly all of it is r, for a native forest nearly all
is c, whatever n. Both are fitted by least squares over the newest calls.
"""

from __future__ import annotations

CALL_S = 0.02
"""What the rows of a call may take, unless the call itself takes longer: meanwhile no socket is read."""
ROWS_MAX = 256
"""Rows of one call at most."""
KEEP = 0.95
"""A call counts this much after the next one."""


class Pace:
    """Of one version."""

    __slots__ = ("_call_s", "_largest", "_n", "_nn", "_nt", "_row_s", "_t", "_weight", "rows")

    def __init__(self) -> None:
        self.rows = 4
        """Rows that the next call may take: at most twice as many as were ever tried."""
        self._largest = 2
        self._weight = self._n = self._nn = self._t = self._nt = 0.0
        self._call_s = 0.0
        self._row_s = 0.0

    def took(self, rows: int, seconds: float) -> None:
        """A call of ``rows`` took ``seconds``."""
        self._weight = weight = KEEP * self._weight + 1.0
        self._n = n = KEEP * self._n + rows
        self._nn = nn = KEEP * self._nn + rows * rows
        self._t = t = KEEP * self._t + seconds
        self._nt = nt = KEEP * self._nt + rows * seconds
        spread = weight * nn - n * n
        if spread > 0.01 * n * n:  # with calls of one size only, what a row takes cannot be told from what a call does
            self._row_s = max(0.0, (weight * nt - n * t) / spread)
        self._call_s = max(0.0, (t - self._row_s * n) / weight)
        if rows > self._largest:
            self._largest = rows
        most = min(ROWS_MAX, 2 * self._largest)
        allowed = max(CALL_S, self._call_s)
        self.rows = most if self._row_s * most <= allowed else max(1, int(allowed / self._row_s))

    def wait_s(self, rows: int) -> float:
        """How long so many rows will take to score."""
        return -(-rows // self.rows) * self._call_s + rows * self._row_s
