"""Scenarios through the production loop."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from trimtab.replay.drill import Drill, Wish, drill
from trimtab.replay.drill.ground import ground_of
from trimtab.replay.drill.html import to_html
from trimtab.replay.drill.report import to_json
from trimtab.replay.simulation.chance import seeded
from trimtab.wiring import open_workspace

NAMES = ("nulls", "gap", "duplicates", "labels", "nothing", "release")


@pytest.fixture(scope="module")
def done(parcels: Path) -> Drill:
    desk = open_workspace(parcels)
    return drill(desk.project, desk.root, desk.policy, desk.watching, Wish(NAMES, severity="high"))


def files(root: Path) -> dict[str, int]:
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def test_broken_pipelines_are_noticed_and_closed_again(done: Drill) -> None:
    """A column arrives empty, rows twice, none for days, labels all alike: each is answered by what mends it, people
    mend it three days later, and the incident is closed.
    """
    found = {each.name: each for each in done.findings}
    assert {name: found[name].wrong for name in NAMES} == dict.fromkeys(NAMES, ())
    assert [found[name].answer for name in NAMES] == ["fix-data", "fix-data", "fix-data", "fix-labels", "none", "abort"]
    for name in ("nulls", "gap", "duplicates", "labels"):
        assert found[name].trainings == 0
        whats = [event.what for event in found[name].events]
        assert whats.index("mended") < whats.index("incident closed")
    assert found["nulls"].named == found["nulls"].columns
    assert found["nulls"].noticed_s is not None
    assert found["nulls"].noticed_s < 3 * 86_400


def test_what_it_would_have_cost(done: Drill) -> None:
    """Without the loop the bad release answers everything; with it, next to nobody."""
    loss = next(each.loss for each in done.findings if each.name == "release")
    unbroken, without, with_loop = loss["unbroken"], loss["without"], loss["with"]
    assert unbroken is not None
    assert without is not None
    assert with_loop is not None
    assert without > 1.2 * unbroken
    assert with_loop < unbroken + 0.5 * (without - unbroken)
    calm = next(each.loss for each in done.findings if each.name == "nothing")
    assert calm["unbroken"] == calm["without"] == calm["with"]


def test_a_report_that_stands_alone(done: Drill) -> None:
    """The page is sent to somebody who has nothing else."""
    page = to_html(done)
    assert page.startswith("<!doctype html>")
    assert page.count("<svg") == len(NAMES)
    assert "http" not in page.replace("http-equiv", "")
    told = json.loads(to_json(done))
    assert told["passed"] is True
    assert [each["name"] for each in told["findings"]] == list(NAMES)


def test_concept_drift_is_retrained_and_nothing_of_the_project_is_touched(parcels: Path) -> None:
    """Outcomes flip in one half of a column: a new version is trained on real rows, passes its gates and is promoted;
    the project's folder is as before.
    """
    before = files(parcels)
    desk = open_workspace(parcels)
    (found,) = drill(desk.project, desk.root, desk.policy, desk.watching, Wish(("sudden",), seed=2)).findings
    assert files(parcels) == before
    assert (found.answer, found.wrong) == ("retrain", ())
    assert any(event.what.startswith("promoted version") for event in found.events)


def test_the_same_seed_gives_the_same_drill(parcels: Path) -> None:
    """A finding can be shown to somebody else."""
    desk = open_workspace(parcels)
    one, other = (
        drill(desk.project, desk.root, desk.policy, desk.watching, Wish(("unit",), seed=4)).findings[0] for _ in "ab"
    )
    assert (one.recipe, one.events, one.loss) == (other.recipe, other.events, other.loss)


def test_blocks_change_places_and_rows_stay_together(parcels: Path) -> None:
    """Days are exchanged, so that nothing drifts; within a day all stays as it was."""
    desk = open_workspace(parcels)
    real = ground_of(desk.project, desk.root, 20_000, "real", seeded(0))
    moved = ground_of(desk.project, desk.root, 20_000, "blocks", seeded(0))
    assert len(real.at) == len(moved.at)
    assert not np.array_equal(real.frame["distance"], moved.frame["distance"])
    days = [set(each.frame["distance"][each.at // 86_400 == each.at[3000] // 86_400]) for each in (real, moved)]
    homes = {int(day) for day in real.at[np.isin(real.frame["distance"], list(days[1]))] // 86_400}
    assert len(homes) == 1, "a block's rows come from one block"
    assert (np.diff(moved.at) >= 0).all()


def test_a_long_history_is_thinned_and_that_is_said(parcels: Path) -> None:
    """More rows than are played: the newest, and it is told."""
    desk = open_workspace(parcels)
    ground = ground_of(desk.project, desk.root, 2000, "real", seeded(0))
    assert len(ground.at) == 2000
    assert "rows" in ground.notes[0]
