"""What people read: plain values made from the journal and from what the controller last saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trimtab.controller.desk import Desk
from trimtab.controller.standing import standing, status_of
from trimtab.core.decide.status import Incident, Rollout, Status, Training
from trimtab.core.domain.errors import NotFoundError
from trimtab.core.domain.gate import VersionRecord
from trimtab.core.domain.journal import Entry, Query
from trimtab.ports import ServerReport

CONSEQUENCES = 100
"""Most decisions that are told to follow from one."""


@dataclass(frozen=True, slots=True)
class VersionLine:
    """A version and what it is now: ``champion``, ``challenger``, ``waiting``, ``previous``, ``barred``,
    ``rejected`` or ``candidate``.
    """

    version: int
    state: str
    record: VersionRecord


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """A decision in a line."""

    seq: int
    at: float
    actor: str
    what: str
    why: str
    cause: int | None


@dataclass(frozen=True, slots=True)
class Question:
    """What waits for a person: answered by ``trimtab approve <seq>``."""

    seq: int
    title: str
    asked_at: float


@dataclass(frozen=True, slots=True)
class StatusReport:
    """Everything that ``trimtab status`` shows."""

    name: str
    mode: str
    champion: int | None
    champion_since: float | None
    previous: tuple[int, ...]
    waiting: int | None
    generation: int
    rollout: Rollout | None
    rollout_evidence: dict[str, Any] | None
    """Verdict, metrics in words, what is missing and the forecast, as of the controller's last tick."""
    watch_until: float | None
    training: Training | None
    incidents: tuple[Incident, ...]
    """The open ones."""
    questions: tuple[Question, ...]
    servers: tuple[ServerReport, ...]
    health: dict[str, Any] | None
    """What the controller last saw of the champion: rows, loss against baseline, faults, drift."""
    controller: dict[str, Any] | None
    """``pid``, ``at`` and ``problems`` of the last tick; None when none ever ran."""
    recent: tuple[HistoryLine, ...]
    ahead: int = 0
    """Rows whose event times lie too far ahead of all others to move the clock."""


def status(desk: Desk, recent: int = 6) -> StatusReport:
    """What is, why, and what is waited for."""
    now, entries = standing(desk.journal, desk.world.shelf, desk.journal.head() - recent)
    seen = desk.view.load() or {}
    return StatusReport(
        name=desk.name,
        mode=desk.policy.mode.value,
        champion=now.champion,
        champion_since=now.champion_since if now.champion is not None else None,
        previous=now.previous,
        waiting=now.waiting,
        generation=now.generation,
        rollout=now.rollout,
        rollout_evidence=seen.get("rollout") if now.rollout is not None else None,
        watch_until=now.watch.until if now.watch is not None else None,
        training=now.training,
        incidents=now.open_incidents,
        questions=tuple(Question(int(key[1:]), a.title, a.asked_at) for key, a in now.approvals.items()),
        servers=tuple(desk.target.servers()),
        health=seen.get("health"),
        controller=seen.get("controller"),
        recent=tuple(_line(entry) for entry in entries[-recent:]),
        ahead=int(seen.get("ahead") or 0),
    )


def kind_of(name: str) -> str:
    """The type of action that a person means, however it is written: ``rollback``, ``roll-back``, ``RollBack``.

    Raises:
        NotFoundError: there is none; the text names those there are.
    """
    plain = {kind.lower(): kind for kind in _WORDS}
    found = plain.get(name.lower().replace("-", "").replace("_", ""))
    if found is None:
        raise NotFoundError(f"there is no kind of decision '{name[:40]}'; there is {', '.join(_WORDS)}")
    return found


def history(desk: Desk, query: Query) -> tuple[HistoryLine, ...]:
    """The decisions that the query names, in order, newest last."""
    return tuple(_line(entry) for entry in desk.journal.find(query))


def verify(desk: Desk) -> int | None:
    """The first decision whose hash does not fit what stands in the journal; None when the chain holds."""
    return desk.journal.verify()


