"""All scenarios that were asked for, one after the other, each on a fresh copy."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from trimtab.controller.observe import Settings
from trimtab.core.decide.policy import Mode, Policy
from trimtab.core.domain.diagnosis import Remedy
from trimtab.core.domain.errors import NotFoundError, UserError
from trimtab.core.domain.times import duration_text, iso
from trimtab.replay.drill.ground import Ground, Order, ground_of
from trimtab.replay.drill.judge import Finding, judge
from trimtab.replay.drill.models import Trained, Workshop
from trimtab.replay.drill.play import Release, begin
from trimtab.replay.drill.tape import Scene, scene
from trimtab.replay.incidents import LEVELS, RECIPES, NotHereError, Recipe
from trimtab.replay.incidents.worlds import nothing
from trimtab.replay.simulation.chance import seeded

if TYPE_CHECKING:
    import pandas as pd

    from trimtab.project.settings import Project

RELEASE = Recipe("release", "bad release", nothing, frozenset({Remedy.ROLLBACK}))
"""A version that is as good offline and meets other inputs where it is served."""
SCENARIOS: dict[str, Recipe] = {
    **{name: recipe for name, recipe in RECIPES.items() if name not in ("repeated", "stale")},
    RELEASE.name: RELEASE,
}
MEND_BLOCKS = 3
ROWS_MAX = 20_000
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be drilled."""

    scenarios: tuple[str, ...] = ()
    """Empty: all."""
    severity: str = "middle"
    seed: int = 0
    rows: int = ROWS_MAX
    order: Order = "blocks"
    mend_s: float | None = None
    """How long after they were told people mend a broken pipeline; None: three blocks."""


