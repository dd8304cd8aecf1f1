"""A small world with days: weather-like columns, a known relation, and a model that knew it on day 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from trimtab.core.diagnosis import Block
from trimtab.core.profiles import Baseline, Categorical, Column, Evaluation, categorical

DAY = 86400.0
ROWS = 300
LEVELS = ("aa", "bb", "cc", "dd")

Change = Callable[[dict[str, Column], np.random.Generator], dict[str, Column]]
Labels = Callable[[dict[str, Column], np.ndarray, np.random.Generator], np.ndarray]


@dataclass
class World:
    """Makes days; each has its own level of ``temp`` and ``wind``, as weather has."""

    rng: np.random.Generator
    blocks: list[Block] = field(default_factory=list)
    day: int = 0

    def rows(self, rows: int = ROWS) -> dict[str, Column]:
        season = 15 * np.sin(2 * np.pi * self.day / 365)
        temp = 50 + season + self.rng.normal(0, 5) + self.rng.normal(0, 4, rows)
        wind = np.abs(self.rng.normal(10, 3) + self.rng.normal(0, 2, rows))
        return {
            "temp": np.round(temp, 1),
            "wind": np.round(wind, 1),
            "hour": self.rng.integers(5, 24, rows).astype(float),
            "unused": self.rng.normal(size=rows),
            "carrier": categorical([LEVELS[i] for i in self.rng.choice(4, rows, p=[0.5, 0.3, 0.15, 0.05])]),
        }

    def scores(self, columns: dict[str, Column]) -> np.ndarray:
        """The model: it learned the relation of day 0; missing values count as usual ones."""
        wind = np.nan_to_num(columns["wind"], nan=10.0)  # type: ignore[call-overload]
        hour = np.nan_to_num(columns["hour"], nan=14.0)  # type: ignore[call-overload]
        logit = -1.2 + 0.12 * (wind - 10) + 0.16 * (hour - 14)
        p = 1 / (1 + np.exp(-logit))
        return np.stack([1 - p, p], axis=1)

    def baseline(self, days: int = 60) -> Baseline:
        parts, times, scores, labels = [], [], [], []
        for _ in range(days):
            columns = self.rows()
            parts.append(columns)
            times.append(self.day * DAY + np.sort(self.rng.uniform(0, DAY, ROWS)))
            scores.append(self.scores(columns))
            labels.append(draw(scores[-1], self.rng))
            self.day += 1
        joined = {name: join([part[name] for part in parts]) for name in parts[0]}
        time = np.concatenate(times)
        recent = time >= (days - 20) * DAY
        evaluation = Evaluation(
            np.concatenate(scores)[recent], np.concatenate(labels)[recent], time[recent], ("no", "yes")
        )
        importance = {"wind": 0.5, "hour": 0.45, "temp": 0.03, "carrier": 0.02, "unused": 0.0}
        return Baseline.fit(joined, time=time, evaluation=evaluation, importance=importance)

    def live(
        self,
        baseline: Baseline,
        days: int,
        change: Change | None = None,
        labels: Labels | None = None,
        known: float = 1.0,
    ) -> None:
        """Days of traffic: ``change`` is what reaches the model, ``labels`` what comes back, ``known`` the share of
        labels.
        """
        for _ in range(days):
            true = self.rows()
            seen = change(dict(true), self.rng) if change else true
            scores = self.scores(seen)
            y = labels(true, self.scores(true), self.rng) if labels else draw(self.scores(true), self.rng)
            y[self.rng.random(len(y)) >= known] = np.nan
            start = self.day * DAY
            card = baseline.scorecard(scores, y) if known else None
            self.blocks.append(Block(start, start + DAY, baseline.profile(seen, scores), card))
            self.day += 1


def draw(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (rng.random(len(scores)) < scores[:, 1]).astype(float)


def join(columns: list[Column]) -> Column:
    first = columns[0]
    if isinstance(first, Categorical):
        return categorical([c.levels[code] for c in columns if isinstance(c, Categorical) for code in c.codes])
    return np.concatenate(columns)  # type: ignore[arg-type]
