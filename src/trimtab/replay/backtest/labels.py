"""Which labels are there before each batch, and which rows may be trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.core.policy.facts import WINDOW, Kind
from trimtab.replay.backtest.history import History
from trimtab.training.maturity import due_after
from trimtab.training.select import delay_quantile

Rows = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]
JUDGED = 0.5
"""Share of a batch's rows whose label must be due before the batch is judged, by those rows."""
MORE = 1.1
"""When there are so many times the rows, it is learnt again when labels are due."""


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """What is known when. The rows that there were at the beginning count as labelled from the beginning."""

    history: History
    known: npt.NDArray[np.int64]
    """(batches,) labelled batches before each batch begins: the first so many, each with nearly all of its labels."""
    available: Floats
    """(batches,) rows that could be trained on before each batch."""
    until: npt.NDArray[np.int64]
    """(batches,) the first batch of which no row could be trained on."""
    labelled: tuple[npt.NDArray[np.bool_] | None, ...]
    """For each batch begun: which rows are labelled and mature, where that is not simply the first so many."""
    judged: dict[int, npt.NDArray[np.intp]]
    """Batch to the rows that it is judged by, where not all of its labels were there when it was first judged."""

    def rows_judged(self, batch: int) -> slice | npt.NDArray[np.intp]:
        """Positions of the rows of a batch that policies see the loss of."""
        return self.judged.get(batch, self.history.rows_of(batch))

    def rows(self, kind: Kind, batch: int) -> Rows:
        """Positions of the rows that a run of this kind before this batch trains on, in order of time."""
        mask = self.labelled[batch]
        rows = np.arange(int(self.available[batch])) if mask is None else np.flatnonzero(mask)
        return rows[-self.history.initial_rows :] if kind == WINDOW else rows


def schedule(history: History) -> Schedule:
    """When labels come, by the history's question: some batches late, some time late, or at a time of their own."""
    question = history.question
    if history.known_at is None:
        late = question.label_batches or 0
        known = np.maximum(0, np.arange(history.batches) - late)
        return Schedule(history, known, history.cut[known].astype(np.float64), known, (None,) * history.batches, {})
    if question.label_delay_s is not None:
        return _delayed(history, history.known_at)
    return _by_row(history, history.known_at)


def _delayed(history: History, known_at: Floats) -> Schedule:
    """Labels come in order of time: the first so many rows are labelled."""
    now = history.at[history.cut[:-1]]
    first = np.minimum(np.searchsorted(known_at, now, side="right"), history.cut[:-1])
    available = np.maximum(first, history.initial_rows)
    known = np.searchsorted(history.cut[1:], available, side="right")
    until = np.searchsorted(history.cut[:-1], available, side="left")
    return Schedule(history, known, available.astype(np.float64), until, (None,) * history.batches, {})


def _by_row(history: History, known_at: Floats) -> Schedule:
    """Labels come one by one: a row counts once its label is due, whatever its outcome.

    Due is what ``trimtab.training.maturity`` learns from cohorts that are old enough; before there are any, those
    cohorts alone count (``trimtab.training.select.mature_rows``). What arrives early is not like what arrives late.
    """
    first, at = history.initial_rows, history.at
    known, available, until, masks = [0], [float(first)], [0], [np.arange(int(history.cut[0])) < first]
    judged: dict[int, Rows] = {}
    due, learnt = None, 0
    for batch in range(1, history.batches):
        end, now = int(history.cut[batch]), history.starts(batch)
        there = known_at[:end] <= now
        there[:first] = True
        delay = delay_quantile(at[:end][there], known_at[:end][there], history.question.label_maturity)
        old = there & (at[:end] <= now - delay)
        old[:first] = True
        if due is None or old.sum() > MORE * learnt:
            due, learnt = _due(history, known_at, np.flatnonzero(old), delay), int(old.sum())
        ripe = old | (at[:end] + due[:end] <= now)
        mask = there & ripe
        while len(judged) < batch:
            rows = np.arange(*history.rows_of(len(judged)).indices(end))
            if ripe[rows].mean() < JUDGED or not mask[rows].any():
                break
            judged[len(judged)] = rows[mask[rows]]
        known.append(len(judged))
        last = int(np.flatnonzero(mask)[-1]) + 1
        until.append(int(np.searchsorted(history.cut[:-1], last, side="left")))
        available.append(float(mask.sum()))
        masks.append(mask)
    return Schedule(history, np.array(known), np.array(available), np.array(until), tuple(masks), judged)


def _due(history: History, known_at: Floats, old: Rows, delay: float) -> Floats:
    """(n,) seconds after its event that each row's label is due; every row's is ``delay`` where that is short."""
    same = np.full(len(history.at), delay)
    if delay <= (history.at[-1] - history.starts(0)) / history.batches:
        return same
    found = due_after(
        history.frame.iloc[old],
        known_at[old] - history.at[old],
        history.frame,
        history.question.label_maturity,
        history.coded,
    )
    return same if found is None else found
