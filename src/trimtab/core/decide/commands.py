"""What a person may ask for: the same transitions as the loop's own, refused where they are not legal.

Each takes the status and returns a move, or None when it is already so (commands are idempotent).
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from trimtab.core.decide.actions import (
    Abort,
    Action,
    Adopt,
    Alert,
    Answer,
    DeployFirst,
    Note,
    OverrideGates,
    PauseRollout,
    Promote,
    RecordVersion,
    ResumeRollout,
    RollBack,
    StartTraining,
    Supersede,
)
from trimtab.core.decide.moves import Move
from trimtab.core.decide.rollouts import preflight_reasons, start_rollout
from trimtab.core.decide.status import Approval, Rollout, Status
from trimtab.core.domain.errors import NotFoundError, RefusedError
from trimtab.core.domain.gate import VersionRecord
from trimtab.core.domain.proof import Proof
from trimtab.core.domain.times import iso
from trimtab.core.domain.verdict import Reason, Severity
from trimtab.core.rollout.plan import RolloutPlan
from trimtab.core.rollout.table import Phase


def record(status: Status, version: VersionRecord, deploy: bool) -> Move | None:
    """A version was trained outside the loop."""
    if version.version in status.versions:
        return None
    reasons = tuple(Reason("Gate", f"{g.gate}: {g.text}", g.value, g.limit) for g in version.gates)
    return Move((RecordVersion(version, deploy),), reasons)


def deploy(
    status: Status, version: int, plan: RolloutPlan, by: str, reason: str, *, supersede: bool = False
) -> Move | None:
    """Roll a registered version out. ``supersede``: in the place of a rollout that is under way."""
    chosen = _registered(status, version)
    if not chosen.deployable:
        failed = "; ".join(f"{g.gate}: {g.text}" for g in chosen.gates if g.verdict.value != "successful")
        raise RefusedError(
            f"version {version} did not pass its gates ({failed}); a named person may override them: "
            f"trimtab override {version} --reason ..."
        )
    if status.champion is None:
        return Move((DeployFirst(version),), _because(by, f"deploy version {version}", reason))
    if status.champion == version:
        return None
    actions = start_rollout(status, version, plan, by)
    rollout, cause, what = status.rollout, status.recorded_by.get(version), f"deploy version {version}"
    if rollout is not None:
        if rollout.version == version:
            return None
        if not supersede:
            raise RefusedError(
                f"rollout {rollout.id} of version {rollout.version} is under way; promote or abort it first, or let "
                f"version {version} take its place: --supersede"
            )
        actions = (Supersede(rollout.id, rollout.version, version), *actions)
        what, cause = f"{what} in place of version {rollout.version}", rollout.decision
    return Move(actions, _because(by, f"{what} by {plan.strategy}", reason), cause)


def adopt(
    status: Status, generation: int, champion: VersionRecord, warm: tuple[VersionRecord, ...], by: str, reason: str
) -> Move | None:
    """Begin a new journal with what is deployed, where the old one is lost.

    Args:
        status: of the new journal.
        generation: of the routes that were found.
        champion: the version that they name as champion; it answers everything from now on.
        warm: earlier champions that are still loaded, newest first.
        by: who.
        reason: why.

    Raises:
        RefusedError: the routes are this journal's own, or a rollout of it is under way.
    """
    if generation <= status.generation:
        if status.champion == champion.version:
            return None
        raise RefusedError(
            f"these routes (generation {generation}) are this journal's own, whose champion is version "
            f"{status.champion}: there is nothing to adopt"
        )
    if status.rollout is not None:
        raise RefusedError(f"rollout {status.rollout.id} is under way in this journal: trimtab abort first")
    unknown = tuple(record for record in (champion, *warm) if record.version not in status.versions)
    allowed: tuple[Action, ...] = ()
    if not champion.deployable:
        allowed = (OverrideGates(champion.version, f"{by}: it served when the journal was lost"),)
    adopted = Adopt(champion.version, generation, tuple(record.version for record in warm))
    actions = (*(RecordVersion(record, deploy=False) for record in unknown), *allowed, adopted)
    return Move(actions, _because(by, f"adopt version {champion.version} as it is served", reason))


def rollback_targets(status: Status, version: int | None) -> tuple[int, ...]:
    """Versions that a rollback may return to, best first; none when it is already so.

    A second ``rollback`` without a version does not go a step further: it may be the first one's repetition, or come
    just after the watch did the same.

    Raises:
        NotFoundError: the version is not registered.
        RefusedError: nothing is deployed, the version never served, or nothing else ever did.
    """
    if status.champion is None:
        raise RefusedError("nothing is deployed, so there is nothing to roll back")
    if version is None:
        if status.returned_from is not None:
            return ()
        if not status.previous:
            raise RefusedError(
                f"version {status.champion} is the only one that ever served; there is nothing to roll back to"
            )
        return status.previous
    _registered(status, version)
    if version == status.champion:
        return ()
    if version not in status.served:
        earlier = ", ".join(map(str, status.previous)) or "none"
        raise RefusedError(
            f"version {version} never served, so there is nothing to return to; earlier champions: {earlier}. "
            f"A new version is deployed: trimtab deploy {version}"
        )
    return (version,)


def roll_back(status: Status, version: int | None, by: str, reason: str, proofs: tuple[Proof, ...] = ()) -> Move | None:
    """An earlier champion answers everything again, in one step.

    Args:
        status: what is.
        version: the one to return to; None: the newest earlier champion that fits.
        by: who.
        reason: why.
        proofs: preflights in the order they were made. Where none of them fits, the move only keeps what was tried.
    """
    targets = rollback_targets(status, version)
    if not targets or status.champion is None:
        return None
    target = next((proof.version for proof in proofs if proof.fits), None) if proofs else targets[0]
    tried = preflight_reasons(proofs)
    evidence: dict[str, Any] = {"preflight": [asdict(proof) for proof in proofs]} if proofs else {}
    if target is None:
        note = Note(f"rollback refused: {'; '.join(why.text for why in tried)}")
        asked = f"roll back{'' if version is None else f' to version {version}'}"
        return Move((note,), (*_because(by, asked, reason), *tried), evidence=evidence)
    actions: tuple[Action, ...] = (
        RollBack(target, status.champion),
        Alert(
            Severity.MODERATE,
            f"{by} rolled back from version {status.champion} to {target}",
            reason or "no reason given",
        ),
    )
    return Move(actions, (*_because(by, f"roll back to version {target}", reason), *tried), evidence=evidence)


def promote(status: Status, by: str, reason: str) -> Move | None:
    """The challenger takes all traffic now."""
    if _ended_so(status, Phase.PROMOTED) and status.ended is not None and status.ended.version == status.champion:
        return None
    rollout = _rollout(status, "promote")
    return Move(
        (Promote(rollout.id, rollout.version),),
        _because(by, f"promote version {rollout.version}", reason),
        rollout.decision,
    )


def abort(status: Status, by: str, reason: str) -> Move | None:
    """The champion takes all traffic back."""
    if _ended_so(status, Phase.ABORTED):
        return None
    rollout = _rollout(status, "abort")
    reasons = _because(by, f"abort rollout {rollout.id}", reason)
    return Move((Abort(rollout.id, rollout.version, reasons[0].text),), reasons, rollout.decision)


def pause(status: Status, by: str, reason: str) -> Move | None:
    """The weights stay where they are; harm still aborts."""
    rollout = _rollout(status, "pause")
    if rollout.paused:
        return None
    return Move((PauseRollout(rollout.id),), _because(by, f"pause rollout {rollout.id}", reason), rollout.decision)


def resume(status: Status, by: str, reason: str) -> Move | None:
    """The rollout goes on."""
    rollout = _rollout(status, "resume")
    if not rollout.paused:
        return None
    return Move((ResumeRollout(rollout.id),), _because(by, f"resume rollout {rollout.id}", reason), rollout.decision)


def override(status: Status, version: int, by: str, reason: str) -> Move | None:
    """A named person lets a version pass against its gates, with a reason."""
    if not by.strip() or not reason.strip():
        raise RefusedError("an override needs a name and a reason: they stay on record")
    if _registered(status, version).overridden_by is not None:
        return None
    return Move(
        (OverrideGates(version, f"{by}: {reason}"),), _because(by, f"override the gates of version {version}", reason)
    )


def answer(
    status: Status, approval: str, approved: bool, actions: tuple[Action, ...], now: float, by: str, reason: str
) -> Move | None:
    """Approve or reject what the loop asked for. ``actions`` are the question's, decoded.

    What is approved is carried out as of today, not as of the day it was asked. A rejected promotion leaves its
    rollout paused: a person said no to the next step and not to the comparison.
    """
    if approval not in status.approvals and (approval, approved) in status.answered:
        return None
    question = _question(status, approval)
    if approved:
        done = tuple(_as_of_today(status, action, now) for action in actions)
    else:
        done = tuple(
            PauseRollout(action.rollout)
            for action in actions
            if isinstance(action, Promote) and status.rollout is not None and not status.rollout.paused
        )
    word = "approve" if approved else "reject"
    return Move(
        (Answer(question.id, approved), *done), _because(by, f"{word}: {question.title}", reason), question.decision
    )


def _as_of_today(status: Status, action: Action, now: float) -> Action:
    """A training run leaves out what is quarantined by now, and does not begin on data that are broken now."""
    if not isinstance(action, StartTraining):
        return action
    broken = [incident for incident in status.open_incidents if incident.quarantines]
    if broken:
        names = ", ".join(f"{incident.kind} since {iso(incident.since)}" for incident in broken)
        raise RefusedError(f"nothing is trained on broken data ({names}); approve it again when that has ended")
    return replace(action, until=now, quarantines=status.quarantines, champion=status.champion)


def _ended_so(status: Status, phase: Phase) -> bool:
    """The last rollout ended just so, and no other is under way."""
    return status.rollout is None and status.ended is not None and status.ended.phase is phase


def _question(status: Status, approval: str) -> Approval:
    question = status.approvals.get(approval)
    if question is None:
        waiting = ", ".join(key.removeprefix("a") for key in status.approvals) or "none"
        raise NotFoundError(f"no question {approval.removeprefix('a')} waits for an answer; waiting: {waiting}")
    return question


def _registered(status: Status, version: int) -> VersionRecord:
    found = status.versions.get(version)
    if found is None:
        known = ", ".join(str(v) for v in sorted(status.versions)) or "none"
        raise NotFoundError(f"version {version} is not registered; registered: {known}")
    return found


def _rollout(status: Status, verb: str) -> Rollout:
    if status.rollout is None:
        raise RefusedError(f"there is no rollout to {verb}; champion is {status.champion}")
    return status.rollout


def _because(by: str, what: str, reason: str) -> tuple[Reason, ...]:
    return (Reason("Command", f"{by}: {what}" + (f" ({reason})" if reason else "")),)
