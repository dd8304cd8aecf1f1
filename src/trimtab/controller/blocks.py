"""The champion's traffic in blocks of event time: a profile of what came in, and a scorecard of what became
labelled.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from trimtab.controller.evidence import SCORE, Labelled, floats, seconds
from trimtab.controller.repeats import Repeats, row_keys
from trimtab.core.diagnosis.result import Block
from trimtab.core.profiles.baseline import Baseline
from trimtab.core.profiles.profile import Profile
from trimtab.core.profiles.scorecard import Scorecard

if TYPE_CHECKING:
    import pyarrow as pa

INPUT = "x."


@dataclass(slots=True)
class Blocks:
    """Sums by block since the champion went live (``key``: its version and the generation of routes that crowned
    it).
    """

    key: tuple[int, int]
    baseline: Baseline
    block_s: float
    from_profiles: bool = False
    """The servers' own profiles are counted, not the rows of the log, which are not all there or not as they were."""
    changes: int = 0
    """Counts every addition, so that a reader knows whether to look again."""
    _profiles: dict[int, Profile] = field(default_factory=dict)
    _cards: dict[int, Scorecard] = field(default_factory=dict)
    _repeats: Repeats = field(default_factory=Repeats)

    def add(self, predictions: pa.Table, labelled: list[Labelled]) -> None:
        """New answered rows, and rows of the champion that became labelled."""
        if predictions.num_rows and not self.from_profiles:
            self._add_rows(predictions)
        mine = [row for row in labelled if row.version == self.key[0] and row.generation >= self.key[1]]
        if mine:
            self._add_labelled(mine)

    def add_profiles(self, profiles: pa.Table) -> None:
        """New sums of the servers: those of this champion's baseline count, since it went live."""
        for row in profiles.to_pylist():
            if row["baseline"] != self.key[0] or row["generation"] < self.key[1]:
                continue
            profile = Profile.from_bytes(row["profile"])
            if profile.digest != self.baseline.layout.digest:
                continue  # of a package of this number that was another one
            self.changes += 1
            block = int(row["bucket"].timestamp() // self.block_s)
            known = self._profiles.get(block)
            self._profiles[block] = profile if known is None else known + profile

    def closed(self, event_time: float) -> list[Block]:
        """Blocks that ended before ``event_time``, oldest first."""
        last = int(event_time // self.block_s)
        return [
            Block(
                place * self.block_s,
                (place + 1) * self.block_s,
                self._profiles[place],
                self._cards.get(place),
                self._repeats.counts.get(place, 0),
            )
            for place in sorted(self._profiles)
            if place < last
        ]

    def _add_rows(self, predictions: pa.Table) -> None:
        import pyarrow.compute as pc

        table = predictions.filter(
            pc.and_(
                pc.invert(predictions.column("shadow")),
                pc.and_(
                    pc.is_null(predictions.column("error")),
                    pc.greater_equal(predictions.column("generation"), self.key[1]),
                ),
            )
        )
        if not table.num_rows:
            return
        self.changes += 1
        own = np.asarray(table.column("version"), dtype=np.int64) == self.key[0]
        place = (seconds(table.column("event_time")) // self.block_s).astype(np.int64)
        keys = row_keys(table)
        for block in np.unique(place).tolist():
            self._repeats.add(block, keys[place == block])
            for champion in (True, False):
                chosen = np.flatnonzero((place == block) & (own == champion))
                if chosen.size:
                    profile = self._profile(table.take(chosen), with_predictions=champion)
                    known = self._profiles.get(block)
                    self._profiles[block] = profile if known is None else known + profile

    def _profile(self, table: pa.Table, *, with_predictions: bool) -> Profile:
        from trimtab.frames import columns_of

        names = [name for name in table.column_names if name.startswith(INPUT)]
        inputs = table.select(names).rename_columns([name.removeprefix(INPUT) for name in names])
        columns = columns_of(inputs)
        return self.baseline.profile(columns, predictions=_predictions(table) if with_predictions else None)

    def _add_labelled(self, rows: list[Labelled]) -> None:
        self.changes += 1
        place = np.array([int(row.event_time // self.block_s) for row in rows])
        labels = np.array([row.label for row in rows])
        predicted = np.array([row.scores if row.scores is not None else (row.value,) for row in rows])
        if rows[0].scores is None:
            predicted = predicted[:, 0]
        for block in np.unique(place).tolist():
            chosen = place == block
            card = self.baseline.scorecard(predicted[chosen], labels[chosen])
            known = self._cards.get(block)
            self._cards[block] = card if known is None else known + card


def _predictions(table: pa.Table) -> np.ndarray | None:
    names = [name for name in table.column_names if name.startswith(SCORE)]
    if names:
        return np.column_stack([floats(table.column(name)) for name in names])
    return floats(table.column("y.prediction")) if "y.prediction" in table.column_names else None
