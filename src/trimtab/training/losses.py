"""What retained versions would have lost on the newest labelled blocks: the job behind ``retraining.on: [payoff]``.

It reads the labelled history as a training run does (collected production included), answers the mature rows of each
block with the registered packages that were not trained on them, and writes mean losses. Nothing is changed, so it may
be killed and begun anew at any time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trimtab.core.domain.errors import DataError, UserError
from trimtab.core.gates.metrics import Answers, row_losses
from trimtab.core.policy.measured import BlockLosses, Retained, filled, first_block, in_order
from trimtab.training import history
from trimtab.training.collect import collect
from trimtab.training.evaluate import encoded, model_answers
from trimtab.training.fit import class_values, few_threads, target_array
from trimtab.training.maturity import due_of
from trimtab.training.select import delay_quantile, mature_rows

if TYPE_CHECKING:
    from trimtab.project.settings import Project
    from trimtab.training.pipeline import Progress, Services

Floats = npt.NDArray[np.float64]
KIND = "measure"
ROWS_MAX = 20_000
"""Of each block, evenly spread: a mean needs no more."""
ROWS_MIN = 30
"""A block with fewer labelled rows says nothing and takes no part."""
HALF = 0.5
"""A block is judged once the labels of half of its rows are due, by the rows that are."""


@dataclass(frozen=True, slots=True)
class MeasureSpec:
    """One measuring: the same spec on the same log gives the same figures."""

    versions: tuple[Retained, ...]
    block_s: float
    first: int
    """The first block that is measured."""
    now: float
    """Labels known later do not count; the block that ``now`` lies in has not ended."""
    window_s: float | None = None


def from_json(data: dict[str, Any]) -> MeasureSpec:
    """The spec of its plain JSON.

    Raises:
        UserError: a field is missing or unknown.
    """
    known = {each.name for each in fields(MeasureSpec)}
    found = data.keys() - {"kind"}
    if found != known:
        raise UserError(f"a measuring job needs {', '.join(sorted(known))}; found {', '.join(sorted(found))}")
    return MeasureSpec(**{name: data[name] for name in known} | {"versions": _versions(data["versions"])})


def _versions(data: Sequence[dict[str, Any]]) -> tuple[Retained, ...]:
    return in_order([Retained(**each) for each in data])


def measure(spec: MeasureSpec, services: Services, progress: Progress = lambda _: None) -> dict[str, Any]:
    """Losses of every version on every labelled block.

    Returns:
        ``{"outcome": "measured", "metric", "blocks": [BlockLosses as JSON], "window_rows", "training_share"}``

    Raises:
        UserError: the history cannot be read as the project says.
        ExternalError: registry, log or disk failed, or a version cannot answer.
    """
    project = services.project
    loaded = _history(services)
    maturity = project.data.label_maturity if project.data.label_time else None
    with few_threads():
        due_s = due_of(loaded, project, spec.now)
    mature = mature_rows(loaded.at, loaded.known_at, spec.now, maturity, due_s) & (loaded.at <= spec.now)
    chosen = _blocks(spec, loaded, mature)
    progress(f"{len(chosen)} labelled blocks, {len(spec.versions)} versions")
    blocks: list[BlockLosses] = []
    if chosen:
        places = np.concatenate([rows for _, rows in chosen])
        answers = _answers(spec, services, loaded, places)
        metric = metric_of(project, list(answers.values()))
        cuts = np.cumsum([0, *(len(rows) for _, rows in chosen)])
        for at, (block, rows) in enumerate(chosen):
            before = int((mature & (loaded.at < block * spec.block_s)).sum())
            piece = slice(int(cuts[at]), int(cuts[at + 1]))
            blocks.append(_block(spec, metric, answers, piece, block, len(rows), before))
    else:
        metric = project.metric
    window = spec.now - (spec.window_s or 0.0)
    return {
        "outcome": "measured",
        "metric": metric,
        "blocks": [_plain(each) for each in blocks],
        "window_rows": float((mature & (loaded.at > window)).sum()) if spec.window_s else 0.0,
        "training_share": 1.0 - project.retraining.evaluation_share,
        "error": None,
    }


def _plain(each: BlockLosses) -> dict[str, Any]:
    losses = {str(version): loss for version, loss in each.losses.items()}
    roles = list(each.roles)
    return {"block": each.block, "rows": each.rows, "before": each.before, "losses": losses, "roles": roles}


def _history(services: Services) -> history.History:
    project, root = services.project, services.root
    parts: tuple[Path, ...] = ()
    if services.reader is not None and project.data.collect:
        found = collect(services.reader, root / "data" / "production", history.names_of(project.data))
        parts = found.parts
    return history.load_history(root, project, parts)


def _blocks(
    spec: MeasureSpec, loaded: history.History, mature: npt.NDArray[np.bool_]
) -> list[tuple[int, npt.NDArray[np.intp]]]:
    """(block, its mature rows) of each block that ended long enough ago for half of its labels to be there."""
    with np.errstate(invalid="ignore"):
        known = loaded.known_at <= spec.now
    if not known.any():
        return []
    late = delay_quantile(loaded.at[known], loaded.known_at[known], HALF)
    oldest = first_block(spec.versions[0], spec.block_s)
    of_row = loaded.at // spec.block_s
    found = []
    for block in range(max(spec.first, oldest), int(spec.now // spec.block_s)):
        if (block + 1) * spec.block_s + late > spec.now:
            break
        rows = np.flatnonzero(mature & (of_row == block))
        if len(rows) >= ROWS_MIN:
            spread = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), ROWS_MAX)).astype(int))
            found.append((block, rows[spread]))
    return found


def _answers(
    spec: MeasureSpec, services: Services, loaded: history.History, places: npt.NDArray[np.intp]
) -> dict[int, Answers]:
    """Each version's answers on the rows, by its registered package and the runtime that serves it."""
    from trimtab.serving.runtimes import load

    project = services.project
    table = loaded.table.take(places).combine_chunks()
    target = target_array(table, project.data.target)
    classes = None
    if project.task == "classification":
        classes = tuple(class_values(loaded.table, project.data.target))
    truth = target.astype(np.float64) if classes is None else encoded(target, classes)
    found: dict[int, Answers] = {}
    with few_threads(), tempfile.TemporaryDirectory(prefix="trimtab-") as scratch:
        for each in spec.versions:
            package = services.registry.fetch(each.version, Path(scratch) / str(each.version))
            found[each.version], _ = model_answers(load(package), table, truth, classes, positive=1)
    return found


