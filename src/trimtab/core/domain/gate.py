"""What a gate said of a candidate, and the record of a registered version."""

from __future__ import annotations

from dataclasses import dataclass, field

from trimtab.core.domain.verdict import Verdict, combine


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate's answer, in figures and words."""

    gate: str
    """``performance``, ``latency``, ``parity``, …"""
    verdict: Verdict
    text: str
    """``log loss 0.512 <= 0.524 + 0.010 (5,210 rows; difference -0.012, 95 % interval -0.019 to -0.005)``"""
    value: float | None = None
    limit: float | None = None
    unit: str = ""


def gates_verdict(results: tuple[GateResult, ...]) -> Verdict:
    """One verdict for all gates; a version without any gate is inconclusive and is not deployed."""
    return combine([result.verdict for result in results])


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """A registered model version: everything the control plane knows of it without opening the registry."""

    version: int
    created_at: float
    """Seconds since the epoch, by the clock of the loop that asked for it."""
    run_id: str
    """The tracking run (MLflow)."""
    manifest: str
    """sha256 of the version's MANIFEST: identifies its content."""
    verdict: Verdict
    gates: tuple[GateResult, ...]
    compared_to: int | None
    """The champion it was compared with at the gates; None for the first version."""
    data_version: str
    """md5 of the training snapshot, as DVC writes it."""
    trained_from: float | None = None
    """Event time of the oldest training row, seconds since the epoch."""
    trained_until: float | None = None
    """Event time of the newest training row."""
    git_commit: str | None = None
    git_dirty: bool = False
    strategy: str = "full"
    parent: int | None = None
    """The version that this one continues (``incremental``) or corrects (``recalibrate``)."""
    members: tuple[int, ...] = ()
    """The versions that answer together in this one (``blend``)."""
    estimator: str | None = None
    """sha256 of the MANIFEST of the fitted estimator that the run keeps, where a later run may learn on from it."""
    made: str = ""
    """How it came to be, in words: why this strategy, what was added, by which weights."""
    metrics: dict[str, float] = field(default_factory=dict)
    """On the evaluation rows."""
    runtime: str = "native"
    overridden_by: str | None = None
    """The person who let it pass against its gates, and why."""

    @property
    def deployable(self) -> bool:
        return self.verdict is Verdict.SUCCESSFUL or self.overridden_by is not None
