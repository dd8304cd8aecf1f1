"""Servers that cannot record what they answer: an incident of its own, told once, closed when records flow again."""

from __future__ import annotations

from trimtab.core.decide.actions import Alert, CloseIncident, OpenIncident
from trimtab.core.decide.moves import Move
from trimtab.core.decide.policy import Policy
from trimtab.core.decide.snapshot import Snapshot
from trimtab.core.decide.status import Incident, Status
from trimtab.core.domain.diagnosis import Kind, Remedy
from trimtab.core.domain.times import duration_text
from trimtab.core.domain.verdict import Reason, Severity


def watch_records(policy: Policy, status: Status, snapshot: Snapshot, now: float) -> Move | None:
    """Alarm where a server's log does not reach the disk; end the alarm when every server that answers records again.

    Without a server that answers nothing is known, so nothing changes.
    """
    opened = next((i for i in status.open_incidents if i.kind is Kind.SERVING_FAULT), None)
    if snapshot.unrecorded and opened is None:
        return _open(status, snapshot, now)
    if opened is not None and not snapshot.unrecorded and snapshot.servers:
        return _close(opened, now)
    return None


def _open(status: Status, snapshot: Snapshot, now: float) -> Move:
    server, why = min(snapshot.unrecorded.items())
    others = f" (and {len(snapshot.unrecorded) - 1} more servers)" if len(snapshot.unrecorded) > 1 else ""
    text = f"the log of {server}{others}: {why}"
    todo = (
        "Answers go on; what is not recorded is not monitored, not trained on and not part of a rollout's evidence. "
        "Make room or mend the log directory: what still waits is then written by itself."
    )
    return Move(
        (
            OpenIncident(f"i{status.seq + 1}", Kind.SERVING_FAULT, Remedy.FIX_SERVER, Severity.SEVERE, now, text=text),
            Alert(Severity.SEVERE, "predictions are not recorded", f"{text}. {todo}"),
        ),
        (Reason("RecordsLost", text),),
    )


def _close(incident: Incident, now: float) -> Move:
    text = f"records reach the disk again after {duration_text(max(0.0, now - incident.since))}"
    return Move(
        (
            CloseIncident(incident.id, now, text),
            Alert(Severity.MINOR, "predictions are recorded again", f"{text}."),
        ),
        (Reason("IncidentEnded", text),),
        cause=incident.decision,
    )
