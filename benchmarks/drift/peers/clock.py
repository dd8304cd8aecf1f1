"""What every peer's script prints: processor seconds of each part (user and system, all threads), wall seconds, and
the process's peak memory."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from typing import Any


class Clock:
    """Times parts by name."""

    def __init__(self) -> None:
        self.parts: dict[str, dict[str, float]] = {}

    def part(self, name: str, work: Callable[[], Any]) -> Any:
        """Carries ``work`` out and keeps what it took."""
        cpu, wall = _cpu(), time.perf_counter()
        found = work()
        self.parts[name] = {"cpu_s": round(_cpu() - cpu, 4), "wall_s": round(time.perf_counter() - wall, 4)}
        return found

    def tell(self, **more: Any) -> None:
        """Prints one line of JSON."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"parts": self.parts, "peak_mb": round(peak, 1), **more}))


def _cpu() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
