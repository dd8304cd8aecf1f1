"""What a comparison of two versions shows, look by look, as one of a few scripts.

The analysis of a rollout's evidence is the production's and takes milliseconds; a campaign asks for it hundreds of
thousands of times. It is a pure function of the plan and the looks, so over scripted evidence each answer is computed
once and remembered (``Remembered``): the verdicts are exactly those that the production would give.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from trimtab.core.domain.errors import InvariantError
from trimtab.core.rollout.facts import ArmCounts, Look, RolloutFacts, StepFacts
from trimtab.core.rollout.metrics import MetricResult
from trimtab.core.rollout.plan import RolloutPlan
from trimtab.replay.simulation.chance import seeded

LOOKS_MAX = 16
"""After so many looks a comparison sees no more traffic."""

RELATIONS = ("better", "equal", "worse", "broken")
"""The challenger's place against the champion's; ``broken`` also answers with errors."""
LABELS = ("prompt", "late", "few", "lost")
TRAFFIC = ("busy", "sparse")

_SHIFT = {"better": -0.03, "equal": 0.0, "worse": 0.12, "broken": 0.12}
_REQUESTS = {"busy": 80, "sparse": 4}

Script = tuple[str, str, str]
"""(relation, labels, traffic)."""


@dataclass(frozen=True, slots=True, eq=False)
class ScriptedFacts(RolloutFacts):
    """The first looks of a script: ``key`` says which, so that equal evidence is known as equal."""

    key: tuple[Script, int] | None = None


NOTHING = ScriptedFacts((), StepFacts(None, 0), (("equal", "lost", "sparse"), 0))
"""No request met both versions yet."""


@dataclass(slots=True)
class Comparison:
    """What was seen of one pair of versions under one rollout or watch."""

    labels: str
    traffic: str
    times: list[float] = field(default_factory=list)
    """When each look ended."""
    taken: dict[int, float] = field(default_factory=dict)
    """Generation of routes to when it was first answered by."""
    answered: list[int] = field(default_factory=list)
    """The generation by which each look was answered."""
    _facts: ScriptedFacts | None = None

    def add(self, at_s: float, generation: int) -> None:
        """One more look, until the script ends; who is asked after that is still answered."""
        self.taken.setdefault(generation, at_s)
        if len(self.times) < LOOKS_MAX:
            self.times.append(at_s)
            self.answered.append(generation)

    def facts(self, relation: str, behind: int, generation: int) -> ScriptedFacts:
        """All looks but the newest ``behind``, which the log does not show yet; ``generation``: of the present step."""
        script = (relation, self.labels, self.traffic)
        key = (script, max(len(self.times) - behind, 0))
        step = self._step(generation, key[1])
        if self._facts is None or self._facts.key != key or self._facts.step != step:
            looks = (_at(look_of(script, place), at_s) for place, at_s in enumerate(self.times[: key[1]]))
            self._facts = ScriptedFacts(tuple(looks), step, key)
        return self._facts

    def _step(self, generation: int, looks: int) -> StepFacts:
        taken = [at_s for each, at_s in self.taken.items() if each >= generation]
        count = sum(each >= generation for each in self.answered[:looks])
        return StepFacts(min(taken, default=None), count * _REQUESTS[self.traffic])


def _at(look: Look, at_s: float) -> Look:
    return Look(
        at_s=at_s,
        champion=look.champion,
        challenger=look.challenger,
        paired_champion_loss=look.paired_champion_loss,
        paired_challenger_loss=look.paired_challenger_loss,
        champion_loss=look.champion_loss,
        challenger_loss=look.challenger_loss,
    )


def _labelled(labels: str, place: int) -> int:
    """Rows that became labelled in this look; late labels come in heaps, lost ones never."""
    if labels == "late":
        return 300 if place and place % 4 == 0 else 0
    return {"prompt": 120, "few": 10, "lost": 0}[labels]


@cache
def look_of(script: Script, place: int) -> Look:
    """The look at this place of the script, without its time."""
    relation, labels, traffic = script
    generator = seeded(RELATIONS.index(relation), LABELS.index(labels), place)
    requests = _REQUESTS[traffic]
    errors = int(generator.binomial(requests, 0.5)) if relation == "broken" else 0
    rows = _labelled(labels, place)
    champion = generator.uniform(0.1, 0.3, rows)
    challenger = np.clip(champion + _SHIFT[relation] + generator.normal(0.0, 0.01, rows), 0.0, 1.0)
    return Look(
        at_s=0.0,
        champion=ArmCounts(requests=requests),
        challenger=ArmCounts(requests=requests, errors=errors),
        paired_champion_loss=champion,
        paired_challenger_loss=challenger,
        champion_loss=champion[::2],
        challenger_loss=challenger[1::2],
    )


Measure = Callable[[RolloutPlan, RolloutFacts], tuple[MetricResult, ...]]


class Remembered:
    """The production's measuring of a rollout's metrics, each answer computed once.

    Only what a metric depends on is in the key: alpha, margin, pairing, guardrails, and which looks of which script.
    """

    def __init__(self, measure: Measure) -> None:
        self._measure = measure
        self._known: dict[object, tuple[MetricResult, ...]] = {}

    def __call__(self, plan: RolloutPlan, facts: RolloutFacts) -> tuple[MetricResult, ...]:
        if not isinstance(facts, ScriptedFacts) or facts.key is None:
            return self._measure(plan, facts)
        if plan.block_s:
            raise InvariantError("scripted evidence has no days: its plans need block_s = 0")
        key = (plan.alpha, plan.margin, plan.paired, plan.guardrails, facts.key)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._measure(plan, facts)
        return known
