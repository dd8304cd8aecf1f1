"""What a scenario showed: noticed or not, when, what was decided, what it cost, and whether that was right."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from trimtab.core.domain.diagnosis import Remedy
from trimtab.core.domain.journal import Entry
from trimtab.core.domain.times import duration_text
from trimtab.replay.drill.fleet import alone, losses
from trimtab.replay.drill.ground import Floats, Ground
from trimtab.replay.drill.play import Play
from trimtab.replay.incidents import Recipe
from trimtab.replay.incidents.catalogue import QUIET

CLOSING_BLOCKS = 4
"""So long after a fault was mended its incident must be closed."""
TOLD = {"StartTraining", "FinishTraining", "StartRollout", "Promote", "Abort", "RollBack", "PauseRollout", "HoldWatch"}


@dataclass(frozen=True, slots=True)
class Event:
    """A decision as it is told."""

    at: float
    what: str
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """Mean losses by block of time."""

    starts: tuple[float, ...]
    unbroken: tuple[float | None, ...]
    without: tuple[float | None, ...]
    with_loop: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One scenario's outcome."""

    name: str
    title: str
    severity: str
    recipe: str
    """What was done."""
    onset_s: float
    columns: tuple[str, ...]
    """That were broken, where the answer must name them."""
    expected: tuple[str, ...]
    """Answers that are right."""
    answer: str
    """What the loop decided: the remedy of its first incident that calls for one."""
    kind: str
    """Of that incident."""
    named: tuple[str, ...]
    """Columns that it named."""
    noticed_s: float | None
    """Seconds from the onset to that incident."""
    since_off_s: float | None
    """Seconds between the onset it names and the true one."""
    reason: str
    outcome: str
    """What came of it: mended, promoted, rejected, rolled back, …"""
    harmful: bool
    """What happened made the first version worse by more than ``monitoring.tolerance``."""
    right: bool
    wrong: tuple[str, ...]
    """What was not right, in words."""
    loss: dict[str, float | None]
    """Mean loss since the onset: ``unbroken``, ``without`` the loop, ``with`` it."""
    trainings: int
    rows: int
    """Played since the onset."""
    events: tuple[Event, ...] = ()
    line: Line | None = None
    problems: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(slots=True)
class _Seen:
    """The journal since the onset, sorted."""

    incidents: list[tuple[Entry, dict[str, Any]]] = field(default_factory=list)
    closed: dict[str, float] = field(default_factory=dict)
    trainings: list[float] = field(default_factory=list)
    """When the loop started one because of an incident."""
    events: list[Event] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)


def judge(play: Play, recipe: Recipe, level: int, severity: str) -> Finding:
    """Of a scenario that was played to its end."""
    seen = _read(play)
    loss, line, rows = _losses(play)
    harmless = not _harmed(loss, play.settings.tolerance)
    acting = [(entry, one) for entry, one in seen.incidents if one["remedy"] not in QUIET]
    said = _release_said(play, seen, acting) if play.released is not None else _said(play, seen, acting)
    if play.released is not None:
        expected = ("abort", "rollback", *(("promote", "none") if harmless else ()))
        wrong = [f"it also said {one['remedy']}: {one['text']}" for _, one in acting]
        if said.answer not in expected:
            wrong.append("the bad version answers everything, or is still on its way")
    else:
        right = recipe.right_at(level) | (QUIET if harmless and not recipe.mendable else frozenset())
        expected = tuple(sorted(each.value for each in right))
        wrong = _wrong_answers(play, recipe, right, seen, acting, said.answer)
        wrong += _wrong_columns(play, recipe, said, acting)
    return Finding(
        name=recipe.name,
        title=recipe.title,
        severity=severity,
        recipe=play.scene.recipe,
        onset_s=play.onset_s,
        columns=play.scene.columns,
        expected=expected,
        answer=said.answer,
        kind=said.kind,
        named=said.named,
        noticed_s=said.noticed_s,
        since_off_s=said.since_off_s,
        reason=said.reason,
        outcome=_outcome(play, seen),
        harmful=not harmless,
        right=not wrong,
        wrong=tuple(wrong),
        loss=loss,
        trainings=len(seen.trainings),
        rows=rows,
        events=tuple(seen.events),
        line=line,
        problems=tuple(dict.fromkeys(play.problems)),
    )


