"""``strategy: auto``: full history and a sliding window compete on the newest mature labelled rows.

The rows that the version will be judged by at the gates take no part, or the winner would look better there than it is.
Of the older ones the newest are the block that is competed on; each candidate is fitted on what comes before it, and
the winner is then trained as if the project had named its strategy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trimtab.core.domain.errors import DataError
from trimtab.core.domain.times import duration_text, iso
from trimtab.core.gates.metrics import HIGHER_IS_BETTER, LABELS, measure
from trimtab.training.evaluate import encoded, estimator_answers, positive_position
from trimtab.training.fit import build_estimator, class_values, features_frame, few_threads, fit, target_array
from trimtab.training.history import History
from trimtab.training.select import select, split_at
from trimtab.training.spec import Strategy, TrainSpec

if TYPE_CHECKING:
    from trimtab.project.settings import Project

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

    def record(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def compete(
    spec: TrainSpec,
    project: Project,
    root: Path,
    history: History,
    label_maturity: float | None,
    due_s: npt.NDArray[np.float64] | None = None,
) -> tuple[TrainSpec, Contest | None]:
    """The spec with the strategy that won, and the comparison; None where there was nothing to compare.

    Args:
        spec: of ``strategy: auto``; ``since`` is the change point, where there is one.
        project: for the estimator and the metric.
        root: of the project.
        history: all labelled rows.
        label_maturity: as in ``select``.
        due_s: likewise.

    Raises:
        DataError: too few rows to train at all.
        EstimatorError: the user's estimator fails.
    """
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
    length = spec.window_s or float(at[-1] - at[round(len(at) * (1.0 - WINDOW_SHARE)) - 1])
    order, at = chosen.order[:held_out], at[:held_out]
    oldest = changed if changed < held_out else 0
    block = int(np.searchsorted(at, at[oldest + round((held_out - oldest) * (1.0 - share))], side="left"))
    begins = float(at[block]) - length * (1.0 - share) if spec.since is None else spec.since
    first = int(np.searchsorted(at, begins, side="left"))
    starts: list[tuple[Strategy, int]] = [("full", 0)]
    if first > 0 and block - first >= ROWS_MIN and held_out - block >= ROWS_MIN:
        starts.append(("sliding-window", first))
    if len(starts) == 1:
        return whole, None
    value_of = _judge(project, root, history, order, block)
    candidates = tuple(
        Candidate(strategy, None if not begin else float(at[begin]), block - begin, *value_of(begin))
        for strategy, begin in starts
    )
    winner, text = _winner(project.metric, candidates)
    contest = Contest(
        project.metric, float(at[block]), float(at[-1]), len(at) - block, candidates, winner.strategy, text
    )
    if winner.strategy == "full":
        return whole, contest
    if spec.since is not None:
        length = max(spec.now, float(at[-1])) - spec.since
    return replace(whole, strategy="sliding-window", window_s=length, since=spec.since), contest


def _judge(
    project: Project, root: Path, history: History, order: npt.NDArray[np.intp], block: int
) -> Callable[[int], tuple[float, float]]:
    """A function from a candidate's first row to its metric on the block and the seconds that it took to fit."""
    table = history.table.take(order).combine_chunks()
    target = target_array(table, project.data.target)
    classes = None if project.task == "regression" else tuple(class_values(table, project.data.target))
    truth = target.astype(np.float64) if classes is None else encoded(target, classes)
    frame = features_frame(table, history.features)
    positive = 1 if classes is None else positive_position(classes, None)

    def value(begin: int) -> tuple[float, float]:
        if classes is not None and len(set(target[begin:block].tolist())) < 2:
            until = iso(float(history.at[order[block]]))
            raise DataError(f"the window before {until} has a single class to learn from")
        started = perf_counter()
        with few_threads():
            estimator = build_estimator(project, root, frame.iloc[begin:block])
            fit(estimator, frame.iloc[begin:block], target[begin:block], root)
            seconds = perf_counter() - started
            answers = estimator_answers(estimator, frame.iloc[block:], truth[block:], classes, positive, root)
        return float(measure(project.metric, answers)(np.ones(len(truth) - block, bool))), seconds

    return value


def _winner(metric: str, candidates: tuple[Candidate, ...]) -> tuple[Candidate, str]:
    """The best by the metric; of those that are as good, the one that was cheapest to train."""
    sign = -1.0 if metric in HIGHER_IS_BETTER else 1.0
    best = min(candidates, key=lambda candidate: sign * candidate.value)
    margin = TIE * abs(best.value)
    tied = [candidate for candidate in candidates if sign * (candidate.value - best.value) <= margin]
    winner = min(tied, key=lambda candidate: candidate.rows)
    name = LABELS.get(metric, metric)
    figures = ", ".join(f"{c.strategy} {c.value:.4g} ({c.rows:,} rows)" for c in candidates)
    why = "as good and cheaper" if winner is not best else "better"
    text = f"{winner.strategy} is {why} by {name} on the newest rows: {figures}"
    if winner.since is not None:
        text += f"; it begins at {iso(winner.since)}"
    return winner, text


def told(contest: Contest) -> str:
    """A line for whoever watches."""
    return f"{contest.text}; block of {duration_text(contest.block_until - contest.block_from)}"
