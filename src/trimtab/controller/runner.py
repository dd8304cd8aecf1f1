"""The controller as a process: ticks until it is told to stop, and leaves a view of what it saw for people to read."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from trimtab.controller.desk import View
from trimtab.controller.loop import Loop, Tick
from trimtab.core.decide.rollouts import figures
from trimtab.core.decide.snapshot import Snapshot
from trimtab.core.domain.errors import ExternalError
from trimtab.core.rollout.analysis import analyse

_POLL_S = 0.1


def run(
    loop: Loop,
    view: View,
    *,
    every_s: float,
    stop: Callable[[], bool],
    tell: Callable[[Tick], None],
    mind: Callable[[], None] = lambda: None,
) -> None:
    """Tick every ``every_s`` seconds until ``stop()``.

    Args:
        mind: called between ticks, e.g. to restart a server that died.

    A tick that finds the outside failing (disk, registry) is told and tried again; what is wrong with us ends the
    process.
    """
    waiting = threading.Event()
    while not stop():
        mind()
        try:
            tick = loop.tick()
            view.save(seen(tick))
        except ExternalError as error:
            tick = Tick(loop.status.at, loop.status, Snapshot(), problems=(str(error),))
        if tick.entries or tick.problems:
            tell(tick)
        if tick.entries:
            continue  # one change of traffic per tick, then look again
        left = every_s
        while left > 0 and not stop():
            mind()
            waiting.wait(min(_POLL_S, left))
            left -= _POLL_S


def seen(tick: Tick) -> dict[str, Any]:
    """What ``trimtab status`` shows beside the journal, as plain JSON."""
    return {
        "now": tick.now,
        "event_time": tick.snapshot.event_time,
        "controller": {"pid": os.getpid(), "at": tick.now, "problems": list(tick.problems)},
        "rollout": _rollout(tick),
        "health": _health(tick.snapshot),
    }


def _rollout(tick: Tick) -> dict[str, Any] | None:
    rollout = tick.status.rollout
    if rollout is None or tick.snapshot.rollout is None:
        return None
    return {
        "id": rollout.id,
        **figures(analyse(rollout.plan, tick.snapshot.rollout, rollout.step_started_at, tick.now)),
    }


def _health(snapshot: Snapshot) -> dict[str, Any] | None:
    assessment = snapshot.assessment
    if assessment is None:
        return None
    performance = assessment.performance
    return {
        "diagnosis": assessment.diagnosis.kind.value,
        "faults": [
            {"features": list(f.features), "text": f.text, "since": f.since_s}
            for f in assessment.faults
            if f.until_s is None
        ],
        "performance": None if performance is None else asdict(performance),
        "drifted": None if assessment.drift is None else assessment.drift.drifted,
    }
