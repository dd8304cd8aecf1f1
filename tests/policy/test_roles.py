"""Who fills a role on which block."""

from __future__ import annotations

from trimtab.core.policy import FIRST, FULL, ROLES, WINDOW, Trained, members

OLD = Trained(FIRST, 0, 0, 100.0)
FULLS = (Trained(FULL, 5, 3, 175.0), Trained(FULL, 9, 7, 275.0))
SLIDING = Trained(WINDOW, 12, 10, 350.0)


def filled(name: str, block: int) -> tuple[int, ...]:
    role = next(role for role in ROLES if role.name == name)
    return members(role, (OLD, *FULLS, SLIDING), block)


def test_a_version_never_fills_a_role_on_a_block_that_it_was_trained_on() -> None:
    """A model looks best on rows that it has seen."""
    assert filled("the newest full version", 2) == (0,)
    assert filled("the newest full version", 6) == (1,)
    assert filled("the newest full version", 7) == (2,)


def test_the_first_version_fills_in_until_there_are_enough() -> None:
    """After the first retraining, the mean of the newest two is the mean of new and old."""
    assert filled("the mean of the newest 2 full versions", 6) == (0, 1)
    assert filled("the mean of the newest 2 full versions", 7) == (1, 2)
    assert filled("the newest version of a sliding window", 9) == (0,)
    assert filled("the mean of all versions", 11) == (0, 1, 2, 3)
