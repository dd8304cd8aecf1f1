"""Who may answer: single versions and means of several, named by their part, so that a part has a history.

'The newest full version' is another version after each run, but it is one role: on an old block its loss is that of
the version that filled it then. So a version that is new and has no labelled block yet is not a stranger: its role is
known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from trimtab.core.policy.facts import FIRST, FULL, WINDOW, Trained


class Role(NamedTuple):
    """The mean of the newest ``newest`` versions of some kinds."""

    name: str
    kinds: tuple[str, ...]
    newest: int | None
    """None: all of them."""


ROLES = (
    Role("the first version", (FIRST,), 1),
    Role("the newest full version", (FIRST, FULL), 1),
    Role("the mean of the newest 2 full versions", (FIRST, FULL), 2),
    Role("the mean of the newest 3 full versions", (FIRST, FULL), 3),
    Role("the newest version of a sliding window", (FIRST, WINDOW), 1),
    Role("the mean of the newest 2 versions of a sliding window", (FIRST, WINDOW), 2),
    Role("the mean of all versions", (FIRST, FULL, WINDOW), None),
    Role("the newest version", (FIRST, FULL, WINDOW), 1),
)
"""The first version fills a place until there are enough of the kind."""
FIRST_ROLE, FULL_ROLE, WINDOW_ROLE, NEWEST_ROLE = 0, 1, 4, 7
SINGLE = (FIRST_ROLE, FULL_ROLE, WINDOW_ROLE, NEWEST_ROLE)
"""Roles that one version fills."""


def members(role: Role, models: Sequence[Trained], block: int) -> tuple[int, ...]:
    """Positions in ``models`` of the versions that fill the role on a block: those that were not trained on it.

    >>> old, new = Trained(FIRST, 0, 0, 100.0), Trained(FULL, 5, 3, 175.0)
    >>> members(ROLES[1], (old, new), 2), members(ROLES[1], (old, new), 3)
    ((0,), (1,))
    """
    fit = [place for place, model in enumerate(models) if model.kind in role.kinds and model.until <= block]
    return tuple(fit if role.newest is None else fit[-role.newest :])