def _harmed(loss: dict[str, float | None], tolerance: float) -> bool:
    """Whether what happened made the first version worse by more than is nobody's concern."""
    unbroken, without = loss["unbroken"], loss["without"]
    return unbroken is None or without is None or without > unbroken * (1 + tolerance)


@dataclass(frozen=True, slots=True)
class _Said:
    answer: str
    kind: str = "none"
    named: tuple[str, ...] = ()
    noticed_s: float | None = None
    since_off_s: float | None = None
    reason: str = ""


_Incidents = list[tuple[Entry, dict[str, Any]]]


def _said(play: Play, seen: _Seen, acting: _Incidents) -> _Said:
    """By the first incident that calls for something, else by the first at all."""
    if not seen.incidents:
        return _Said(Remedy.NONE.value)
    entry, one = (acting or seen.incidents)[0]
    since = one["since"] - play.onset_s if acting else None
    together = [name for _, each in acting if each["kind"] == one["kind"] for name in each["features"]]
    named = tuple(sorted(dict.fromkeys(together or one["features"])))
    return _Said(one["remedy"], one["kind"], named, entry.at - play.onset_s, since, one["text"])


def _release_said(play: Play, seen: _Seen, acting: _Incidents) -> _Said:
    """By what ended the bad version."""
    for entry in play.entries:
        for action in entry.actions:
            aborted = action["type"] == "Abort" and action["version"] == play.released
            if aborted or (action["type"] == "RollBack" and action["from_version"] == play.released):
                why = "; ".join(reason["text"] for reason in entry.reasons[:3])
                word = "abort" if aborted else "rollback"
                return _Said(word, "serving-fault", (), entry.at - play.onset_s, None, why)
    promoted = play.loop.catch_up().champion == play.released
    return replace(_said(play, seen, acting), answer="promote" if promoted else "none")


def _wrong_columns(play: Play, recipe: Recipe, said: _Said, acting: _Incidents) -> list[str]:
    if not recipe.names_columns or said.answer != Remedy.FIX_DATA.value or not acting:
        return []
    if set(said.named) == set(play.scene.columns):
        return []
    return [f"it named {', '.join(said.named)}; broken were {', '.join(sorted(play.scene.columns))}"]


def _read(play: Play) -> _Seen:
    seen = _Seen()
    for entry in play.entries:
        if entry.at < play.onset_s or (entry.at == play.onset_s and play.released is None):
            continue
        why = "; ".join(reason["text"] for reason in entry.reasons[:3])
        for action in entry.actions:
            what = action["type"]
            if what == "OpenIncident":
                seen.incidents.append((entry, action))
                features = f" in {', '.join(action['features'][:6])}" if action["features"] else ""
                text = f"{action['kind']}{features}, {action['severity']}: {action['text']}"
                seen.events.append(Event(entry.at, f"incident: {action['remedy']}", text))
            elif what == "CloseIncident":
                seen.closed[action["incident"]] = entry.at
                seen.events.append(Event(entry.at, "incident closed", action["text"]))
            elif what in TOLD:
                if what == "StartTraining" and action["trigger"] == "drift":
                    seen.trainings.append(entry.at)
                if what in ("FinishTraining", "Promote", "Abort", "RollBack"):
                    seen.ended.append(action["outcome"] if what == "FinishTraining" else what)
                seen.events.append(Event(entry.at, _words(action), why))
    if play.mended_at is not None:
        seen.events.append(Event(play.mended_at, "mended", "people mended it"))
        seen.events.sort(key=lambda event: event.at)
    return seen


def _words(action: dict[str, Any]) -> str:
    version = f" version {action['version']}" if action.get("version") is not None else ""
    return {
        "StartTraining": f"training starts ({action.get('trigger')}, {action.get('strategy')})",
        "FinishTraining": f"training {action.get('outcome')}{version}",
        "StartRollout": f"rollout of{version} begins",
        "Promote": f"promoted{version}",
        "Abort": f"aborted{version}",
        "RollBack": f"rolled back to{version}",
        "PauseRollout": "rollout paused",
        "HoldWatch": f"trouble with{version}",
    }[action["type"]]


