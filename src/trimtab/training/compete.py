"""``strategy: auto``: strategies compete on the newest mature labelled rows.

All history, a sliding window (from the change point, where there is one), the champion continued with newer rows, and
the champion recalibrated. The rows that the version will be judged by at the gates take no part, or the winner would
look better there than it is. Of the older ones the newest are the block that is competed on; each candidate learns from
what comes before it, and the winner is then made as if the project had named its strategy. Strategies that go on from
the champion take part where enough rows are newer than what it was trained on; why one does not is on record.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trimtab.core.domain.errors import DataError, EstimatorError
from trimtab.core.domain.times import duration_text, iso
from trimtab.core.gates.metrics import HIGHER_IS_BETTER, LABELS
from trimtab.training.arena import Arena, Judged
from trimtab.training.history import History
from trimtab.training.making import checked
from trimtab.training.parents import after, learner, uncorrected
from trimtab.training.recalibrating import uncalibrated
from trimtab.training.select import select, split_at
from trimtab.training.spec import Strategy, TrainSpec

if TYPE_CHECKING:
    from trimtab.core.domain.gate import VersionRecord
    from trimtab.project.settings import Project
    from trimtab.training.parents import Parents

Floats = npt.NDArray[np.float64]

WINDOW_SHARE = 0.3
"""Of the history, the newest: the window where neither a change point nor ``retraining.window`` names one."""
ROWS_MIN = 100
"""Fewest rows that a candidate is fitted on, and fewest of the block."""
SINCE_MIN = 4 * ROWS_MIN
"""Fewest rows since a change by which the held-out rows are taken from those since alone."""
TIE = 0.001
"""Relative difference of the metric that is none: then the cheaper one is taken."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One strategy in the competition."""

    strategy: Strategy
    since: float | None
    """Event time of its oldest row; None: all history."""
    rows: int
    """Rows that it learns from: its cost, which breaks ties."""
    value: float
    """The metric on the block."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Contest:
    """Who competed on what, and who won."""

    metric: str
    block_from: float
    block_until: float
    block_rows: int
    candidates: tuple[Candidate, ...]
    winner: Strategy
    text: str
    absent: dict[str, str] = field(default_factory=dict)
    """Strategies that took no part, and why."""

    def record(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def compete(
    spec: TrainSpec,
    project: Project,
    root: Path,
    history: History,
    label_maturity: float | None,
    due_s: Floats | None = None,
    parents: Parents | None = None,
) -> tuple[TrainSpec, Contest | None]:
    """The spec with the strategy that won, and the comparison; None where there was nothing to compare.

    Args:
        spec: of ``strategy: auto``; ``since`` is the change point, where there is one.
        project: for the estimator and the metric.
        root: of the project.
        history: all labelled rows.
        label_maturity: as in ``select``.
        due_s: likewise.
        parents: where the champion is found; None: only what is fitted anew competes.

    Raises:
        DataError: too few rows to train at all.
        EstimatorError: the user's estimator fails.
    """
    ground = _ground(spec, project, history, label_maturity, due_s)
    absent: dict[str, str] = {}
    followers = _followers(spec, ground, parents, absent)
    block = max([ground.block, *(each.first + ROWS_MIN for each in followers)])
    length = spec.window_s or float(ground.at[-1] - ground.at[round(len(ground.at) * (1.0 - WINDOW_SHARE)) - 1])
    begins = float(ground.at[block]) - length * (1.0 - project.retraining.evaluation_share)
    first = int(np.searchsorted(ground.at, begins if spec.since is None else spec.since, side="left"))
    arena = Arena(project, root, history, ground.order, block)
    entries: list[tuple[Strategy, int, Callable[[], Judged]]] = [("full", 0, lambda: arena.fitted(0))]
    if first > 0 and block - first >= ROWS_MIN and len(ground.order) - block >= ROWS_MIN:
        entries.append(("sliding-window", first, lambda: arena.fitted(first)))
    entries += [(each.strategy, each.first, partial(_follow, arena, each)) for each in followers]
    if len(entries) == 1:
        return ground.whole, None
    candidates = []
    for strategy, begin, judged in entries:
        try:
            value, seconds = judged()
        except (DataError, EstimatorError) as error:
            if strategy in ("full", "sliding-window"):
                raise
            absent[strategy] = str(error)
            continue
        since = None if not begin else float(ground.at[begin])
        candidates.append(Candidate(strategy, since, block - begin, value, seconds))
    if len(candidates) == 1:
        return ground.whole, None
    winner, text = _winner(project.metric, tuple(candidates))
    at = ground.at
    contest = Contest(
        project.metric,
        float(at[block]),
        float(at[-1]),
        len(at) - block,
        tuple(candidates),
        winner.strategy,
        text,
        absent,
    )
    return _asked(spec, ground, winner.strategy, followers, length), contest


@dataclass(frozen=True, slots=True)
class _Ground:
    """The rows before those of the gates."""

    order: npt.NDArray[np.intp]
    """Positions in the history, oldest first."""
    at: Floats
    block: int
    """Where the newest of them begin, which candidates are compared on."""
    changed: int
    """Where the time since the change point begins; 0 without one."""
    held_out: float
    """Event time of the oldest row that the gates look at."""
    whole: TrainSpec
    """All history, split as the winner will be."""


def _ground(
    spec: TrainSpec, project: Project, history: History, label_maturity: float | None, due_s: Floats | None
) -> _Ground:
    share = project.retraining.evaluation_share
    whole = replace(spec, strategy="full", since=None, window_s=None)
    chosen = select(
        history.at, history.known_at, whole, evaluation_share=share, label_maturity=label_maturity, due_s=due_s
    )
    at = history.at[chosen.order]
    changed = 0 if spec.since is None else int(np.searchsorted(at, spec.since, side="left"))
    held_out = chosen.training
    if changed > 0 and len(at) - changed >= SINCE_MIN:
        # rows of the time since are what counts now: enough of them must be left to learn from
        held_out = changed + split_at(at[changed:], share)
        whole = replace(whole, evaluate_from=float(at[held_out]))
    oldest = changed if changed < held_out else 0
    inside = at[:held_out]
    block = int(np.searchsorted(inside, inside[oldest + round((held_out - oldest) * (1.0 - share))], side="left"))
    return _Ground(chosen.order[:held_out], inside, block, changed, float(at[held_out]), whole)


@dataclass(frozen=True, slots=True)
class _Follower:
    """A strategy that goes on from the champion."""

    strategy: Strategy
    parent: VersionRecord
    first: int
    """Its oldest row: newer than what the parent was trained on."""
    parents: Parents


def _followers(
    spec: TrainSpec, ground: _Ground, parents: Parents | None, absent: dict[str, str]
) -> tuple[_Follower, ...]:
    if parents is None or spec.champion is None:
        return ()
    found = []
    for strategy, record in (
        ("incremental", learner(parents.record, spec.champion)),
        ("recalibrate", uncorrected(parents.record, spec.champion)),
    ):
        until = record.trained_until
        if until is None:
            absent[strategy] = f"the record of version {record.version} does not say until when it was trained"
            continue
        first = int(np.searchsorted(ground.at, until, side="right"))
        if strategy == "recalibrate":
            first = max(first, ground.changed)
        if len(ground.at) - first < 2 * ROWS_MIN:
            rows = len(ground.at) - first
            absent[strategy] = f"{rows} rows are newer than what version {record.version} was trained on"
            continue
        found.append(_Follower(strategy, record, first, parents))  # type: ignore[arg-type]
    return tuple(found)


def _follow(arena: Arena, each: _Follower) -> Judged:
    if each.strategy == "incremental":
        version = each.parent.version
        return arena.continued(checked(each.parents.estimator(version), arena.project, version), each.first)
    return arena.recalibrated(uncalibrated(each.parents.package(each.parent.version)), each.first)


def _asked(
    spec: TrainSpec, ground: _Ground, strategy: Strategy, followers: tuple[_Follower, ...], length: float
) -> TrainSpec:
    """The spec of the winner."""
    for each in followers:
        if each.strategy == strategy:
            asked = replace(ground.whole, strategy=strategy, parent=each.parent.version, evaluate_from=ground.held_out)
            if strategy == "recalibrate":
                asked = replace(asked, since=spec.since)
            return after(asked, (each.parent,))
    if strategy == "full":
        return ground.whole
    if spec.since is not None:
        length = max(spec.now, float(ground.at[-1])) - spec.since
    return replace(ground.whole, strategy="sliding-window", window_s=length, since=spec.since)


def _winner(metric: str, candidates: tuple[Candidate, ...]) -> tuple[Candidate, str]:
    """The best by the metric; of those that are as good, the one that was cheapest to train."""
    sign = -1.0 if metric in HIGHER_IS_BETTER else 1.0
    best = min(candidates, key=lambda candidate: sign * candidate.value)
    margin = TIE * abs(best.value)
    tied = [candidate for candidate in candidates if sign * (candidate.value - best.value) <= margin]
    winner = min(tied, key=lambda candidate: candidate.rows)
    name = LABELS.get(metric, metric)
    figures = ", ".join(f"{c.strategy} {c.value:.4g} ({c.rows:,} rows, {c.seconds:.2g} s)" for c in candidates)
    why = "as good and cheaper" if winner is not best else "better"
    text = f"{winner.strategy} is {why} by {name} on the newest rows: {figures}"
    if winner.since is not None:
        text += f"; it begins at {iso(winner.since)}"
    return winner, text


def told(contest: Contest) -> str:
    """A line for whoever watches."""
    absent = "".join(f"; {strategy} took no part: {why}" for strategy, why in contest.absent.items())
    return f"{contest.text}; block of {duration_text(contest.block_until - contest.block_from)}{absent}"
