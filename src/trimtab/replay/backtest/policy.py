"""What a policy is: asked before each batch whether to train, and who answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from trimtab.core.policy.facts import FULL, Kind
from trimtab.replay.backtest.world import FIRST_MODEL, Mixture, Model, View, single


@dataclass(frozen=True, slots=True)
class Run:
    """Start a training run."""

    kind: Kind
    reason: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth a line in the report."""

    action: str
    reason: str


class Policy(Protocol):
    """Asked before each batch: first whether to train, then who answers."""

    name: str

    def decide(self, view: View) -> Run | None:
        """Whether to start a run now."""
        ...

    def trained(self, model: Model) -> None:
        """The run is done."""
        ...

    def serve(self, view: View) -> tuple[Mixture, tuple[Event, ...]]:
        """Who answers this batch, and what there is to say about it."""
        ...


@dataclass(slots=True)
class Newest:
    """Serves the newest version; never trains."""

    name: str = "never"
    kind: Kind = FULL
    models: list[Model] = field(default_factory=lambda: [FIRST_MODEL])

    def decide(self, view: View) -> Run | None:  # noqa: ARG002 - policies share one signature
        """Never."""
        return None

    def trained(self, model: Model) -> None:
        """The newest from now on."""
        self.models.append(model)

    def serve(self, view: View) -> tuple[Mixture, tuple[Event, ...]]:  # noqa: ARG002
        """The newest."""
        return single(self.models[-1]), ()

    def run(self, view: View, reason: str) -> Run | None:
        """A run where there is something new to learn from."""
        return Run(self.kind, reason) if view.fresh(self.models[-1]) else None
