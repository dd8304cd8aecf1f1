"""The verdict on a rollout, under way or ended, as one value that other tools can go by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trimtab.controller.desk import Desk
from trimtab.controller.standing import status_of
from trimtab.core.decide.status import Rollout, Status
from trimtab.core.domain.errors import NotFoundError
from trimtab.core.domain.journal import Entry, Query
from trimtab.core.domain.times import iso
from trimtab.core.domain.verdict import Verdict
from trimtab.ports import Journal

CURRENT = "current"
"""The rollout that is under way, else the newest one."""


@dataclass(frozen=True, slots=True)
class RolloutVerdict:
    """What may be done with a rollout, and why."""

    rollout: str
    version: int
    champion: int
    phase: str
    """As in docs/rollouts.md; ``rolled back`` where the promoted version was taken back while under watch."""
    weight: int
    """Percent of the traffic that the version gets from Trimtab."""
    verdict: str
    """``successful``: the present step may be left (ended: promoted). ``failed``: stop. ``inconclusive``: wait."""
    score: float | None
    """Anytime-valid p-value of 'no harm' over all metrics; ``failed`` needs at most alpha. None: nothing seen yet."""
    n: int
    """Labelled rows behind it; requests while there are none."""
    reason: str
    metrics: tuple[dict[str, Any], ...]
    missing: tuple[str, ...]
    ready_at: str | None
    """Forecast of when nothing will be missing, UTC; None: not in sight, or decided."""
    as_of: str | None
    """When the controller looked, or when the rollout ended."""
    final: bool


def rollout_verdict(desk: Desk, name: str) -> RolloutVerdict:
    """The verdict on a rollout by its name (``r12``), or on ``current``.

    Raises:
        NotFoundError: there is no such rollout; the text names those there are.
    """
    status = status_of(desk.journal, desk.world.shelf)
    if name == CURRENT:
        newest = _newest(desk.journal, 1)
        name = status.rollout.id if status.rollout is not None else newest[0] if newest else name
    if status.rollout is not None and status.rollout.id == name:
        return _live(status, status.rollout, desk.view.load() or {})
    found = desk.journal.find(Query(kind="StartRollout", rollout=name, limit=1))
    if not found:
        known = ", ".join(_newest(desk.journal, 5))
        hint = f"there is {known}" if known else "none has been started yet"
        raise NotFoundError(f"there is no rollout '{name}': {hint}")
    start = next(a for a in found[0].actions if a["type"] == "StartRollout" and a["rollout"] == name)
    return _ended(name, start, *_end(desk.journal, found[0].seq, name, int(start["version"])))


def _newest(journal: Journal, count: int) -> list[str]:
    """The names of the newest rollouts."""
    entries = journal.find(Query(kind="StartRollout", newest=True, limit=count))
    return [str(action["rollout"]) for entry in entries for action in entry.actions if action["type"] == "StartRollout"]


def _live(status: Status, rollout: Rollout, view: dict[str, Any]) -> RolloutVerdict:
    seen = view.get("rollout") or {}
    if seen.get("id") != rollout.id:
        seen = {}
    verdict, reason = _judged(seen)
    held = _held(status, rollout)
    if held and verdict != Verdict.FAILED:
        verdict, reason = Verdict.INCONCLUSIVE.value, held
    ready = seen.get("ready_at_s")
    return RolloutVerdict(
        rollout=rollout.id,
        version=rollout.version,
        champion=rollout.champion,
        phase=rollout.phase.value,
        weight=rollout.weight,
        verdict=verdict,
        score=seen.get("score"),
        n=int(seen.get("n") or 0),
        reason=reason,
        metrics=tuple(seen.get("metrics") or ()),
        missing=tuple(seen.get("missing") or ()),
        ready_at=iso(ready) if ready is not None and not held else None,
        as_of=iso(view["now"]) if seen and view.get("now") is not None else None,
        final=False,
    )


def _judged(seen: dict[str, Any]) -> tuple[str, str]:
    """Verdict and reason of what the controller saw; nothing seen is inconclusive."""
    if not seen:
        return Verdict.INCONCLUSIVE.value, "the controller has not looked at it yet"
    verdict = str(seen["verdict"])
    if verdict == Verdict.INCONCLUSIVE:
        return verdict, "; ".join(seen.get("missing") or ()) or "no evidence yet"
    metrics = seen.get("metrics") or ()
    telling = [m for m in metrics if m.get("verdict") == verdict and m.get("role") != "watch"]
    primary = [m for m in telling if m.get("role") == "primary"]
    return verdict, "; ".join(str(m["text"]) for m in (primary if primary and verdict == "successful" else telling))


def _held(status: Status, rollout: Rollout) -> str:
    """Why the rollout does not go on whatever the evidence says; empty where nothing holds it."""
    if rollout.paused:
        return "paused: a person, or the policy, holds it"
    broken = [incident for incident in status.open_incidents if incident.quarantines]
    return f"the data are broken ({broken[0].text}): no promotion on their evidence" if broken else ""


def _ended(name: str, start: dict[str, Any], end: Entry, phase: str) -> RolloutVerdict:
    """By how it ended; a version that the watch took back has failed after all."""
    who = "" if end.actor == "controller" else f"by {end.actor}: "
    told = end.reasons[:1] if phase == "promoted" else end.reasons
    text = "; ".join(str(reason["text"]) for reason in told)
    evidence = end.evidence
    return RolloutVerdict(
        rollout=name,
        version=int(start["version"]),
        champion=int(start["champion"]),
        phase=phase,
        weight=100 if phase == "promoted" else 0,
        verdict=(Verdict.SUCCESSFUL if phase == "promoted" else Verdict.FAILED).value,
        score=evidence.get("score"),
        n=int(evidence.get("n") or 0),
        reason=f"{phase}; {who}{text}" if text else phase,
        metrics=tuple(evidence.get("metrics") or ()),
        missing=(),
        ready_at=None,
        as_of=iso(end.at),
        final=True,
    )


def _end(journal: Journal, began: int, name: str, version: int) -> tuple[Entry, str]:
    """The decision that ended the rollout (or took its version back under watch), and the phase it led to."""
    for kind, phase in (("Abort", "aborted"), ("Supersede", "superseded")):
        found = journal.find(Query(kind=kind, rollout=name, after=began - 1, limit=1))
        if found:
            return found[0], phase
    promoted = journal.find(Query(kind="Promote", rollout=name, after=began - 1, newest=True, limit=1))
    if not promoted:  # nothing names it: a rollback of the champion ended it
        return journal.find(Query(kind="RollBack", after=began, limit=1))[0], "aborted"
    end = promoted[0]
    later = [_first(journal, kind, end.seq) for kind in ("EndWatch", "StartRollout")]
    watched_until = min((entry.seq for entry in later if entry is not None), default=None)
    back = journal.find(Query(kind="RollBack", version=version, after=end.seq, before=watched_until, limit=1))
    if back and any(a["type"] == "RollBack" and a["from_version"] == version for a in back[0].actions):
        return back[0], "rolled back"
    return end, "promoted"


def _first(journal: Journal, kind: str, after: int) -> Entry | None:
    found = journal.find(Query(kind=kind, after=after, limit=1))
    return found[0] if found else None
