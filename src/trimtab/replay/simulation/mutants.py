"""Builds that are broken on purpose, one rule each: a simulation that does not catch them proves nothing.

Each replaces a function or a port in the wiring; the production has no switch for any of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from trimtab.controller import codec, converge, loop
from trimtab.controller.converge import World
from trimtab.core.decide import decide as deciding
from trimtab.core.decide import fold as folding
from trimtab.core.decide import responses, rollouts
from trimtab.core.decide import status as statuses
from trimtab.core.decide.actions import EnterStep, StartTraining
from trimtab.core.decide.decide import Decision, Rule
from trimtab.core.decide.moves import Move
from trimtab.core.decide.open_status import OpenStatus
from trimtab.core.decide.policy import Policy
from trimtab.core.decide.snapshot import Snapshot
from trimtab.core.decide.status import Approval, Rollout, Status
from trimtab.core.domain.gate import VersionRecord
from trimtab.core.domain.journal import Draft, Entry
from trimtab.core.domain.proof import Proof
from trimtab.core.domain.routes import Routes, Share
from trimtab.core.domain.verdict import Verdict
from trimtab.core.rollout import analysis
from trimtab.core.rollout.analysis import Analysis
from trimtab.core.rollout.facts import RolloutFacts
from trimtab.core.rollout.table import Phase
from trimtab.ports import Target
from trimtab.replay.fakes import MemoryJournal
from trimtab.replay.simulation.endpoint import PRODUCTION, Build
from trimtab.replay.simulation.run import Campaign, campaign, substituted
from trimtab.replay.simulation.world import Fleet


@dataclass(frozen=True, slots=True)
class Mutant:
    """One broken build."""

    name: str
    what: str
    build: Build = PRODUCTION
    changes: tuple[tuple[Any, str, Any], ...] = ()
    """(owner, name, what stands there instead)."""

    @contextmanager
    def built(self) -> Iterator[Build]:
        """The production is broken for a while."""
        with ExitStack() as stack:
            for owner, name, value in self.changes:
                stack.enter_context(substituted(owner, name, value))
            yield self.build


def hunt(mutant: Mutant, seeds: int, steps: int) -> Campaign:
    """Run seeds until one of them catches the mutant."""
    with mutant.built() as build:
        return campaign(range(seeds), steps, build=build)


class ActsFirst(loop.Loop):
    """Carries out first and writes down afterwards."""

    def _append(self, expected: int, moves: tuple[Move, ...], now: float) -> list[Entry]:
        status = self._status
        for move in moves:
            status = folding.fold(status, status.seq + 1, now, move.actions)
        converge.converge(self.policy, status, self._entries, self._world, self._memory)
        return super()._append(expected, moves, now)


def _twice(policy: Policy, status: Status, snapshot: Snapshot, now: float) -> Decision:
    """Decides a second time from what was observed before the first."""
    first = deciding.decide(policy, status, snapshot, now)
    second = deciding.decide(policy, first.status, snapshot, now)
    return Decision(second.status, first.moves + second.moves)


def _two_steps(status: Status, rollout: Rollout, found: Analysis) -> Move | None:
    """Takes two steps on the evidence of one."""
    move = _ADVANCE(status, rollout, found)
    step = rollout.step + 2
    if move is None or not isinstance(move.actions[0], EnterStep) or step >= len(rollout.plan.steps) - 1:
        return move
    return replace(move, actions=(EnterStep(rollout.id, step, rollout.plan.steps[step]),))


_ADVANCE = rollouts._advance
_ANALYSE = analysis.analyse
_MAY_TRAIN = responses._may_train
_TRAIN = responses._train
_MESSAGES = converge._messages
_ROUTES = converge._routes
_ROUTES_OF = statuses.routes_of


def _hopeful(*args: Any) -> Analysis:
    """Once the bake time is over, nothing that is missing counts."""
    found = _ANALYSE(*args)
    if found.verdict is not Verdict.INCONCLUSIVE or any(r.code == "BakeTimeLeft" for r in found.reasons):
        return found
    return replace(found, verdict=Verdict.SUCCESSFUL, missing=())


def _harmless(*args: Any) -> Analysis:
    found = _ANALYSE(*args)
    return replace(found, verdict=Verdict.INCONCLUSIVE) if found.verdict is Verdict.FAILED else found


class NeverLooks(MemoryJournal):
    """Appends whatever was expected."""

    def append(self, expected: int, drafts: Sequence[Draft]) -> list[Entry]:  # noqa: ARG002
        return super().append(self.head(), drafts)


class Rewrites(MemoryJournal):
    """Edits the entry before the newest."""

    def append(self, expected: int, drafts: Sequence[Draft]) -> list[Entry]:
        added = super().append(expected, drafts)
        if len(self._entries) > 1:
            self._entries[-2] = replace(self._entries[-2], actor="nobody")
        return added


class TakesAny(Fleet):
    """Puts any routes in force, older ones too."""

    def apply(self, routes: Routes) -> None:
        self._routes = None
        super().apply(routes)


def _marked_before_sent(entries: list[Entry], world: World) -> None:
    """The outbox says delivered before the message is."""
    delivered = world.outbox.delivered()
    left = [entry for entry in entries if entry.seq > delivered]
    if left:
        world.outbox.deliver(left[-1].seq)

    class _Marked:
        def delivered(self) -> int:
            return delivered

        def deliver(self, seq: int) -> None:
            """Was done before."""

    _MESSAGES(left, replace(world, outbox=_Marked()))


def _trains_on_faults(policy: Policy, status: Status, now: float) -> bool:
    return _MAY_TRAIN(policy, replace(status, incidents=()), now)


def _keeps_quarantined(*args: Any) -> Move:
    move: Move = _TRAIN(*args)
    actions = (replace(a, quarantines=()) if isinstance(a, StartTraining) else a for a in move.actions)
    return replace(move, actions=tuple(actions))


def _two_champions(status: Status) -> Routes | None:
    routes = _ROUTES_OF(status)
    if routes is None or len(routes.split) < 2:
        return routes
    return replace(routes, arms=dict.fromkeys(routes.arms, "champion"))


def _half_each(status: Status) -> Routes | None:
    """The newest version gets half as soon as it is known, rollout or not."""
    routes = _ROUTES_OF(status)
    if routes is None or status.waiting is None or len(routes.split) > 1 or status.waiting == status.champion:
        return routes
    return replace(routes, split=(Share(routes.split[0].version, 50), Share(status.waiting, 50)))


def _rules(changed: str, rule: Rule) -> tuple[Rule, ...]:
    return tuple(rule if each.__name__ == changed else each for each in deciding.RULES)


def _deaf(policy: Policy, status: Status, snapshot: Snapshot, now: float) -> Move | None:
    """Goes on while a person holds the rollout."""
    rollout = status.rollout
    if rollout is not None and rollout.paused:
        status = replace(status, rollout=replace(rollout, phase=Phase.PROGRESSING))
    return rollouts.judge_rollout(policy, status, snapshot, now)


def _blind(policy: Policy, status: Status, snapshot: Snapshot, now: float) -> Move | None:
    """Goes on while the data are broken."""
    return rollouts.judge_rollout(policy, replace(status, incidents=()), snapshot, now)


def _nagging(status: OpenStatus, question: Approval, at: float) -> None:
    """A no is no answer."""


def _apply_at_once(routes: Routes, target: Target) -> None:
    target.apply(routes)


def _retire_at_once(version: int, target: Target) -> None:
    target.retire(version)


def _everything_first(policy: Policy, status: Status, world: World) -> None:
    """Fetches the earlier versions before it changes the routes."""
    for version in status.previous[: policy.keep]:
        converge.install(version, world.registry, world.target)
    _ROUTES(policy, status, world)


def _from_the_decision(facts: RolloutFacts, step_started_s: float, _now_s: float) -> tuple[float | None, int]:
    """Counts a step from its decision, whether or not any server took it."""
    return step_started_s, 0 if facts.step is None else facts.step.requests


def _hopes(version: int, _world: World) -> Proof:
    """Says of every version that it was tried."""
    return Proof(version, True, "loads, and gives its recorded answers")


def _forgetful(status: Status, entries: list[Entry]) -> Status:
    """Takes the newest entry for the whole story."""
    return codec.catch_up(status, entries[-1:])


MUTANTS = (
    Mutant("journal-after-acting", "acts first and writes down afterwards", Build(loop=ActsFirst)),
    Mutant("moves-twice", "changes the traffic twice on one look", changes=((loop, "decide", _twice),)),
    Mutant("two-steps", "takes two steps on the evidence of one", changes=((rollouts, "_advance", _two_steps),)),
    Mutant(
        "no-evidence-is-success",
        "takes inconclusive for successful",
        changes=((rollouts, "analyse", _hopeful),),
    ),
    Mutant(
        "ignores-harm",
        "takes failed for inconclusive",
        changes=((rollouts, "analyse", _harmless),),
    ),
    Mutant("lost-compare", "appends without comparing the head", Build(journal=NeverLooks)),
    Mutant("no-gates", "lets every version serve", changes=((VersionRecord, "deployable", property(bool)),)),
    Mutant("loses-alerts", "marks before it sends", changes=((converge, "_messages", _marked_before_sent),)),
    Mutant("trains-on-faults", "trains on broken data", changes=((responses, "_may_train", _trains_on_faults),)),
    Mutant("keeps-quarantined", "trains on quarantined rows", changes=((responses, "_train", _keeps_quarantined),)),
    Mutant("two-champions", "calls both arms champion", changes=((converge, "routes_of", _two_champions),)),
    Mutant("unannounced-split", "routes to who only waits", changes=((converge, "routes_of", _half_each),)),
    Mutant("stale-routes", "lets old routes undo new ones", Build(fleet=TakesAny)),
    Mutant("deaf", "goes on while paused", changes=((deciding, "RULES", _rules("judge_rollout", _deaf)),)),
    Mutant(
        "blind", "goes on while the data are broken", changes=((deciding, "RULES", _rules("judge_rollout", _blind)),)
    ),
    Mutant("nagging", "asks again after a no", changes=((folding, "_decline", _nagging),)),
    Mutant("rewrites", "edits the journal", Build(journal=Rewrites)),
    Mutant("trusts-aliases", "never looks at the aliases again", changes=((converge, "ALIAS_LOOKS", 10**9),)),
    Mutant(
        "dies-of-races",
        "takes another's change of the target for its own defect",
        changes=((converge, "_apply", _apply_at_once), (converge, "_retire", _retire_at_once)),
    ),
    Mutant(
        "waits-for-the-registry",
        "fetches what may wait before what must not",
        changes=((converge, "_routes", _everything_first),),
    ),
    Mutant(
        "counts-too-early",
        "counts a step from its decision, not from when servers took it",
        changes=((analysis, "_taken", _from_the_decision),),
    ),
    Mutant("never-tries", "gives traffic back to versions untried", changes=((loop, "preflight", _hopes),)),
    Mutant("forgetful", "skips entries when it catches up", changes=((loop, "catch_up", _forgetful),)),
)
"""Every broken build there is."""
