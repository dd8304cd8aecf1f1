"""What a journal of many decisions costs to read: the fold from its beginning, from a snapshot, and what people ask.

    python benchmarks/journal/measure.py [--entries 100000] [--url postgresql://...]

The journal is the life of an endpoint told again and again: a version is trained, passes its gates, meets traffic in
shadow and at four weights (with the figures that were looked at, as in production), is promoted and watched; a feed
breaks and is mended; people pause, resume and roll back. CPU seconds (user + system) of this process, in a process
that has just opened the journal; each figure is the median of five.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trimtab.adapters.files.state import FileShelf
from trimtab.adapters.sql import SqlJournal
from trimtab.controller import queries
from trimtab.controller.converge import World
from trimtab.controller.standing import status_of
from trimtab.controller.verdicts import rollout_verdict
from trimtab.core.decide import actions as act
from trimtab.core.decide.encode import encode
from trimtab.core.domain.diagnosis import Kind, Remedy
from trimtab.core.domain.gate import GateResult, VersionRecord
from trimtab.core.domain.journal import Draft, Query
from trimtab.core.domain.verdict import Reason, Severity, Verdict
from trimtab.core.rollout.analysis import analyse
from trimtab.core.rollout.facts import ArmCounts, Look, RolloutFacts
from trimtab.core.rollout.plan import RolloutPlan
from trimtab.replay.fakes import MemoryJobs, MemoryNotifier, MemoryRegistry, MemoryTarget

PLAN = RolloutPlan(steps=(5, 25, 50, 100))
GATES = tuple(
    GateResult(name, Verdict.SUCCESSFUL, f"{name}: 0.512 <= 0.524 + 0.010 (5,210 rows)", 0.512, 0.534)
    for name in ("performance", "latency", "parity")
)
REASON = Reason("LossWithinMargin", "loss difference -0.0013 < 0.01 (1,230 labelled rows, paired)", -0.0013, 0.01)
REPEATS = 5


def main() -> None:
    """Build the journal, measure, print JSON."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--entries", type=int, default=100_000)
    options.add_argument(
        "--url", help="a database whose journal is empty; default: an SQLite file in a temporary folder"
    )
    options.add_argument("--one", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.one:
        print(json.dumps(_timed(given.url, QUESTIONS[given.one])))
        return
    with tempfile.TemporaryDirectory() as folder:
        url = given.url or f"sqlite:///{Path(folder) / 'journal.db'}"
        began = time.process_time()
        build(url, given.entries)
        figures: dict[str, Any] = {"entries": given.entries, "build_cpu_s": round(time.process_time() - began, 2)}
        for name in QUESTIONS:
            figures[name] = round(statistics.median(_apart(name, url) for _ in range(REPEATS)), 3)
        print(json.dumps(figures, indent=2))


def _apart(name: str, url: str) -> float:
    """In a process of its own: nothing is warm but the file system."""
    command = [sys.executable, __file__, "--one", name, "--url", url]
    return float(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def build(url: str, entries: int) -> None:
    """A journal of so many decisions."""
    with SqlJournal(url) as journal:
        pending: list[Draft] = []
        head = journal.head()
        for draft in life(entries):
            pending.append(draft)
            if len(pending) == 5_000:
                head = journal.append(head, pending)[-1].seq
                pending = []
        if pending:
            journal.append(head, pending)


def life(entries: int) -> Iterator[Draft]:
    """So many decisions of an endpoint."""
    seq = 0
    evidence = figures_of_a_step()
    for version in range(1, entries):
        for actions, seen in chapter(version, seq):
            yield Draft(
                at=1_700_000_000.0 + 60.0 * seq,
                actor="controller",
                actions=tuple(encode(action) for action in actions),
                reasons=(asdict(REASON),),
                cause=seq if seq % 12 else None,
                evidence=evidence if seen else {},
            )
            seq += 1
            if seq == entries:
                return


def chapter(version: int, seq: int) -> Iterator[tuple[tuple[act.Action, ...], bool]]:
    """What becomes of one version: the actions of each decision, and whether figures stand beside them."""
    at, name, job, incident = 1_700_000_000.0 + 60.0 * seq, f"r{version}", f"t{version}", f"i{version}"
    alert = act.Alert(Severity.MODERATE, "wind arrives empty", "60 % of wind is missing since 05:00, 2 % before")
    if version > 1:
        yield (act.StartTraining(job, "drift", "full", until=at, champion=version - 1),), False
    record = VersionRecord(
        version, at, f"run{version}", f"{version:064x}", Verdict.SUCCESSFUL, GATES, version - 1, f"{version:032x}",
        metrics={"log_loss": 0.51, "roc_auc": 0.77},
    )  # fmt: skip
    ended = () if version == 1 else (act.FinishTraining(job, "registered", version),)
    yield (act.RecordVersion(record), *ended), False
    if version == 1:
        yield (act.DeployFirst(1),), False
        return
    yield (act.StartRollout(name, version, version - 1, PLAN), act.EnterStep(name, -1, 0)), False
    for step, weight in enumerate(PLAN.steps[:-1]):
        yield (act.EnterStep(name, step, weight),), True
    yield (act.PauseRollout(name),), False
    yield (act.ResumeRollout(name),), False
    yield (act.Promote(name, version),), True
    yield (
        (act.OpenIncident(incident, Kind.DATA_FAULT, Remedy.FIX_DATA, Severity.SEVERE, at, ("wind",), "x"), alert),
        True,
    )
    yield (act.CloseIncident(incident, at + 3600.0, "data-fault ended"), alert), False
    yield (act.EndWatch(version),), False


def figures_of_a_step() -> dict[str, Any]:
    """The evidence of a step as the controller writes it."""
    import numpy as np

    from trimtab.core.decide.rollouts import figures

    arm = ArmCounts(requests=500, errors=1)
    losses = np.linspace(0.0, 0.4, 600)
    look = Look(at_s=10.0, champion=arm, challenger=arm, paired_champion_loss=losses, paired_challenger_loss=losses)
    return figures(analyse(PLAN, RolloutFacts((look,)), 0.0, 7200.0))


@dataclass
class Reading:
    """What a question of people needs of a desk."""

    journal: SqlJournal
    world: World


def _timed(url: str, ask: Callable[[Any], object]) -> float:
    """CPU seconds of the question; what it imports was imported before."""
    folder = Path(url.removeprefix("sqlite:///")).parent if url.startswith("sqlite") else Path(tempfile.gettempdir())
    shelf = FileShelf(folder / "status.snapshot")
    with SqlJournal(url) as journal:
        world = World(MemoryRegistry(), MemoryTarget(), MemoryJobs(), MemoryNotifier(), Nowhere(), shelf=shelf)
        journal.head()
        began = time.process_time()
        ask(Reading(journal, world))
        return time.process_time() - began


class Nowhere:
    """No message is sent here."""

    def delivered(self) -> int:
        return 0

    def deliver(self, seq: int) -> None:
        """Nothing to remember."""


QUESTIONS: dict[str, Callable[[Any], object]] = {
    "fold_from_scratch_cpu_s": lambda desk: status_of(desk.journal, None),
    "fold_and_keep_snapshot_cpu_s": lambda desk: status_of(desk.journal, desk.world.shelf),
    "fold_from_snapshot_cpu_s": lambda desk: status_of(desk.journal, desk.world.shelf),
    "why_newest_cpu_s": lambda desk: queries.consequences(desk, queries.why(desk, desk.journal.head())[-1].seq),
    "history_newest_20_cpu_s": lambda desk: queries.history(desk, Query(limit=20, newest=True)),
    "history_page_in_the_middle_cpu_s": lambda desk: queries.history(desk, Query(after=50_000, limit=100)),
    "history_of_a_version_cpu_s": lambda desk: queries.history(desk, Query(version=77)),
    "history_newest_of_a_kind_cpu_s": lambda desk: queries.history(desk, Query(kind="Promote", limit=20, newest=True)),
    "verdict_of_an_old_rollout_cpu_s": lambda desk: rollout_verdict(desk, "r77"),
    "verify_cpu_s": lambda desk: desk.journal.verify(),
}


if __name__ == "__main__":
    main()
