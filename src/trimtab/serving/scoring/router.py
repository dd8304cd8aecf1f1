"""Which version answers whom: a pure function of the routes and the entity (docs/formats.md)."""

from __future__ import annotations

from hashlib import blake2b

from trimtab.core.domain.routes import Routes


def share_of(salt: str, entity: str) -> float:
    """The entity's place in [0, 1).

    >>> round(share_of("r3", "N14228"), 3) == round(share_of("r3", "N14228"), 3)
    True
    """
    digest = blake2b(f"{salt}\0{entity}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


class Router:
    """Versions fill [0, 1) from the last of ``split`` upward, so who was in stays in as its weight grows."""

    __slots__ = ("_bounds", "_salt", "only")

    def __init__(self, routes: Routes) -> None:
        bounds, percent = [], 0
        for share in reversed(routes.split):
            if share.weight:
                percent += share.weight
                bounds.append((percent / 100, share.version))
        self._bounds = tuple(bounds)
        self._salt = routes.salt
        self.only = bounds[0][1] if len(bounds) == 1 else None
        """The version that answers everybody, where there is just one."""

    def choose(self, entity: str) -> int:
        """The version for this entity (or prediction id, where a request names no entity)."""
        if self.only is not None:
            return self.only
        place = share_of(self._salt, entity)
        for bound, version in self._bounds:
            if place < bound:
                return version
        return self._bounds[-1][1]  # the quotient rounds to 1.0 for the very last digests