def _wrong_answers(
    play: Play,
    recipe: Recipe,
    right: frozenset[Remedy],
    seen: _Seen,
    acting: list[tuple[Entry, dict[str, Any]]],
    answer: str,
) -> list[str]:
    wrong = []
    allowed = {each.value for each in right | QUIET}
    if answer not in {each.value for each in right}:
        wrong.append(f"it said {answer}, right is {' or '.join(sorted(each.value for each in right))}")
    for _, one in acting:
        if one["remedy"] not in allowed and one["remedy"] != answer:
            wrong.append(f"it also said {one['remedy']} ({one['kind']}): {one['text']}")
    if seen.trainings and Remedy.RETRAIN not in right:
        wrong.append(f"it trained {len(seen.trainings)} times")
    rollbacks = [each for each in seen.ended if each == "RollBack"]
    if rollbacks and recipe.quiet:
        wrong.append("it rolled back")
    return wrong + _not_closed(play, seen)


def _not_closed(play: Play, seen: _Seen) -> list[str]:
    """A mended fault whose incident stays open would freeze training for ever."""
    if play.mended_at is None:
        return []
    late = float(play.scene.clean.at[-1]) - play.mended_at
    if late < CLOSING_BLOCKS * play.ground.block_s:
        return []
    left = [one["incident"] for _, one in seen.incidents if one["remedy"] in ("fix-data", "fix-labels")]
    still = [name for name in left if name not in seen.closed]
    return [f"the incident was still open {duration_text(late)} after it was mended"] if still else []


def _outcome(play: Play, seen: _Seen) -> str:
    """In a few words."""
    parts = []
    if play.mended_at is not None:
        parts.append(f"mended {duration_text(play.mended_at - play.onset_s)} after it began")
        closed = max(seen.closed.values(), default=None)
        if closed is not None and closed >= play.mended_at:
            parts.append(f"closed {duration_text(closed - play.mended_at)} later")
    words = {
        "registered": "a new version passed its gates",
        "rejected": "a new version was rejected by the gates",
        "failed": "a training failed",
        "Promote": "promoted",
        "Abort": "aborted",
        "RollBack": "rolled back",
    }
    parts += [words.get(each, each) for each in seen.ended]
    return ", ".join(dict.fromkeys(parts)) or "nothing was done"


def _losses(play: Play) -> tuple[dict[str, float | None], Line, int]:
    """Mean losses since the onset, and by block."""
    ground, scene = play.ground, play.scene
    first = play.workshop.versions[1]
    clean = alone(ground, first, scene.clean, slice(None))
    alone_version = play.workshop.versions[play.released] if play.released is not None else first
    without = alone(ground, alone_version, scene.broken, slice(None))
    if play.released is not None:
        before = scene.broken.at < play.onset_s
        without = np.where(before, alone(ground, first, scene.broken, slice(None)), without)
    at, with_loop = _served(play)
    usual = scene.clean.at < play.onset_s if scene.warm_up_only else scene.clean.at >= play.onset_s
    rows = int((at >= play.onset_s).sum())
    loss = {
        "unbroken": _mean(clean[usual]),
        "without": _mean(without[scene.broken.at >= play.onset_s]),
        "with": _mean(with_loop[at >= play.onset_s]),
    }
    starts = np.unique(np.concatenate([at, scene.broken.at]) // ground.block_s)
    line = Line(
        tuple((starts * ground.block_s).tolist()),
        _by_block(scene.clean.at, clean, starts, ground),
        _by_block(scene.broken.at, without, starts, ground),
        _by_block(at, with_loop, starts, ground),
    )
    return loss, line, rows


def _served(play: Play) -> tuple[Floats, Floats]:
    """Times and losses of what was really answered."""
    at, found = [], []
    for tape, rows, versions in play.fleet.answered:
        low, high = rows.start, rows.stop
        scores = play.fleet.scores(tape, low, high, versions)
        at.append(tape.at[rows])
        found.append(losses(play.ground, scores, tape.truth[rows]))
    return np.concatenate(at), np.concatenate(found)


def _mean(values: Floats) -> float | None:
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else None


def _by_block(at: Floats, values: Floats, starts: Floats, ground: Ground) -> tuple[float | None, ...]:
    place = at // ground.block_s
    return tuple(_mean(values[place == start]) for start in starts.tolist())
