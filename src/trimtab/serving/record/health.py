"""Whether records reach the disk: what is counted, and when people have to be told.

Written by the log's thread and the event loop, read by ``/trimtab/status`` and ``/metrics``. Times are of a monotonic
clock, in seconds; each is an argument.
"""

from __future__ import annotations

FAILING_S = 2.0
"""Writing that has failed for this long is an alarm; shorter failures are tried again and only counted."""
SLOW_S = 5.0
"""A write that takes this long (and more than twice the time between writes) is an alarm: the disk is too slow."""
HOLD_S = 60.0
"""An alarm stays this long after its cause was last seen, so that one who looks rarely sees it."""


class LogHealth:
    """Counters and the alarm of one worker's log."""

    def __init__(self, flush_s: float) -> None:
        self.dropped = 0
        """Rows refused because the queue was full."""
        self.lost = 0
        """Rows that could not be turned into a batch, or were still unwritten at the end."""
        self.write_errors = 0
        self.last_error: str | None = None
        """Why the newest attempt to write failed; None once one succeeded."""
        self._slow_s = max(SLOW_S, 2 * flush_s)
        self._flushing_since: float | None = None
        self._failing_since: float | None = None
        self._trouble: tuple[float, str] | None = None
        """When something that is an alarm was last seen, and what."""

    def drop(self, rows: int, now: float) -> None:
        """There was no room for these rows."""
        self.dropped += rows
        self._trouble = (now, "the queue is full")

    def lose(self, rows: int, why: str, now: float) -> None:
        """These rows will never be written."""
        self.lost += rows
        self.last_error = why
        self._trouble = (now, why)

    def failed(self, why: str, now: float) -> bool:
        """An attempt to write failed and will be made again. Whether it is the first of a row."""
        first = self._failing_since is None
        self.write_errors += 1
        self.last_error = why
        if self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since >= FAILING_S:
            self._trouble = (now, f"it could not be written for {now - self._failing_since:.0f} s: {why}")
        return first

    def tell(self, words: str, now: float) -> None:
        """Something else that people have to be told."""
        self._trouble = (now, words)

    def wrote(self) -> None:
        """An attempt succeeded."""
        self.last_error = None
        self._failing_since = None

    def begin(self, now: float) -> None:
        """The thread begins to write all that waits."""
        self._flushing_since = now

    def end(self, now: float) -> None:
        """It is done, with success or not."""
        took = 0.0 if self._flushing_since is None else now - self._flushing_since
        self._flushing_since = None
        if took >= self._slow_s:
            self._trouble = (now, f"a write took {took:.0f} s: the disk is slow")

    def alarm(self, waiting: int, now: float) -> str | None:
        """What people have to be told, in words; None where all is well (again, for ``HOLD_S``)."""
        flushing = 0.0 if self._flushing_since is None else now - self._flushing_since
        if self._failing_since is not None and now - self._failing_since >= FAILING_S:
            self._trouble = (now, f"it cannot be written since {now - self._failing_since:.0f} s: {self.last_error}")
        elif flushing >= self._slow_s:
            self._trouble = (now, f"a write takes {flushing:.0f} s by now: the disk is slow")
        if self._trouble is None or now - self._trouble[0] > HOLD_S:
            return None
        gone = self.dropped + self.lost
        return f"{self._trouble[1]}; {gone:,} rows lost, {waiting:,} wait"
