"""Servers that cannot record: told once, whatever else happens, and closed when they can again."""

from __future__ import annotations

from tests.decide.worlds import World, drifted
from trimtab.core.decide.actions import Alert, OpenIncident, Promote
from trimtab.core.decide.snapshot import Snapshot
from trimtab.core.domain.diagnosis import Kind, Remedy
from trimtab.core.domain.verdict import Severity

FULL = {"http://a": "it cannot be written since 4 s: No space left on device; 0 rows lost, 12 wait"}


def test_a_full_disk_is_told_once_and_its_end_too() -> None:
    """The log volume fills up on Friday and is mended on Monday: one message for each, not one per tick."""
    world = World().with_champion()
    assert world.tick(Snapshot(servers=1, unrecorded=FULL)) == ["OpenIncident"]
    assert [a.severity for a in world.decisions[-1].actions if isinstance(a, Alert)] == [Severity.SEVERE]
    for _ in range(5):
        world.tick(Snapshot(servers=1, unrecorded={"http://a": "other words by now"}))
        assert not world.decisions[-1].moves
    (incident,) = world.status.open_incidents
    assert (incident.kind, incident.remedy, incident.severity) == (
        Kind.SERVING_FAULT,
        Remedy.FIX_SERVER,
        Severity.SEVERE,
    )
    assert "No space left on device" in incident.text
    assert not incident.quarantines
    assert world.tick(Snapshot(servers=0)) == [], "no server answers: nothing is known"
    assert world.tick(Snapshot(servers=1)) == ["CloseIncident"]
    assert [a.severity for a in world.decisions[-1].actions if isinstance(a, Alert)] == [Severity.MINOR]
    assert world.tick(Snapshot(servers=1)) == []
    assert not world.status.open_incidents


def test_it_hides_no_other_trouble() -> None:
    """The model drifts while the disk is full: both are incidents."""
    world = World().with_champion()
    world.tick(Snapshot(servers=1, unrecorded=FULL))
    world.tick(Snapshot(event_time=1.0, assessment=drifted(), assessed=1, servers=1, unrecorded=FULL))
    assert {incident.kind for incident in world.status.open_incidents} > {Kind.SERVING_FAULT}


def test_a_new_champion_does_not_end_it() -> None:
    """A version is promoted while the disk is full: the disk is still full, and nobody is told of it again."""
    world = World().with_champion().with_candidate()
    world.tick(Snapshot(servers=1, unrecorded=FULL))
    assert world.status.rollout is not None
    world.apply((Promote(world.status.rollout.id, 2),))
    assert world.status.champion == 2
    assert [incident.kind for incident in world.status.open_incidents] == [Kind.SERVING_FAULT]
    world.tick(Snapshot(servers=1, unrecorded=FULL))
    assert not any(isinstance(action, OpenIncident) for action in world.decisions[-1].actions)
