"""The decision: a pure function of policy, status, snapshot and now.

Each rule looks at the whole snapshot and proposes at most one move; moves are folded into the status as they come,
so a later rule sees
what an earlier one decided. At most one move of a tick changes the traffic: after it, what was observed is stale.

The order is the order of urgency: what ended, what harms now, what is wrong, what to do about it, what is new.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from trimtab.core.decide.actions import Action
from trimtab.core.decide.fold import fold
from trimtab.core.decide.incidents import track_incidents
from trimtab.core.decide.moves import Move
from trimtab.core.decide.policy import Policy
from trimtab.core.decide.records import watch_records
from trimtab.core.decide.responses import record_jobs, respond, retrain_on_schedule, retrain_when_it_pays
from trimtab.core.decide.rollouts import deploy_waiting, judge_rollout, judge_watch
from trimtab.core.decide.snapshot import Snapshot
from trimtab.core.decide.status import Status, check_invariants, routes_of

Rule = Callable[[Policy, Status, Snapshot, float], Move | None]

RULES: tuple[Rule, ...] = (
    record_jobs,
    judge_rollout,
    judge_watch,
    watch_records,
    track_incidents,
    respond,
    retrain_when_it_pays,
    retrain_on_schedule,
    deploy_waiting,
)


@dataclass(frozen=True, slots=True)
class Decision:
    """The moves of one tick, in order, and the status after them. Each move becomes one entry of the journal."""

    status: Status
    moves: tuple[Move, ...] = ()

    @property
    def actions(self) -> tuple[Action, ...]:
        return tuple(action for move in self.moves for action in move.actions)


@dataclass(slots=True)
class _Tick:
    status: Status
    moves: list[Move] = field(default_factory=list)
    traffic_moved: bool = False


def decide(policy: Policy, status: Status, snapshot: Snapshot, now: float) -> Decision:
    """What to do now.

    Args:
        policy: what is wanted.
        status: the fold of the journal.
        snapshot: what was observed before this tick.
        now: seconds since the epoch, read once per tick.

    Returns:
        The moves to journal, and the status they lead to. The same arguments give the same decision.

    Raises:
        InvariantError: a move would break a rule that must always hold; a defect, and nothing was changed.
    """
    tick = _Tick(status)
    for rule in RULES:
        move = rule(policy, tick.status, snapshot, now)
        while move is not None:
            after = fold(tick.status, tick.status.seq + 1, now, move.actions)
            moves_traffic = routes_of(after) != routes_of(tick.status)
            if moves_traffic and tick.traffic_moved:
                break
            check_invariants(after)
            tick.moves.append(move)
            tick.status = after
            tick.traffic_moved = tick.traffic_moved or moves_traffic
            move = rule(policy, tick.status, snapshot, now) if move.again else None
    return Decision(tick.status, tuple(tick.moves))
