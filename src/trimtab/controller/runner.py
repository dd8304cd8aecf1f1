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
from trimtab.core.drift.result import DriftResult
from trimtab.core.rollout.analysis import analyse

_POLL_S = 0.1
MOVED_SHOWN = 5
_PAUSE_S_MAX = 300.0
"""Longest pause between two ticks that fail by a defect."""


def run(
    begin: Callable[[], Loop],
    view: View,
    *,
    every_s: float,
    stop: Callable[[], bool],
    tell: Callable[[Tick], None],
    mind: Callable[[], str | None] = lambda: None,
) -> None:
    """Tick every ``every_s`` seconds until ``stop()``.

    Args:
        begin: makes a loop that remembers nothing.
        mind: called between ticks, e.g. to restart a server that died; what it returns is told.

    A problem that stays is told once; ``trimtab status`` shows it as long as it lasts.
    A tick that finds the outside failing (disk, registry) is told and tried again. So is one that fails by a defect of
    ours, after growing pauses and from the journal and the log anew: requests are answered meanwhile, and ending would
    take the server away for a fault that is not the server's.
    """
    loop, defects = begin(), 0
    told: tuple[str, ...] = ()

    def mind_and_tell() -> None:
        words = mind()
        if words is not None:
            tell(Tick(loop.status.at, loop.status, Snapshot(), problems=(words,)))

    while not stop():
        mind_and_tell()
        try:
            tick = loop.tick()
            view.save(seen(tick))
            defects = 0
        except ExternalError as error:
            tick = _failed(loop, view, str(error))
        except Exception as error:  # noqa: BLE001 - told, and stands in the view: the server must go on
            defects += 1
            tick = _failed(loop, view, defect_text(error))
            loop = begin()
        if tick.entries or (tick.problems and tick.problems != told):
            tell(tick)
        told = tick.problems
        if tick.entries:
            continue  # one change of traffic per tick, then look again
        _wait(every_s if not defects else min(every_s * 2**defects, max(every_s, _PAUSE_S_MAX)), stop, mind_and_tell)


def defect_text(error: Exception) -> str:
    """What is said of an error that no one foresaw: where it arose, since no trace is shown.

    >>> defect_text(ValueError("no"))
    'a defect of Trimtab (ValueError: no); serving goes on'
    """
    words = " ".join(str(error).split())
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}" if trace is not None else ""
    return f"a defect of Trimtab ({type(error).__name__}: {words}{place}); serving goes on"


def _failed(loop: Loop, view: View, problem: str) -> Tick:
    """A tick that came to nothing; the view keeps what was seen before, and gets the problem."""
    tick = Tick(loop.status.at, loop.status, Snapshot(), problems=(problem,))
    try:
        before = view.load() or {}
        controller = {"at": before.get("now", tick.now), **(before.get("controller") or {})}
        view.save({**before, "controller": {**controller, "pid": os.getpid(), "problems": [problem]}})
    except ExternalError as error:  # the disk is full, say: then only the terminal tells
        tick = Tick(tick.now, tick.status, tick.snapshot, problems=(problem, str(error)))
    return tick


def _wait(seconds: float, stop: Callable[[], bool], mind: Callable[[], None]) -> None:
    waiting = threading.Event()
    left = seconds
    while left > 0 and not stop():
        mind()
        waiting.wait(min(_POLL_S, left))
        left -= _POLL_S


def seen(tick: Tick) -> dict[str, Any]:
    """What ``trimtab status`` shows beside the journal, as plain JSON."""
    return {
        "now": tick.now,
        "event_time": tick.snapshot.event_time,
        "ahead": tick.snapshot.ahead,
        "controller": {"pid": os.getpid(), "at": tick.now, "problems": list(tick.problems)},
        "rollout": _rollout(tick),
        "health": _health(tick.snapshot),
    }


def _ranked(drift: DriftResult) -> list[dict[str, Any]]:
    """Features that moved, the one with the largest expected effect on the model first."""
    moved = [each for each in drift.features.values() if each.alarm]
    return [
        {"feature": each.name, "effect": each.effect, "p": each.p, "direction": each.direction}
        for each in sorted(moved, key=lambda each: (-each.effect, each.p))[:MOVED_SHOWN]
    ]


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
        "realized": {name: asdict(figure) for name, figure in assessment.realized.items()},
        "estimated": None if assessment.estimated is None else asdict(assessment.estimated),
        "drift": None if assessment.drift is None else _ranked(assessment.drift),
    }