def metric_of(project: Project, answers: Sequence[Answers]) -> str:
    """The project's metric where it is a mean over rows that all versions can be judged by, else the task's."""
    if project.task == "regression":
        return "mae"
    scored = all(each.scores is not None for each in answers)
    if project.metric == "accuracy" or not scored:
        return "accuracy"
    return project.metric if project.metric in ("log_loss", "brier") else "log_loss"


def _block(
    spec: MeasureSpec, metric: str, answers: dict[int, Answers], piece: slice, block: int, rows: int, before: int
) -> BlockLosses:
    """Of each version that was not trained on the block, and of each role."""
    losses = {
        each.version: _mean(metric, [answers[each.version]], piece)
        for each in spec.versions
        if first_block(each, spec.block_s) <= block
    }
    roles = tuple(
        _mean(metric, [answers[spec.versions[place].version] for place in places], piece)
        for places in filled(spec.versions, block, spec.block_s)
    )
    return BlockLosses(block, rows, before, losses, roles)


def _mean(metric: str, members: Sequence[Answers], piece: slice) -> float:
    """Mean loss of the mean of the members' answers."""
    first = members[0]
    scores = None
    if all(each.scores is not None for each in members):
        scores = np.mean([each.scores[piece] for each in members if each.scores is not None], axis=0)
    if scores is not None and len(members) > 1:
        predicted = scores.argmax(axis=1).astype(np.float64)
    elif first.scores is None and metric == "mae":
        predicted = np.mean([each.predicted[piece] for each in members], axis=0)
    else:
        predicted = first.predicted[piece]
    losses = row_losses(metric, Answers(first.truth[piece], predicted, scores, first.positive))
    if losses is None or not np.isfinite(losses).all():
        raise DataError(f"{metric} of a retained version is not a finite number on every row")
    return float(losses.mean())
