"""People: any command at any moment, sensible or not. What is not legal must be refused, and change nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

from trimtab.controller import commands
from trimtab.controller.converge import World
from trimtab.core.decide.policy import Policy
from trimtab.core.decide.status import Status
from trimtab.core.domain.errors import ConflictError, ExternalError, NotFoundError, RefusedError
from trimtab.core.domain.gate import VersionRecord
from trimtab.core.rollout.plan import Strategy
from trimtab.ports import Clock, Journal, Target
from trimtab.replay.simulation.chance import Chance, Wheel
from trimtab.replay.simulation.chaos import Silent

NAMES = ("ann", "bo")
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)

_WHEEL = Wheel(
    {
        "train": 9,
        "deploy": 4,
        "rollback": 4,
        "promote": 1,
        "abort": 1,
        "pause": 1.5,
        "resume": 2.5,
        "approve": 3,
        "reject": 1.5,
        "override": 1,
    }
)


@dataclass(frozen=True, slots=True)
class SimulatedDesk:
    """The ports that commands work on."""

    name: str
    policy: Policy
    journal: Journal
    target: Target
    clock: Clock
    view: Silent
    world: World


@dataclass(slots=True)
class People:
    """Two people who type commands. ``train`` makes a new version and gives its record."""

    chance: Chance
    desk: SimulatedDesk
    train: Callable[[], VersionRecord]

    def act(self, known: Status) -> tuple[str, Status | None]:
        """One command; what it was, and the status after it where it was carried out.

        Args:
            known: what the person saw last: the command may come too late for it.

        Raises:
            ExternalError: a port failed before the command was decided.
        """
        return self._give(_WHEEL.spin(self.chance), known)

    def roll_back(self, known: Status) -> tuple[str, Status | None]:
        """The command of three in the morning, on what the person saw last."""
        return self._give("rollback", known)

    def _give(self, name: str, known: Status) -> tuple[str, Status | None]:
        who = self.chance.one_of(NAMES)
        words, command = self._command(name, who, known)
        try:
            outcome = command()
        except (RefusedError, NotFoundError) as refusal:
            return f"{who}: {words}: refused: {refusal}", None
        except (ExternalError, ConflictError) as failure:
            return f"{who}: {words}: failed: {failure}", None
        done = "nothing to do" if outcome.entry is None else f"decision {outcome.entry.seq}"
        problems = f" ({'; '.join(outcome.problems)})" if outcome.problems else ""
        return f"{who}: {words}: {done}{problems}", outcome.status

    def _command(self, name: str, who: str, known: Status) -> tuple[str, Callable[[], commands.Outcome]]:
        desk, chance = self.desk, self.chance
        if name == "train":
            record, deploy = self.train(), chance.happens(0.8)
            words = f"train version {record.version} ({record.verdict}{'' if deploy else ', --no-deploy'})"
            return words, lambda: commands.record(desk, record, deploy=deploy, actor=who)
        if name in ("deploy", "override"):
            version = self._version(known)
            if name == "override":
                return f"override {version}", lambda: commands.override(desk, version, actor=who, reason="hotfix")
            strategy = chance.one_of(STRATEGIES) if chance.happens(0.5) else None
            over = chance.happens(0.3)
            words = f"deploy {version} {strategy or ''}{' --supersede' if over else ''}".rstrip()
            return words, lambda: commands.deploy(desk, version, strategy=strategy, supersede=over, actor=who)
        if name == "rollback":
            to = self._earlier(known) if chance.happens(0.4) else None
            words = f"rollback {to or ''}".rstrip()
            return words, lambda: commands.rollback(desk, to, actor=who, reason="it looked wrong")
        if name in ("approve", "reject"):
            asked = list(known.approvals) or ["a1"]
            which = chance.one_of(asked)
            answer = commands.approve if name == "approve" else commands.reject
            return f"{name} {which}", lambda: answer(desk, which, actor=who)
        plain = {
            "promote": commands.promote,
            "abort": commands.abort,
            "pause": commands.pause,
            "resume": commands.resume,
        }
        return name, lambda: plain[name](desk, actor=who)

    def _earlier(self, known: Status) -> int:
        """Mostly one that served before."""
        return (
            self.chance.one_of(known.previous) if known.previous and self.chance.happens(0.8) else self._version(known)
        )

    def _version(self, known: Status) -> int:
        """Mostly one that is registered."""
        versions = list(known.versions)
        return self.chance.one_of(versions) if versions and self.chance.happens(0.95) else len(versions) + 7
