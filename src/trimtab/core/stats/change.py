"""Did the losses of a live model rise? A conformal e-detector that may be looked at after every row.

``LossAlarm`` learns the usual losses from the stream itself, so it needs no baseline and no assumption on their
distribution, and it finds out by itself whether rows may be counted one by one or only in blocks.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trimtab.core.stats.clustering import clustering
from trimtab.core.stats.rank_bets import RankBets
from trimtab.core.stats.seeded import seeded

Floats = NDArray[np.float64]
Unit = Literal["rows", "blocks"]

SUSPECTED = (2.0, 3.5)
"""Standard errors of clustering from which an alarm in rows waits: while fewer than ``SHORT`` rows were seen, after."""
SHORT = 1500
LEAST = 5
"""Rows (blocks: 2) from the onset to the alarm: one or two of the worst losses ever are no change yet."""
PAST_ROWS = 20_000
"""Rows before a reset on which clustering is measured, too."""
LOOK_ROWS = 100
"""Rows between two looks at the clustering, at least; later every tenth of what was seen."""
MEMORY = 200_000
"""Losses among which a new one is ranked: the oldest so many."""


@dataclass(frozen=True, slots=True)
class Change:
    """A rise that was found."""

    at_row: int
    """Rows seen when the alarm was raised."""
    onset_row: int
    """Row from which a step explains the losses best."""
    unit: Unit
    before: float
    """Mean loss before the onset."""
    after: float
    """Mean loss from the onset to the alarm."""
    evidence: float
    threshold: float

    @property
    def text(self) -> str:
        """In words, with the arithmetic."""
        return (
            f"loss {self.after:.4g} since row {self.onset_row:,} against {self.before:.4g} before; "
            f"evidence {self.evidence:.3g} >= {self.threshold:.3g}, counted in {self.unit}"
        )


class LossAlarm:
    """Raises an alarm when losses rise, at any time one looks, with a stated average run length.

    Let u_t be the rank of loss t among all losses up to t, counted from the largest, ties broken by chance, divided by
    t. Where rows are exchangeable, u_1, u_2, ... are independent and uniform *whatever the distribution of the losses*
    (Vovk, Gammerman & Shafer 2005). Each bet f with ∫f = 1 over [0, 1] that prefers small u is fair, and

        M_t = (M_{t-1} + 1) f(u_t)         (Shiryaev-Roberts),  E[M_t] = t while nothing changes,

    so the weighted mean of M over many bets reaches c within T rows with probability at most T / c, and on average
    after c rows at the earliest (Shin, Ramdas & Rinaldo, "E-detectors", NEJSDS 2024). Bets are steps (losses above a
    quantile become r times as frequent) and powers ((1 - w) + w k u^(k-1): a share w of the rows has losses that are
    hardly seen before, as flipped labels have).

    *Assumption*: before the change rows are exchangeable. Losses of real traffic often are not: those of one stormy
    day are high together. So the clustering of the losses is measured as they come (Allan variance of means of
    neighbouring blocks against single rows; a single step hardly moves it), and once it is shown, blocks are counted
    instead of rows: of ``block_rows`` rows, or of ``block_s`` seconds where times are given. ``unit`` says which.
    *Cost*: in units of rows one false alarm in ``run_rows`` rows at most (on average), in blocks one in ``run_blocks``.

    When not to use it: two versions side by side are compared by ``MeanTest``; a single look at a finished window by a
    confidence interval. A change during the warm-up becomes part of what is usual.

    Args:
        run_rows: average rows between false alarms, at least, while rows are counted.
        run_blocks: likewise, while blocks are counted; 36,500 daily blocks are a hundred years.
        tolerance: a rise of the rate of large losses by this share is nobody's concern (0.1: by a tenth): bets are
            divided by 1 + tolerance (r - 1), so that they stay fair up to there.
        warm_up: rows (at least 50) that are only collected.
        warm_up_blocks: blocks (at least 10) likewise.
        block_rows: rows of a block where no times are given.
        block_s: seconds of a block where times are given.
        unit: ``auto`` measures the clustering; ``rows`` and ``blocks`` say what is known.
        seed: of the chance that breaks ties.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> alarm = LossAlarm()
        >>> alarm.update(rng.beta(2, 8, size=3000))
        >>> alarm.change is None, alarm.unit
        (True, 'rows')
        >>> alarm.update(rng.beta(3, 8, size=500))
        >>> alarm.change.at_row, alarm.change.onset_row
        (3113, 3010)
    """

    def __init__(
        self,
        *,
        run_rows: float = 1e7,
        run_blocks: float = 36_500.0,
        tolerance: float = 0.0,
        warm_up: int = 500,
        warm_up_blocks: int = 40,
        block_rows: int = 150,
        block_s: float = 86_400.0,
        unit: Literal["auto", "rows", "blocks"] = "auto",
        seed: int = 0,
    ) -> None:
        _check(run_rows, run_blocks, tolerance, warm_up, warm_up_blocks, block_rows, block_s, unit)
        self._thresholds = {"rows": float(run_rows), "blocks": float(run_blocks)}
        self._warm_up = warm_up
        self._warm_up_blocks = warm_up_blocks
        self._block_rows = block_rows
        self._block_s = block_s
        self._tolerance = tolerance
        self._wanted = unit
        self._seed = seed
        self._unit: Unit = "blocks" if unit == "blocks" else "rows"
        self._losses: list[float] = []
        self._past = np.zeros(0)
        self.reset()

    def reset(self) -> None:
        """What comes now is the new 'usual'. How much rows cluster is remembered, and measured on."""
        if self._losses:
            centred = np.array(self._losses) - float(np.mean(self._losses))
            self._past = np.concatenate([self._past, centred])[-PAST_ROWS:]
        self._losses = []
        self._blocks = _Blocks(self._block_rows, self._block_s)
        self._rows_seen = _Ranked(self._warm_up, self._tolerance, self._seed)
        self._blocks_seen = _Ranked(self._warm_up_blocks, self._tolerance, self._seed)
        self._next_look = self._warm_up // 2
        self._clustering, self._z = float("nan"), 0.0
        self._wait = 0
        self._change: Change | None = None

    @property
    def change(self) -> Change | None:
        """The rise that was found; it stays until ``reset()``."""
        return self._change

    @property
    def unit(self) -> Unit:
        """What counts as one observation now."""
        return self._unit

    @property
    def rows(self) -> int:
        """Losses taken in."""
        return len(self._losses)

    @property
    def evidence(self) -> float:
        """The mean of M in the present unit; the alarm is at ``threshold``."""
        return (self._rows_seen if self._unit == "rows" else self._blocks_seen).evidence

    @property
    def threshold(self) -> float:
        """``run_rows`` or ``run_blocks``."""
        return self._thresholds[self._unit]

    @property
    def clustering(self) -> float:
        """Variance of block means over what independent rows would give, at the block length where it is clearest;
        NaN before there are enough rows."""
        return self._clustering

    @property
    def ready(self) -> bool:
        """Whether the warm-up is over, so that an alarm is possible."""
        return (self._rows_seen if self._unit == "rows" else self._blocks_seen).ready

    def update(self, losses: Any, times: Any = None) -> None:
        """Take in losses, oldest first. After an alarm nothing is looked at until ``reset()``.

        Args:
            losses: a number, or an array (n,), in any unit; larger is worse.
            times: event time of each loss in seconds, not decreasing; then blocks are of ``block_s`` seconds.

        Raises:
            ValueError: a loss or time that is not finite, times of another length or that go back.
        """
        values = np.atleast_1d(np.asarray(losses, dtype=np.float64))
        if values.ndim != 1 or not np.isfinite(values).all():
            raise ValueError(f"losses must be finite numbers in one dimension, found {_first_odd(values)}")
        at = None if times is None else np.atleast_1d(np.asarray(times, dtype=np.float64))
        if at is not None and (at.shape != values.shape or not np.isfinite(at).all()):
            raise ValueError(f"times must be one finite number for each of {len(values)} losses, found {at.shape}")
        for place, value in enumerate(values.tolist()):
            self._take(value, None if at is None else float(at[place]))

    def _take(self, loss: float, time: float | None) -> None:
        if self._change is not None:
            return
        self._losses.append(loss)
        mean = self._blocks.take(loss, time, len(self._losses))
        if mean is not None:
            self._blocks_seen.take(mean)
        if self._unit == "rows":
            self._rows_seen.take(loss)
            if self._wanted == "auto" and len(self._losses) >= self._next_look:
                self._look()
        self._judge()

    def _judge(self) -> None:
        """Where the evidence is there and the alarm is not: look again a little later, not after every row."""
        if self.evidence < self.threshold or len(self._losses) < self._wait:
            return
        self._wait = len(self._losses) + 1 + len(self._losses) // 500
        if self._unit == "rows":
            if not self._suspected():
                self._change = self._found(range(len(self._losses)), self._rows_seen)
        elif self._blocks.neighbours_alike():
            self._double()
        else:
            self._change = self._found(self._blocks.starts, self._blocks_seen)

    def _double(self) -> None:
        """Blocks of twice the rows: those so far resemble their neighbours, so they are not exchangeable either."""
        self._block_rows *= 2
        self._blocks = _Blocks(self._block_rows, self._block_s)
        self._blocks_seen = _Ranked(self._warm_up_blocks, self._tolerance, self._seed)
        for seen, loss in enumerate(self._losses, 1):
            mean = self._blocks.take(loss, None, seen)
            if mean is not None:
                self._blocks_seen.take(mean)

    def _suspected(self) -> bool:
        """Whether the rows look as if they clustered: an alarm in rows waits until they do not, or until it is shown
        and blocks are counted."""
        if self._wanted != "auto":
            return False
        self._look()
        return self._unit == "blocks" or self._z >= SUSPECTED[len(self._losses) >= SHORT]

    def _look(self) -> None:
        own = np.array(self._losses)
        found = clustering(np.concatenate([self._past, own - own.mean()]) if self._past.size else own)
        self._next_look = len(self._losses) + max(LOOK_ROWS, len(self._losses) // 10)
        if found is None:
            return
        self._clustering, self._z = found.factor, found.z
        if found.shown:
            self._unit = "blocks"
            self._rows_seen = _Ranked(self._warm_up, self._tolerance, self._seed)

    def _found(self, starts: Sequence[int], seen: _Ranked) -> Change | None:
        """None while the evidence rests on a row or two, or where not the mean rose but only the worst losses."""
        onset = seen.onset()
        if seen.taken - onset < (LEAST if self._unit == "rows" else 2):
            return None
        row = int(starts[onset])
        rows = np.array(self._losses)
        before, after = float(rows[:row].mean()), float(rows[row:].mean())
        if after <= before * (1.0 + self._tolerance):
            return None
        return Change(len(rows), row, self._unit, before, after, seen.evidence, self.threshold)


class _Ranked:
    """Ranks of a growing list of losses, and the evidence of the bets on them."""

    def __init__(self, warm_up: int, tolerance: float, seed: int) -> None:
        self.warm_up = warm_up
        self.taken = 0
        self._bets = RankBets(tolerance)
        self._sorted: list[float] = []
        self._chance = seeded(seed)
        self._draws: list[float] = []

    @property
    def ready(self) -> bool:
        return len(self._sorted) >= self.warm_up

    @property
    def evidence(self) -> float:
        return self._bets.evidence

    def onset(self) -> int:
        """Index of the loss from which the rise is."""
        return self.warm_up + self._bets.onset()

    def take(self, loss: float) -> None:
        known = self._sorted
        self.taken += 1
        if len(known) >= self.warm_up:
            first, past = bisect_left(known, loss), bisect_right(known, loss)
            larger, equal = len(known) - past, past - first
            self._bets.take((larger + self._draw() * (equal + 1)) / (len(known) + 1))
        if len(known) < MEMORY:
            insort(known, loss)

    def _draw(self) -> float:
        if not self._draws:
            self._draws = (1.0 - self._chance.random(1024)).tolist()  # in (0, 1]: a rank is never 0
        return self._draws.pop()


class _Blocks:
    """Means of consecutive rows: so many rows, or so many seconds where times are given."""

    def __init__(self, rows: int, seconds: float) -> None:
        self.means: list[float] = []
        self.starts: list[int] = []
        """Row at which each block began."""
        self._rows = rows
        self._seconds = seconds
        self._sum = 0.0
        self._count = 0
        self._place: float | None = None
        self._newest = -np.inf

    def take(self, loss: float, time: float | None, seen: int) -> float | None:
        """The mean of the block that this row closed; the row itself may belong to the next."""
        if time is None:
            self._add(loss)
            return self._close(seen) if self._count >= self._rows else None
        if time < self._newest:
            raise ValueError(f"times must not go back: {time} after {self._newest}")
        self._newest = time
        place = time // self._seconds
        closed = None
        if self._place is not None and place != self._place and self._count >= BLOCK_ROWS_MIN:
            closed = self._close(seen - 1)
        self._place = place
        self._add(loss)
        return closed

    def neighbours_alike(self) -> bool:
        """Whether blocks of so many rows are still alike two by two; blocks of time are taken as they are."""
        pairs = len(self.means) // 2
        if self._place is not None or pairs < PAIRS_MIN:
            return False
        single = np.array(self.means[: 2 * pairs])
        double = single.reshape(pairs, 2).mean(axis=1)
        return float(2.0 * np.mean(np.diff(double) ** 2)) > ALIKE * float(np.mean(np.diff(single) ** 2))

    def _add(self, loss: float) -> None:
        self._sum += loss
        self._count += 1

    def _close(self, end: int) -> float:
        mean = self._sum / self._count
        self.means.append(mean)
        self.starts.append(end - self._count)
        self._sum, self._count = 0.0, 0
        return mean


BLOCK_ROWS_MIN = 30
"""Rows of a block of time; with fewer it goes on."""
PAIRS_MIN = 20
ALIKE = 1.4
"""Allan variance of pairs of blocks over that of independent ones, from which blocks are doubled."""


def _first_odd(values: Floats) -> str:
    if values.ndim != 1:
        return f"shape {values.shape}"
    at = int(np.flatnonzero(~np.isfinite(values))[0])
    return f"{values[at]} at [{at}]"


def _check(
    run_rows: float,
    run_blocks: float,
    tolerance: float,
    warm_up: int,
    warm_up_blocks: int,
    block_rows: int,
    block_s: float,
    unit: str,
) -> None:
    limits = {
        "run_rows": (run_rows, 100.0),
        "run_blocks": (run_blocks, 100.0),
        "tolerance": (tolerance, 0.0),
        "warm_up": (warm_up, 50.0),
        "warm_up_blocks": (warm_up_blocks, 10.0),
        "block_rows": (block_rows, 2.0),
        "block_s": (block_s, 1e-3),
    }
    for name, (value, least) in limits.items():
        if not (np.isfinite(value) and value >= least):
            raise ValueError(f"{name} must be a finite number of at least {least:g}, found {value!r}")
    if unit not in ("auto", "rows", "blocks"):
        raise ValueError(f"unit must be auto, rows or blocks, found {unit!r}")
