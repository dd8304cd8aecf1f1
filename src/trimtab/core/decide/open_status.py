"""A status while it is folded: the same fields, changeable in place.

A journal of a hundred thousand entries is folded in one go; making a new frozen status after each entry would copy
every version and incident a hundred thousand times. Nobody sees this one: it is opened from a frozen status and closed
into a frozen status (trimtab.core.decide.fold).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

from trimtab.core.decide.status import Approval, Ended, Incident, Rollout, Run, Status, Training, Watch
from trimtab.core.domain.errors import InvariantError
from trimtab.core.domain.gate import VersionRecord

Routed = tuple[object, ...]

Value = TypeVar("Value")


@dataclass(slots=True)
class OpenStatus:
    """Fields mean what they mean in ``Status``."""

    seq: int
    at: float
    champion: int | None
    champion_since: float
    champion_generation: int
    previous: dict[int, None]
    """An ordered set, oldest first (``Status`` has it newest first)."""
    barred: set[int]
    versions: dict[int, VersionRecord]
    recorded_by: dict[int, int]
    waiting: int | None
    generation: int
    salt: str
    rollout: Rollout | None
    watch: Watch | None
    training: Training | None
    runs: list[Run]
    incidents: list[Incident]
    approvals: dict[str, Approval]
    declined_at: float | None
    served: set[int]
    returned_from: int | None
    ended: Ended | None
    answered: tuple[tuple[str, bool], ...]
    _places: dict[str, int] = field(default_factory=dict)
    """Id of an incident to where it stands in ``incidents``."""
    _open: dict[str, None] = field(default_factory=dict)
    """Ids of the incidents that have no end yet."""

    @classmethod
    def of(cls, status: Status) -> OpenStatus:
        """Opened; ``status`` itself stays as it is."""
        return cls(
            seq=status.seq,
            at=status.at,
            champion=status.champion,
            champion_since=status.champion_since,
            champion_generation=status.champion_generation,
            previous=dict.fromkeys(reversed(status.previous)),
            barred=set(status.barred),
            versions=dict(status.versions),
            recorded_by=dict(status.recorded_by),
            waiting=status.waiting,
            generation=status.generation,
            salt=status.salt,
            rollout=status.rollout,
            watch=status.watch,
            training=status.training,
            runs=list(status.runs),
            incidents=list(status.incidents),
            approvals=dict(status.approvals),
            declined_at=status.declined_at,
            served=set(status.served),
            returned_from=status.returned_from,
            ended=status.ended,
            answered=status.answered,
            _places={incident.id: place for place, incident in enumerate(status.incidents)},
            _open={incident.id: None for incident in status.incidents if incident.until is None},
        )

    def closed(self) -> Status:
        """As it stands now, frozen."""
        return Status(
            seq=self.seq,
            at=self.at,
            champion=self.champion,
            champion_since=self.champion_since,
            champion_generation=self.champion_generation,
            previous=tuple(reversed(self.previous)),
            barred=frozenset(self.barred),
            versions=dict(self.versions),
            recorded_by=dict(self.recorded_by),
            waiting=self.waiting,
            generation=self.generation,
            salt=self.salt,
            rollout=self.rollout,
            watch=self.watch,
            training=self.training,
            runs=tuple(self.runs),
            incidents=tuple(self.incidents),
            approvals=dict(self.approvals),
            declined_at=self.declined_at,
            served=frozenset(self.served),
            returned_from=self.returned_from,
            ended=self.ended,
            answered=self.answered,
        )

    def routed(self) -> Routed:
        """What the routes are made of but for their generation: equal exactly where the routes are."""
        rollout, watch = self.rollout, self.watch
        if self.champion is None:
            return ()
        if rollout is not None:
            paired = rollout.weight > 0 and rollout.plan.paired
            return self.champion, self.salt, "rollout", rollout.version, rollout.weight, paired
        return self.champion, self.salt, "watch", None if watch is None else watch.predecessor

    def add_incident(self, incident: Incident) -> None:
        """One more, open.

        Raises:
            InvariantError: there was one of that id: it could not be told which of them ends.
        """
        if incident.id in self._places:
            raise InvariantError(f"incident {incident.id} was opened before")
        self._places[incident.id] = len(self.incidents)
        self._open[incident.id] = None
        self.incidents.append(incident)

    def incident(self, name: str | None) -> Incident | None:
        """The incident of that id, open or ended."""
        place = None if name is None else self._places.get(name)
        return None if place is None else self.incidents[place]

    def open_incidents(self) -> tuple[Incident, ...]:
        """Those without an end."""
        return tuple(self.incidents[self._places[name]] for name in self._open)

    def put_incident(self, incident: Incident) -> None:
        """Another value for an incident that is known."""
        self.incidents[self._places[incident.id]] = incident
        if incident.until is not None:
            self._open.pop(incident.id, None)


def changed(value: Value, /, **changes: Any) -> Value:
    """``dataclasses.replace`` of one of the status's values, in a third of the time."""
    cls: Any = type(value)
    places, values_of = _shape(cls)
    values = list(values_of(value))
    for name, new in changes.items():
        values[places[name]] = new
    made: Value = cls(*values)
    return made


@cache
def _shape(cls: Any) -> tuple[dict[str, int], attrgetter[tuple[Any, ...]]]:
    """Where each field stands, and what reads them all."""
    names = tuple(cls.__dataclass_fields__)
    return {name: place for place, name in enumerate(names)}, attrgetter(*names)
