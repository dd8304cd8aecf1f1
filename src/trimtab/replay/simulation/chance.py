"""Chance from one seeded numpy Generator, drawn in blocks: a simulation asks for millions of single numbers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import TypeVar

from numpy.random import PCG64, Generator  # noqa: TID251 - a simulation's chance begins here, from its seed

_BLOCK = 512

T = TypeVar("T")


def seeded(*seed: int) -> Generator:
    """The generator of a seed."""
    return Generator(PCG64(seed))


class Chance:
    """Single draws. The same generator state gives the same draws."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._drawn: list[float] = []

    def share(self) -> float:
        """Uniform in [0, 1)."""
        if not self._drawn:
            self._drawn = self._generator.random(_BLOCK).tolist()
        return self._drawn.pop()

    def happens(self, probability: float) -> bool:
        """True with this probability."""
        return self.share() < probability

    def below(self, count: int) -> int:
        """A whole number from 0 to ``count - 1``."""
        return int(self.share() * count)

    def one_of(self, items: Sequence[T]) -> T:
        """Any of the items, each as likely."""
        return items[self.below(len(items))]


class Wheel:
    """Draws one of several things by their weights."""

    def __init__(self, weights: dict[str, float]) -> None:
        self._names = list(weights)
        total = sum(weights.values())
        self._edges = [edge / total for edge in accumulate(weights.values())]

    def spin(self, chance: Chance) -> str:
        """A name, with probability proportional to its weight."""
        place = bisect_right(self._edges, chance.share())
        return self._names[min(place, len(self._names) - 1)]
