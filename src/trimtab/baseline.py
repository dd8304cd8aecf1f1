"""A baseline of any table, for programs that watch with their own means: fit it once, count rows wherever they are, add
up, compare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from trimtab.core.drift.check import check
from trimtab.core.drift.result import DriftResult
from trimtab.core.profiles import Baseline as CoreBaseline
from trimtab.core.profiles import Evaluation, Profile
from trimtab.frames import batches, read
from trimtab.offline.times import times_in

__all__ = ["Baseline"]


class Baseline(CoreBaseline):
    """What was normal, frozen: bins, categories, and how it varied over time.

    >>> rng = np.random.default_rng(0)
    >>> baseline = Baseline.fit({"x": rng.normal(size=5000)})
    >>> morning, evening = (baseline.profile({"x": rng.normal(0.5, 1, size=300)}) for _ in range(2))
    >>> baseline.compare(morning + evening).drifted
    True
    """

    __slots__ = ()

    @classmethod
    def fit(  # type: ignore[override]
        cls,
        frame: Any,
        *,
        time: str | None = None,
        ignore: Sequence[str] = (),
        scores: Any = None,
        classes: Sequence[str] = (),
        block_s: float = 86400.0,
        importance: Mapping[str, float] | None = None,
    ) -> Self:
        """Freeze a reference.

        Args:
            frame: a pandas or polars frame, an Arrow table, a mapping of arrays, the path of a Parquet or CSV file, or
                an iterator of tables. Held in memory.
            time: column of event times; needed for alarms that know natural variation.
            ignore: columns that take no part.
            scores: (n, K) class scores or (n,) values that a model answered for these rows.
            classes: names of the K classes.
            block_s: length of the blocks of event time, seconds; windows to be checked should be as long or longer.
            importance: non-negative weight of each column for the model: ranks what moved.

        Raises:
            DataError: see ``trimtab.drift``.
        """
        columns = dict(read(frame))
        times = None if time is None else times_in(columns, time)
        columns = {name: column for name, column in columns.items() if name != time and name not in ignore}
        answered = None
        if scores is not None:
            answers = np.asarray(scores, dtype=np.float64)
            answered = Evaluation(answers, np.full(len(answers), np.nan), times, tuple(classes))
        return super().fit(columns, time=times, block_s=block_s, evaluation=answered, importance=importance)

    def profile(self, frame: Any, scores: Any = None) -> Profile:
        """Count the rows of a table (a file and an iterator are streamed) in this baseline's bins; profiles add up.

        Args:
            frame: as in ``fit``; columns that the baseline does not know are ignored, missing ones count nothing.
            scores: what the model answered for these rows; not with files and iterators.
        """
        if scores is not None:
            return super().profile(read(frame), np.asarray(scores, dtype=np.float64))
        total = self.empty()
        for batch in batches(frame):
            total = total + super().profile(batch)
        return total

    def compare(self, profile: Profile, alpha: float = 0.01, *, span_s: float | None = None) -> DriftResult:
        """Does the profile differ? See ``trimtab.core.drift.check``.

        Args:
            alpha: probability of a false alarm of this comparison, all columns accounted for.
            span_s: length of the profile's window in event time. None: judged by its number of rows.
        """
        return check(self, profile, alpha, span_s=span_s)
