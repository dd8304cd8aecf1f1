"""Small builders of facts for the tests of the decision."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from trimtab.core.decide.decide import Decision, decide
from trimtab.core.decide.moves import Move
from trimtab.core.decide.policy import Policy, RetrainPolicy
from trimtab.core.decide.snapshot import Snapshot
from trimtab.core.decide.status import Status, check_invariants
from trimtab.core.diagnosis.result import Assessment, Fault
from trimtab.core.domain.diagnosis import Diagnosis, Kind, Remedy
from trimtab.core.domain.gate import GateResult, VersionRecord
from trimtab.core.domain.times import DAY_S
from trimtab.core.domain.verdict import Severity, Verdict
from trimtab.core.rollout.facts import ArmCounts, Look, RolloutFacts
from trimtab.core.rollout.plan import RolloutPlan

PLAN = RolloutPlan(
    strategy="canary", steps=(10, 50, 100), bake_s=DAY_S, requests_min=50, labels_min=100, watch_s=2 * DAY_S
)
POLICY = Policy(plan=PLAN, retrain=RetrainPolicy(cooldown_s=7 * DAY_S))


def record(version: int, verdict: Verdict = Verdict.SUCCESSFUL, compared_to: int | None = None) -> VersionRecord:
    """A registered version whose gates said ``verdict``."""
    gate = GateResult("performance", verdict, "log loss 0.50 <= 0.51")
    return VersionRecord(version, 0.0, f"run{version}", "0" * 64, verdict, (gate,), compared_to, "md5")


def paired_look(at_s: float, harm: float, rows: int = 400) -> Look:
    """A look in which both versions scored the same labelled rows; the challenger's loss is higher by ``harm``."""
    rng = np.random.default_rng(int(at_s) % 1000)
    champion = rng.uniform(0.1, 0.3, rows)
    return Look(
        at_s=at_s,
        champion=ArmCounts(requests=rows * 9 // 10),
        challenger=ArmCounts(requests=rows // 10 + 50),
        paired_champion_loss=champion,
        paired_challenger_loss=np.clip(champion + harm + rng.normal(0, 0.01, rows), 0, 1),
    )


def fault(feature: str = "wind", since: float = 0.0, until: float | None = None) -> Fault:
    """A column that arrives empty."""
    return Fault("MissingFlood", (feature,), since, until, Severity.SEVERE, f"{feature} missing 100 % > 2 %", 1.0, 0.02)


def drifted(since: float = 0.0) -> Assessment:
    """The champion got worse, and nothing is wrong with the data."""
    return Assessment(Diagnosis(Kind.GRADUAL_DRIFT, Remedy.RETRAIN, Severity.SEVERE, since))


@dataclass
class World:
    """A status that is driven tick by tick; invariants are checked after each."""

    policy: Policy = POLICY
    status: Status = field(default_factory=Status)
    now: float = 0.0
    decisions: list[Decision] = field(default_factory=list)

    def tick(self, snapshot: Snapshot | None = None, after_s: float = 60.0) -> list[str]:
        """The names of the actions of one tick, alerts left out."""
        self.now += after_s
        decision = decide(self.policy, self.status, snapshot or Snapshot(), self.now)
        self.status = decision.status
        check_invariants(self.status)
        self.decisions.append(decision)
        return [type(a).__name__ for a in decision.actions if type(a).__name__ != "Alert"]

    def with_champion(self, version: int = 1) -> World:
        """Version 1 serves."""
        from trimtab.core.decide.commands import record as recorded

        move = recorded(self.status, record(version), deploy=True)
        assert move is not None
        self.apply(move.actions)
        assert self.tick() == ["DeployFirst"]
        return self

    def with_candidate(self, version: int = 2) -> World:
        """A second version passed its gates."""
        from trimtab.core.decide.commands import record as recorded

        move = recorded(self.status, record(version, compared_to=1), deploy=True)
        assert move is not None
        self.apply(move.actions)
        return self

    def apply(self, actions: tuple) -> None:  # type: ignore[type-arg]
        """Journal what a person did."""
        from trimtab.core.decide.fold import fold

        self.status = fold(self.status, self.status.seq + 1, self.now, actions)
        check_invariants(self.status)

    def in_mode(self, mode: str) -> World:
        """The same world under another mode."""
        from trimtab.core.decide.policy import Mode

        self.policy = replace(self.policy, mode=Mode(mode))
        return self


def looks(*items: Look) -> Snapshot:
    """A snapshot of a rollout's evidence."""
    return Snapshot(rollout=RolloutFacts(items))


def given(move: Move | None) -> Move:
    """A move that must be there."""
    assert move is not None
    return move
