"""What champion and challenger did since the rollout began, cut into looks by time so that reading the log again
gives the same looks.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trimtab.controller.agreement import Agreement
from trimtab.controller.counted import Counted
from trimtab.controller.evidence import Answered, Labelled
from trimtab.core.profiles.pairs import Compared
from trimtab.core.rollout.facts import ArmCounts, Look, RolloutFacts, StepFacts
from trimtab.core.rollout.plan import Guardrails

_LOOKS_PER_BAKE = 4
_Pairs = list[tuple[float, str, float, float]]


@dataclass(slots=True)
class Comparison:
    """Sums for one pair of versions. ``champion`` is who stands in the champion's place (the predecessor in a
    watch).
    """

    champion: int
    challenger: int
    first_generation: int
    bake_s: float
    guardrails: Guardrails
    begins_in_shadow: bool = False
    """The first generation gives the challenger no weight."""
    _rows: list[Answered] = field(default_factory=list)
    _sums: list[Counted] = field(default_factory=list)
    _half: dict[str, Labelled] = field(default_factory=dict)
    _pairs: _Pairs = field(default_factory=list)
    _single: dict[int, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    _answers: dict[int, _Answers] = field(default_factory=dict)
    """By generation of routes."""
    agreement: Agreement = field(init=False)
    """Rows that both versions scored, labelled or not."""

    def __post_init__(self) -> None:
        self.agreement = Agreement(self.champion, self.challenger, self.first_generation, self.look_s)

    @property
    def key(self) -> tuple[int, int, int]:
        """Which comparison this is."""
        return self.champion, self.challenger, self.first_generation

    @property
    def look_s(self) -> float:
        """Length of a look by the project's clock."""
        return max(self.bake_s / _LOOKS_PER_BAKE, 1.0)

    def count(self, rows: Answered) -> None:
        """Requests, errors and latencies of answered rows."""
        self._note(rows, rows.version == self.challenger)
        if np.any(rows.generation >= self.first_generation):
            self._rows.append(rows)

    def count_shadow(self, rows: Answered) -> None:
        """While the challenger only shadows, what it scored are its requests."""
        mine = (rows.version == self.challenger) & (rows.generation == self.first_generation)
        if np.any(mine):
            shadowed = rows.where(mine)
            self._note(shadowed, np.ones(len(shadowed.clock), dtype=bool))
            self._rows.append(shadowed)

    def count_sums(self, counted: Counted, *, shadow: bool) -> None:
        """Requests that a server added up itself, as ``count`` and ``count_shadow``."""
        begins = self.begins_in_shadow and counted.generation == self.first_generation
        if shadow and not (begins and counted.version == self.challenger):
            return
        known = self._answers.setdefault(counted.generation, _Answers())
        known.first, known.last = min(known.first, counted.first_s), max(known.last, counted.last_s)
        known.requests += counted.counts.requests if counted.version == self.challenger else 0
        if counted.generation >= self.first_generation:
            self._sums.append(counted)

    def _note(self, rows: Answered, challenger: NDArray[np.bool_]) -> None:
        for generation in np.unique(rows.generation).tolist():
            here = rows.generation == generation
            known = self._answers.setdefault(generation, _Answers())
            known.first = min(known.first, float(rows.clock[here].min()))
            known.last = max(known.last, float(rows.clock[here].max()))
            known.requests += int((here & challenger).sum())

    def step(self, generation: int) -> StepFacts:
        """What was answered by the routes of this generation (or, were it skipped, a later one)."""
        before = [seen.last for each, seen in self._answers.items() if each < generation]
        since = [seen for each, seen in self._answers.items() if each >= generation]
        if not since:
            return StepFacts(None, 0)
        taken_s = max(min(seen.first for seen in since), *before) if before else min(seen.first for seen in since)
        return StepFacts(taken_s, sum(seen.requests for seen in since))

    def score(self, labelled: list[Labelled], scale: float) -> None:
        """Losses of labelled rows; a row that both versions scored becomes a pair."""
        for row in labelled:
            if row.generation < self.first_generation or row.version not in (self.champion, self.challenger):
                continue
            if not row.shadow:
                self._single[row.version].append((row.known_at, row.loss(scale)))
            other = self._half.pop(row.id, None)
            if other is None or other.version == row.version:
                self._half[row.id] = row
                continue
            first, second = (row, other) if row.version == self.champion else (other, row)
            self._pairs.append((max(row.known_at, other.known_at), row.id, first.loss(scale), second.loss(scale)))

    def facts(self, generation: int) -> RolloutFacts:
        """All looks so far, oldest first, and what was seen of the step with this generation of routes."""
        cells: dict[int, _Cell] = defaultdict(_Cell)
        for rows in self._rows:
            self._count_into(cells, rows)
        for counted in self._sums:
            for arm, version in enumerate((self.champion, self.challenger)):
                if counted.version == version:
                    cells[self._cell(counted.last_s)].add(arm, counted.counts, counted.latency_ms)
        for at, _, ours, theirs in sorted(self._pairs):
            cell = cells[self._cell(at)]
            cell.paired[0].append(ours)
            cell.paired[1].append(theirs)
        for arm, version in enumerate((self.champion, self.challenger)):
            for at, loss in sorted(self._single[version]):
                cells[self._cell(at)].single[arm].append(loss)
        for key, compared in self.agreement.cells.items():
            cells[key].compared = compared
        looks = tuple(cells[key].look((key + 1) * self.look_s) for key in sorted(cells))
        return RolloutFacts(looks, self.step(generation))

    def _cell(self, at: float) -> int:
        return int(at // self.look_s)

    def _count_into(self, cells: dict[int, _Cell], rows: Answered) -> None:
        limit = self.guardrails.latency_p95_ms_max
        slow = rows.latency_ms > limit if limit is not None else np.zeros(len(rows.clock), dtype=bool)
        place = (rows.clock // self.look_s).astype(np.int64)
        for arm, version in enumerate((self.champion, self.challenger)):
            mine = (rows.version == version) & (rows.generation >= self.first_generation)
            for key in np.unique(place[mine]).tolist():
                here = mine & (place == key)
                cells[key].add(
                    arm,
                    ArmCounts(
                        requests=int(here.sum()),
                        errors=int((here & rows.error).sum()),
                        slow=int((here & slow & ~rows.error).sum()),
                        invalid=int((here & rows.invalid).sum()),
                    ),
                    rows.latency_ms[here & ~rows.error],
                )


@dataclass(slots=True)
class _Answers:
    """By the routes of one generation: when, and how many of them the challenger's."""

    first: float = float("inf")
    last: float = float("-inf")
    requests: int = 0


@dataclass(slots=True)
class _Cell:
    counts: list[ArmCounts] = field(default_factory=lambda: [ArmCounts(), ArmCounts()])
    latency: tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]] = field(default_factory=lambda: ([], []))
    paired: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))
    single: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))
    compared: Compared | None = None

    def add(self, arm: int, counts: ArmCounts, latency_ms: NDArray[np.float64]) -> None:
        self.counts[arm] = self.counts[arm] + counts
        self.latency[arm].append(latency_ms)

    def look(self, at_s: float) -> Look:
        return Look(
            at_s=at_s,
            champion=self.counts[0],
            challenger=self.counts[1],
            champion_latency_ms=np.concatenate([np.empty(0), *self.latency[0]]),
            challenger_latency_ms=np.concatenate([np.empty(0), *self.latency[1]]),
            paired_champion_loss=np.array(self.paired[0]),
            paired_challenger_loss=np.array(self.paired[1]),
            champion_loss=np.array(self.single[0]),
            challenger_loss=np.array(self.single[1]),
            compared=0 if self.compared is None else self.compared.rows,
            disagreed=0 if self.compared is None else self.compared.disagreed,
            score_shift=np.empty(0) if self.compared is None else self.compared.shift,
        )
