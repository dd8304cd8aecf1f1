"""The machine's own clock."""

import time


class SystemClock:
    """The ``Clock`` port: wall time of this machine, UTC."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()  # noqa: TID251 - the one place that reads it