@dataclass(frozen=True, slots=True)
class Drill:
    """What came of it."""

    name: str
    """Of the endpoint."""
    severity: str
    seed: int
    order: str
    loss: str
    rows: int
    rows_there: int
    trained: int
    begins: str
    ends: str
    block_s: float
    mode: str
    findings: tuple[Finding, ...]
    skipped: tuple[tuple[str, str], ...]
    """(scenario, why it could not be played)."""
    notes: tuple[str, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether all answers were right."""
        return all(finding.right for finding in self.findings)


def drill(
    project: Project,
    root: Path,
    policy: Policy,
    settings: Settings,
    wish: Wish,
    progress: Progress = lambda _: None,
) -> Drill:
    """Play the scenarios on the project's data. Nothing of the project is changed.

    Args:
        project: the settings.
        root: where ``data.files`` and the estimator stand.
        policy: the project's; trainings by the calendar are left out.
        settings: how the project's log is judged.
        wish: what to play.
        progress: gets a line at each step.

    Raises:
        UserError: a scenario or severity that there is not.
        DataError: the files are not what the project says, or hold too few labelled rows.
        EstimatorError: the user's estimator fails on the unbroken rows.
    """
    wanted = _wanted(wish)
    began = perf_counter()
    progress("reading the data")
    ground = ground_of(project, root, wish.rows, wish.order, seeded(wish.seed, 1))
    policy = replace(policy, retrain=replace(policy.retrain, every_s=None))
    mend_s = MEND_BLOCKS * ground.block_s if wish.mend_s is None else wish.mend_s
    progress(f"training the first version on {ground.trained:,} rows")
    calm = scene(ground, RECIPES["nothing"], 1, [], seeded(wish.seed))
    ready = Workshop(ground).first(calm.reference)
    top = _ranked(ready, ground)
    findings, skipped = [], []
    for place, name in enumerate(wanted):
        recipe = SCENARIOS[name]
        progress(f"{place + 1} of {len(wanted)}: {recipe.title}")
        started = perf_counter()
        try:
            found = _one(ground, recipe, wish, top, policy, settings, mend_s, ready)
        except NotHereError:
            skipped.append((name, "no column of the data fits it"))
            continue
        findings.append(replace(found, seconds=perf_counter() - started))
    return Drill(
        name=project.name,
        severity=wish.severity,
        seed=wish.seed,
        order=wish.order,
        loss="Brier score / 2" if ground.classes else "absolute error",
        rows=len(ground.at),
        rows_there=ground.rows_there,
        trained=ground.trained,
        begins=iso(float(ground.at[ground.trained])),
        ends=iso(ground.end_s),
        block_s=ground.block_s,
        mode=policy.mode.value,
        findings=tuple(findings),
        skipped=tuple(skipped),
        notes=(*ground.notes, *_notes(policy, ready, mend_s)),
        seconds=perf_counter() - began,
    )


def _wanted(wish: Wish) -> tuple[str, ...]:
    unknown = [name for name in wish.scenarios if name not in SCENARIOS]
    if unknown:
        raise NotFoundError(f"there is no scenario '{unknown[0]}'; there are {', '.join(SCENARIOS)}")
    if wish.severity not in LEVELS:
        raise NotFoundError(f"there is no severity '{wish.severity}'; there are {', '.join(LEVELS)}")
    if wish.rows < 1000:
        raise UserError(f"a drill needs at least 1,000 rows, found {wish.rows}")
    return wish.scenarios or tuple(SCENARIOS)


def _one(
    ground: Ground,
    recipe: Recipe,
    wish: Wish,
    top: list[str],
    policy: Policy,
    settings: Settings,
    mend_s: float,
    ready: Trained,
) -> Finding:
    level = LEVELS.index(wish.severity)
    rng = seeded(wish.seed, zlib.crc32(recipe.name.encode()))
    found = scene(ground, recipe, level, top, rng)
    release = None
    if recipe is RELEASE:
        release, words = _bad_release(top, level, ground)
        found = Scene(found.reference, found.broken, found.clean, words, ())
    same = len(found.reference.at) == ground.trained
    play = begin(ground, found, policy, settings, mend_s, mendable=recipe.mendable, ready=ready if same else None)
    play.run(release)
    return judge(play, recipe, level, wish.severity)


def _bad_release(top: list[str], level: int, ground: Ground) -> tuple[Release, str]:
    """The features that matter most are never filled where the version is served."""
    names = top[: (1, 2, 4)[level]]
    failing = (0.0, 0.0, 0.1)[level]
    fill = {
        name: None if ground.frame[name].dtype == object else float(ground.frame[name].min(skipna=True))
        for name in names
    }

    def skew(features: pd.DataFrame) -> pd.DataFrame:
        return features.assign(**fill)

    words = f"a colleague releases a version whose online store never fills {', '.join(names)}"
    if failing:
        words += f"; {failing:.0%} of its requests fail"
    return Release(skew, failing), words


def _ranked(ready: Trained, ground: Ground) -> list[str]:
    """Features that can be broken, the most important first."""
    able = [name for name in ground.features if ground.frame[name].dtype == object or ground.frame[name].dtype == float]
    weight = ready.baseline.importance
    return sorted(able, key=lambda name: -weight.get(name, 0.0))


def _notes(policy: Policy, ready: Trained, mend_s: float) -> list[str]:
    notes = [
        f"people answer every question with yes at once, and mend a broken pipeline {duration_text(mend_s)} after they "
        "were told",
        "trainings take no time and are not packaged: latency, memory, parity and missing inputs are not asked at the "
        "gates",
    ]
    if policy.mode is Mode.OBSERVE:
        notes.append("response.mode is 'observe': the loop only says what is wrong, so nothing gets better by itself")
    if not policy.retrain.on_drift:
        notes.append("retraining.on has no 'drift': the loop says what is wrong and trains nothing")
    failed = [gate for gate in ready.record.gates if gate.verdict.value != "successful"]
    if failed:
        notes.append(
            f"the first version, trained on {np.round(100 * 0.4):.0f} % of the rows, did not pass "
            f"{', '.join(gate.gate for gate in failed)} ({failed[0].text}); it is played all the same"
        )
    return notes
