"""What a recipe works on: rows before and after a moment, and a seeded chance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd
    from numpy.random import Generator  # noqa: TID251 - the type of an argument

LEVELS = ("low", "middle", "high")
"""Severities, mildest first."""


class NotHereError(Exception):
    """The table has no column for this recipe."""


@dataclass
class Stage:
    """A table at the moment when something happens to it. Recipes change ``after`` (and, for a new segment, leave rows
    out of ``reference`` and ``before``), and say what they did.

    Text columns are of dtype object with None for missing, numbers float64 with NaN. Columns that are not in ``top``
    (an identifier of the row, say) are carried along untouched.
    """

    rng: Generator
    level: int
    """Place in ``LEVELS``."""
    reference: pd.DataFrame
    """What the model was trained on."""
    before: pd.DataFrame
    """Clean rows since."""
    after: pd.DataFrame
    """The rows from the moment on; more than ``size`` where recipes may leave rows out."""
    size: int
    """Rows under the incident in the end."""
    top: list[str]
    """Features, the most important first."""
    classes: int
    """Of the target, whose values are 0 … classes - 1; 0 for a number."""
    time: str = "event_time"
    target: str = "target"
    columns: list[str] = field(default_factory=list)
    """Columns that the recipe broke."""
    recipe: str = ""
    """What was done, in words."""

    def of(self, *choices: float) -> float:
        """The choice of this severity."""
        return choices[self.level]

    def numbers(self) -> list[str]:
        return [name for name in self.top if self.after[name].dtype != object]

    def texts(self) -> list[str]:
        return [name for name in self.top if self.after[name].dtype == object]

    def one(self, names: list[str], among: int = 3) -> str:
        """By chance one of the first ``among``.

        Raises:
            NotHereError: there is none.
        """
        if not names:
            raise NotHereError
        return names[int(self.rng.integers(min(among, len(names))))]

    def cut(self) -> None:
        """Keep the first ``size`` rows of ``after``."""
        self.after = self.after.iloc[: self.size].copy()

    def half(self) -> tuple[str, pd.Series[Any]]:
        """A column and which rows of ``after`` lie in about one half of its values.

        Raises:
            NotHereError: no column can be halved.
        """
        name = self.one([c for c in self.top if 0.15 < side(self.reference[c], self.reference[c]).mean() < 0.85])
        return name, side(self.reference[name], self.after[name])

    def flip(self, hit: npt.NDArray[np.bool_]) -> None:
        """The outcome of these rows becomes another class; a number is mirrored at the median."""
        y = self.after[self.target].to_numpy()
        other = (y + 1) % self.classes if self.classes else 2 * self.reference[self.target].median() - y
        self.after[self.target] = np.where(hit, other, y)


def side(reference: pd.Series[Any], values: pd.Series[Any]) -> pd.Series[Any]:
    """Which rows lie in about one half, by the column's value."""
    if reference.dtype == object:
        share = reference.value_counts(normalize=True)
        return values.isin(share.index[(share.cumsum() - share / 2) <= 0.5])
    found = values > reference.median()
    return found if 0.15 < found.mean() < 0.85 else values >= reference.median()


Break = Callable[[Stage], None]
