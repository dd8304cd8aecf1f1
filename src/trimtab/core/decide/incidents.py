"""From an assessment to incidents: opened once, matched again at each tick, closed when the trouble ends."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.core.decide.actions import Action, Alert, CloseIncident, OpenIncident
from trimtab.core.decide.moves import Move
from trimtab.core.decide.policy import Policy
from trimtab.core.decide.snapshot import Snapshot
from trimtab.core.decide.status import FAULTS, Incident, Status
from trimtab.core.diagnosis.result import Assessment, Fault
from trimtab.core.domain.diagnosis import Diagnosis, Kind, Remedy
from trimtab.core.domain.times import duration_text, iso
from trimtab.core.domain.verdict import Reason, Severity

_QUIET = (Kind.NONE, Kind.DATA_FAULT)
"""Kinds that the diagnosis does not open by itself: nothing, and faults, which are tracked one by one."""


_LABEL_CODES = ("ConstantLabels", "LabelsTurned", "LabelsUnrelated")
"""Faults of the labels, not of the inputs."""


USUAL_BLOCKS = 7
"""So long must requests have come before their absence says anything."""
SILENT_BLOCKS, SILENT_PAUSES = 2, 3
"""Absence counts from so many blocks on, and so many times the longest pause before: weekends are none."""


@dataclass(frozen=True, slots=True)
class _Trouble:
    kind: Kind
    remedy: Remedy
    severity: Severity
    since: float
    features: tuple[str, ...]
    text: str
    reasons: tuple[Reason, ...]


def track_incidents(policy: Policy, status: Status, snapshot: Snapshot, now: float) -> Move | None:
    """Open what is new, close what ended; one at a time."""
    silent = _silence(policy, snapshot, now)
    if silent is not None and not any(_without_columns(incident) for incident in status.open_incidents):
        return _open(status, silent)
    assessment = snapshot.assessment
    if assessment is None or snapshot.assessed not in (None, status.champion):
        return None
    for fault in assessment.faults:
        if fault.until_s is None and not _known(status, fault, policy.block_s):
            return _open(status, _of_fault(fault))
    diagnosis = assessment.diagnosis
    if diagnosis.kind not in _QUIET and not _same_trouble(status, diagnosis):
        return _open(status, _of_diagnosis(diagnosis, now))
    for incident in status.open_incidents:
        until = _ended(incident, snapshot)
        if until is not None:
            return _close(incident, until)
    return None


def _known(status: Status, fault: Fault, block_s: float) -> bool:
    for incident in status.incidents:
        overlaps = _about_the_same(incident, fault)
        until = float("inf") if incident.until is None else incident.until
        if incident.kind is _kind(fault) and overlaps and incident.since - block_s <= fault.since_s < until:
            return True
    return False


def _about_the_same(incident: Incident, fault: Fault) -> bool:
    """A column in common; or both are about rows or labels as a whole."""
    if not incident.features or not fault.features:
        return not incident.features and not fault.features
    return bool(set(incident.features) & set(fault.features))


def _without_columns(incident: Incident) -> bool:
    """About rows as a whole: they come twice, or not at all."""
    return incident.kind is Kind.DATA_FAULT and not incident.features


def _silence(policy: Policy, snapshot: Snapshot, now: float) -> _Trouble | None:
    """No request for far longer than ever before, where requests came for long enough to know what is usual."""
    arrivals = snapshot.arrivals
    if snapshot.unrecorded:
        return None  # what is not recorded is not seen
    if arrivals is None or arrivals.last - arrivals.first < USUAL_BLOCKS * policy.block_s:
        return None
    silent_s = now - arrivals.last
    limit_s = max(SILENT_BLOCKS * policy.block_s, SILENT_PAUSES * arrivals.pause_s)
    if silent_s <= limit_s:
        return None
    text = (
        f"no request for {duration_text(silent_s)} > {duration_text(limit_s)}; "
        f"the longest pause before was {duration_text(arrivals.pause_s)}"
    )
    reason = Reason("MissingRows", text, silent_s, limit_s)
    return _Trouble(Kind.DATA_FAULT, Remedy.FIX_DATA, Severity.MODERATE, arrivals.last, (), text, (reason,))


def _kind(fault: Fault) -> Kind:
    return Kind.LABEL_FAULT if fault.code in _LABEL_CODES else Kind.DATA_FAULT


def _same_trouble(status: Status, diagnosis: Diagnosis) -> bool:
    """One incident per champion for what is wrong with the model; one for a label fault while it lasts."""
    if diagnosis.kind is Kind.LABEL_FAULT:
        return any(i.kind is Kind.LABEL_FAULT for i in status.open_incidents)
    harmless = diagnosis.kind is Kind.HARMLESS_SHIFT
    return any(
        i.kind not in (*FAULTS, Kind.SERVING_FAULT)
        and i.champion == status.champion
        and (i.kind is Kind.HARMLESS_SHIFT) == harmless
        for i in status.open_incidents
    )


def _of_fault(fault: Fault) -> _Trouble:
    kind = _kind(fault)
    return _Trouble(
        kind,
        Remedy.FIX_LABELS if kind is Kind.LABEL_FAULT else Remedy.FIX_DATA,
        fault.severity,
        fault.since_s,
        fault.features,
        fault.text,
        (Reason(fault.code, fault.text, fault.value, fault.limit),),
    )


def _of_diagnosis(diagnosis: Diagnosis, now: float) -> _Trouble:
    return _Trouble(
        diagnosis.kind,
        diagnosis.remedy,
        diagnosis.severity,
        now if diagnosis.since is None else diagnosis.since,
        diagnosis.features,
        "; ".join(reason.text for reason in diagnosis.reasons) or diagnosis.kind.value,
        diagnosis.reasons,
    )


def _open(status: Status, trouble: _Trouble) -> Move:
    name = f"i{status.seq + 1}"
    actions: list[Action] = [
        OpenIncident(
            name, trouble.kind, trouble.remedy, trouble.severity, trouble.since, trouble.features, trouble.text
        )
    ]
    if trouble.severity is not Severity.MINOR:
        what = f"{trouble.kind.value}{' in ' + ', '.join(trouble.features) if trouble.features else ''}"
        todo = {
            Remedy.FIX_DATA: "The window is not trained on, and nothing is retrained or promoted until it ends. "
            "Fix the pipeline that feeds it.",
            Remedy.FIX_LABELS: "Training is frozen until the labels are right again.",
        }.get(trouble.remedy, f"Remedy: {trouble.remedy.value}.")
        actions.append(Alert(trouble.severity, f"{what} since {iso(trouble.since)}", f"{trouble.text}. {todo}"))
    return Move(tuple(actions), trouble.reasons, again=True)


def _ended(incident: Incident, snapshot: Snapshot) -> float | None:
    """Event time of the end, or None while it lasts or cannot be told."""
    assessment = snapshot.assessment
    if assessment is None or snapshot.event_time is None:
        return None
    if incident.kind is Kind.LABEL_FAULT and any(
        _kind(f) is incident.kind and f.until_s is None for f in assessment.faults
    ):
        return None  # another cause may stand first in the diagnosis while it lasts
    if incident.kind is Kind.DATA_FAULT:
        matching = [
            fault for fault in assessment.faults if _kind(fault) is incident.kind and _about_the_same(incident, fault)
        ]
        if any(fault.until_s is None for fault in matching):
            return None
        ends = [fault.until_s for fault in matching if fault.until_s is not None and fault.until_s > incident.since]
        if ends:
            return max(ends)
        return _healthy_since(assessment, incident)
    if incident.kind in (Kind.LABEL_FAULT, Kind.HARMLESS_SHIFT):
        return None if assessment.diagnosis.kind is incident.kind else snapshot.event_time
    return None


def _healthy_since(assessment: Assessment, incident: Incident) -> float | None:
    """Where a new champion's blocks never showed the fault: the start of the first sound one after the onset."""
    sound = (b.start_s for b in assessment.blocks if b.start_s > incident.since and b.rows and not b.faulty)
    return next(sound, None)


def _close(incident: Incident, until: float) -> Move:
    actions: list[Action] = [CloseIncident(incident.id, until, f"{incident.kind.value} ended")]
    if incident.severity is not Severity.MINOR:
        what = f"{incident.kind.value}{' in ' + ', '.join(incident.features) if incident.features else ''}"
        actions.append(
            Alert(
                Severity.MINOR,
                f"{what} ended at {iso(until)}",
                f"It lasted from {iso(incident.since)} to {iso(until)}.",
            )
        )
    reason = Reason("IncidentEnded", f"{incident.text.rstrip('.')}: no longer seen since {iso(until)}")
    return Move(tuple(actions), (reason,), cause=incident.decision, again=True)
