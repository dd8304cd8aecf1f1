"""Which labels are there before each batch, and which rows may be trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.core.policy.facts import WINDOW, Kind
from trimtab.replay.backtest.history import History
from trimtab.training.select import delay_quantile

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """What is known when. The rows that there were at the beginning count as labelled from the beginning."""

    history: History
    known: npt.NDArray[np.int64]
    """(batches,) labelled batches before each batch begins: the first so many, each with nearly all of its labels."""
    available: npt.NDArray[np.float64]
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


def _delayed(history: History, known_at: npt.NDArray[np.float64]) -> Schedule:
    """Labels come in order of time: the first so many rows are labelled."""
    now = history.at[history.cut[:-1]]
    first = np.minimum(np.searchsorted(known_at, now, side="right"), history.cut[:-1])
    available = np.maximum(first, history.initial_rows)
    known = np.searchsorted(history.cut[1:], available, side="right")
    until = np.searchsorted(history.cut[:-1], available, side="left")
    return Schedule(history, known, available.astype(np.float64), until, (None,) * history.batches, {})


def _by_row(history: History, known_at: npt.NDArray[np.float64]) -> Schedule:
    """Labels come one by one: only cohorts count that are old enough for nearly all of theirs to be there.

    The same rule as a training run's (``trimtab.training.select.mature_rows``): what arrives early is not like what
    arrives late.
    """
    first, at = history.initial_rows, history.at
    known, available, until, masks = [], [], [], []
    for batch in range(history.batches):
        end = int(history.cut[batch])
        now = history.starts(batch)
        there = known_at[:end] <= now
        there[:first] = True
        delay = delay_quantile(at[:end][there], known_at[:end][there], history.question.label_maturity)
        mature = at[:end] <= now - delay
        mature[:first] = True
        mask = there & mature
        ends = history.cut[1 : batch + 1]
        known.append(int(np.searchsorted(at[ends - 1] + delay, now, side="right")) if batch else 0)
        last = int(np.flatnonzero(mask)[-1]) + 1
        until.append(int(np.searchsorted(history.cut[:-1], last, side="left")))
        available.append(float(mask.sum()))
        masks.append(mask)
    in_order = np.maximum.accumulate(np.array(known, dtype=np.int64))
    judged = {
        batch: rows[known_at[rows] <= history.starts(int(np.searchsorted(in_order, batch, side="right")))]
        for batch in range(int(in_order[-1]))
        for rows in [np.arange(history.cut[batch], history.cut[batch + 1])]
    }
    return Schedule(history, in_order, np.array(available), np.array(until, dtype=np.int64), tuple(masks), judged)
