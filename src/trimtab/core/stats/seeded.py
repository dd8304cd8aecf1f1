"""Chance for methods that need some (breaking ties, drawing labels): from a seed that is an argument, so the same input
gives the same result."""

from __future__ import annotations

from numpy.random import PCG64, Generator  # noqa: TID251 - only from a seed that was given


def seeded(seed: int) -> Generator:
    """A generator that gives the same numbers for the same seed.

    >>> float(seeded(1).random()) == float(seeded(1).random())
    True
    """
    return Generator(PCG64(seed))
