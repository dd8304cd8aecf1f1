"""Watching a model that is served elsewhere: its log against a reference, by the loop's own assessment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.controller.blocks import INPUT, Blocks
from trimtab.controller.evidence import Evidence
from trimtab.core.diagnosis import Assessment, AssessSettings, assess
from trimtab.core.domain.errors import DataError, NotFoundError
from trimtab.core.profiles import Baseline, Categorical, Column, Evaluation, Numbers
from trimtab.frames import columns_of, read
from trimtab.logs import answered_rows
from trimtab.offline.scored import Scored, scored_of_log, scored_of_table

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_MIN = 200
"""Rows of a reference, at least."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the log is cut and judged."""

    block_s: float = 86400.0
    alpha: float = 0.01
    tolerance: float = 0.05
    rows_min: int = 50


def baseline_of_log(predictions: pa.Table, labels: pa.Table, until: float, block_s: float) -> Baseline:
    """What the log was like before a moment that was judged sound: its inputs, its answers, and its labelled losses.

    Raises:
        NotFoundError: fewer than 200 rows lie before it.
    """
    earlier, _ = split(predictions, until)
    if earlier.num_rows < ROWS_MIN:
        raise NotFoundError(f"the log has {earlier.num_rows:,} rows before that moment; a reference needs {ROWS_MIN}")
    inputs, times = _inputs(earlier)
    evaluation = _evaluation(scored_of_log(earlier, labels))
    return Baseline.fit(inputs, time=times, block_s=block_s, evaluation=evaluation)


def baseline_of_table(
    table: Any,
    logged: Sequence[str],
    *,
    target: str | None,
    time: str,
    scores: Sequence[str],
    classes: Sequence[str],
    block_s: float,
) -> Baseline:
    """What the model was trained on, or evaluated on: the columns that the log has, too.

    Args:
        table: a frame, or the path of a file.
        logged: inputs that are in the log.
        target, scores: with both, the model's losses out of sample are known, and live ones are compared with them.
        time: column of event times.

    Raises:
        DataError: no column of the log is in the table.
    """
    columns = read(table)
    shared = {name: column for name, column in columns.items() if name in logged}
    if not shared:
        raise DataError(f"the reference has none of the logged inputs ({', '.join(list(logged)[:8])})")
    evaluation = None
    if target is not None and scores:
        evaluation = _evaluation(scored_of_table(table, target, time, scores, (), classes))
    at = columns.get(time)
    times = at if at is not None and not isinstance(at, Categorical) else None
    return Baseline.fit(shared, time=times, block_s=block_s, evaluation=evaluation)


def watch(
    baseline: Baseline, predictions: pa.Table, labels: pa.Table, since: float | None, settings: Settings
) -> Assessment:
    """The log's rows (from ``since`` on) against the baseline, block by block, as the loop judges its champion.

    Raises:
        NotFoundError: there is no answered row.
    """
    rows = answered_rows(predictions)
    if since is not None:
        _, rows = split(rows, since)
    if not rows.num_rows:
        raise NotFoundError("the log has no answered row to judge")
    evidence = Evidence(event_clock=True)
    labelled = evidence.add(rows, labels)
    version = int(np.asarray(rows.column("version"))[-1])
    blocks = Blocks((version, 0), baseline, settings.block_s)
    blocks.add(rows, labelled)
    newest = float(np.max(_times(rows)))
    closed = blocks.closed(newest + settings.block_s)  # the newest block, too: what is there now is what is asked about
    judged = AssessSettings(
        alpha=settings.alpha, tolerance=settings.tolerance, block_s=settings.block_s, rows_min=settings.rows_min
    )
    return assess(baseline, closed, judged, newest)


def split(predictions: pa.Table, at: float) -> tuple[pa.Table, pa.Table]:
    """Rows before a moment of event time, and all others."""
    before = _times(predictions) < at
    return predictions.filter(before), predictions.filter(~before)


def inputs_of(predictions: pa.Table) -> list[str]:
    """Names of the inputs that were logged."""
    return [name.removeprefix(INPUT) for name in predictions.column_names if name.startswith(INPUT)]


def _inputs(rows: pa.Table) -> tuple[dict[str, Column], Numbers]:
    table = answered_rows(rows)
    names = [name for name in table.column_names if name.startswith(INPUT)]
    if not names:
        raise DataError("the log has no inputs (x.*): nothing to compare")
    return columns_of(table.select(names).rename_columns([name.removeprefix(INPUT) for name in names])), _times(table)


def _times(rows: pa.Table) -> Numbers:
    from trimtab.controller.evidence import seconds

    return seconds(rows.column("event_time"))


def _evaluation(scored: Scored) -> Evaluation:
    return Evaluation(scored.scores, scored.labels, scored.times, scored.classes)
