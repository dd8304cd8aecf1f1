"""What the data plane is told: which version answers which share, and which ones only watch."""

from __future__ import annotations

from dataclasses import dataclass, field

from trimtab.core.domain.errors import InvariantError


@dataclass(frozen=True, slots=True)
class Share:
    """A version and its weight in percent of the entities."""

    version: int
    weight: int


@dataclass(frozen=True, slots=True)
class Routes:
    """The content of ``routes.json``: weights sum to 100 and no version stands twice.

    ``shadow`` lists versions that score every request that they did not answer, after the answer was sent.
    During a canary both arms stand in it, so that each request is scored by both: the paired comparison.
    """

    generation: int
    """Grows by one with each change; servers report the generation they serve."""
    salt: str
    """Of the rollout: hashed with the entity, so that the same entities are not the guinea pigs of every rollout."""
    split: tuple[Share, ...]
    """First the champion, then the challenger. Entities fill the challenger's share from the low end of the hash,
    so who was in stays in as the share grows."""
    shadow: tuple[int, ...] = ()
    arms: dict[int, str] = field(default_factory=dict)
    """``champion`` or ``challenger`` for each version in ``split`` and ``shadow``."""
    warm: tuple[int, ...] = field(default=(), compare=False)
    """Earlier champions that servers keep loaded, so that a rollback only moves weights. They answer nobody and score
    nothing: routes that differ in them alone are equal."""

    def __post_init__(self) -> None:
        versions = [share.version for share in self.split]
        if not versions or len(set(versions)) != len(versions):
            raise InvariantError(f"routes must name each version once, found {versions}")
        weights = [share.weight for share in self.split]
        if sum(weights) != 100 or min(weights) < 0:
            raise InvariantError(f"weights must sum to 100 and none be negative, found {weights}")

    @property
    def versions(self) -> frozenset[int]:
        """Every version that must be loaded before these routes are served; ``warm`` ones may follow."""
        return frozenset(share.version for share in self.split) | frozenset(self.shadow)