def why(desk: Desk, seq: int) -> tuple[Entry, ...]:
    """The decision and the chain of its causes, first cause first. Reads these entries alone.

    Raises:
        NotFoundError: there is no decision of that number.
    """
    chain: list[Entry] = []
    at: int | None = seq
    while at is not None and at > 0:
        found = desk.journal.read(at - 1, 1)
        if not found or found[0].seq != at:
            break
        chain.append(found[0])
        at = found[0].cause
    if not chain:
        head = desk.journal.head()
        known = f"there is no decision {seq}; the journal holds 1 to {head}"
        raise NotFoundError(known if head else "the journal is empty")
    return tuple(reversed(chain))


def consequences(desk: Desk, seq: int, limit: int = CONSEQUENCES) -> tuple[Entry, ...]:
    """The decisions that name ``seq`` as their cause, the first ``limit`` of them."""
    return tuple(desk.journal.find(Query(cause=seq, limit=limit)))


def versions(desk: Desk) -> tuple[VersionLine, ...]:
    """All registered versions, oldest first."""
    now = status_of(desk.journal, desk.world.shelf)
    return tuple(VersionLine(v, _state(now, v), record) for v, record in sorted(now.versions.items()))


def _state(status: Status, version: int) -> str:
    checks = (
        ("champion", version == status.champion),
        ("challenger", status.rollout is not None and version == status.rollout.version),
        ("rejected", not status.versions[version].deployable),
        ("waiting", version == status.waiting),
        ("barred", version in status.barred),
        ("previous", version in status.previous),
    )
    return next((name for name, holds in checks if holds), "candidate")


def _line(entry: Entry) -> HistoryLine:
    told = [a for a in entry.actions if a["type"] != "Alert"] or list(entry.actions)
    what = ", ".join(describe(action) for action in told)
    why_text = entry.reasons[0]["text"] if entry.reasons else ""
    return HistoryLine(entry.seq, entry.at, entry.actor, what, why_text, entry.cause)


def describe(action: dict[str, Any]) -> str:
    """An action in a few words."""
    template = _WORDS.get(str(action["type"]), str(action["type"]))
    return str(template(action)) if callable(template) else str(template)


def _features(action: dict[str, Any]) -> str:
    return f" in {', '.join(action['features'])}" if action.get("features") else ""


_WORDS: dict[str, Any] = {
    "RecordVersion": lambda a: f"version {a['record']['version']} registered, gates {a['record']['verdict']}",
    "OverrideGates": lambda a: f"gates of version {a['version']} overridden",
    "StartTraining": lambda a: f"training {a['job']} started ({a['trigger']}, {a['strategy']})",
    "FinishTraining": lambda a: f"training {a['job']} {a['outcome']}",
    "DeployFirst": lambda a: f"version {a['version']} deployed",
    "Adopt": lambda a: f"version {a['version']} adopted as it is served",
    "StartRollout": lambda a: f"rollout {a['rollout']} of version {a['version']} started ({a['plan']['strategy']})",
    "EnterStep": lambda a: f"{a['rollout']} at {a['weight']} %" if a["weight"] else f"{a['rollout']} in shadow",
    "PauseRollout": lambda a: f"{a['rollout']} paused",
    "ResumeRollout": lambda a: f"{a['rollout']} resumed",
    "Promote": lambda a: f"version {a['version']} promoted",
    "Abort": lambda a: f"{a['rollout']} of version {a['version']} aborted",
    "Supersede": lambda a: f"{a['rollout']} of version {a['version']} superseded by version {a['by_version']}",
    "HoldWatch": lambda a: f"version {a['version']} does worse, and no earlier version can take over",
    "EndWatch": lambda a: f"watch of version {a['version']} ended",
    "RollBack": lambda a: f"rolled back from version {a['from_version']} to {a['version']}",
    "OpenIncident": lambda a: f"{a['kind']}{_features(a)} ({a['severity']})",
    "CloseIncident": lambda a: a["text"] or f"incident {a['incident']} ended",
    "Alert": lambda a: f"alert: {a['title']}",
    "AskApproval": lambda a: f"approval asked: {a['title']}",
    "Answer": lambda a: "approved" if a["approved"] else "rejected",
    "Note": lambda a: a["text"],
}
