"""What a campaign of kills.py must have left behind: outcomes, records, answers, processes."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from benchmarks.rollout.clients import Clients
from tests.loop.project import Project, until

from trimtab.serving.package import read_signature
from trimtab.serving.runtimes.loading import example_columns, load
from trimtab.wiring import Workspace

BAD = 2
STATED_LOSS_S = 1.0
UNDER_WAY_S = 0.5
"""An answer that the worker sent before its kill is received, and noted, this much later at most on busy processors."""


def judge(
    project: Project, desk: Workspace, clients: Clients, kills: list[tuple[float, str]], wrong: list[str]
) -> dict[str, Any]:
    """Everything that is held against the campaign; ``wrong`` says what was broken, in words."""
    wrong = [*wrong, *clients.failures]
    outcomes = _rollouts(desk, wrong)
    trainings = _trainings(desk, wrong)
    lost = _records(project, clients, kills, wrong)
    checked = _answers(desk, clients, wrong)
    _nothing_runs(project, wrong)
    if desk.journal.verify() is not None:
        wrong.append(f"the journal does not verify from entry {desk.journal.verify()} on")
    return {
        "rollouts": outcomes,
        "trainings": trainings,
        "answers_compared_with_their_version": checked,
        "records_lost_within_the_stated_second": lost,
        "wrong": wrong,
    }


def _rollouts(desk: Workspace, wrong: list[str]) -> dict[str, int]:
    """A bad version is aborted, every other is promoted: as without kills."""
    begun: dict[str, int] = {}
    ended: dict[str, str] = {}
    for entry in desk.journal.read():
        for action in entry.actions:
            if action["type"] == "StartRollout":
                begun[action["rollout"]] = action["version"]
            elif action["type"] in ("Promote", "Abort", "Supersede"):
                ended[action["rollout"]] = action["type"]
    counted: Counter[str] = Counter()
    for rollout, version in begun.items():
        wanted, found = "Abort" if version == BAD else "Promote", ended.get(rollout, "no end")
        counted[f"{'bad' if version == BAD else 'good'} version: {found}"] += 1
        if found != wanted:
            wrong.append(f"rollout {rollout} of version {version}: {found}, without kills {wanted}")
    return dict(sorted(counted.items()))


def _trainings(desk: Workspace, wrong: list[str]) -> dict[str, int]:
    begun, ended = [], {}
    for entry in desk.journal.read():
        for action in entry.actions:
            if action["type"] == "StartTraining":
                begun.append(action["job"])
            elif action["type"] == "FinishTraining":
                ended[action["job"]] = (action["outcome"], action["text"])
    for job in begun:
        outcome, text = ended.get(job, ("no end", ""))
        if outcome != "registered":
            wrong.append(f"training {job}: {outcome} {text}")
    scratch = [str(path) for path in (desk.state / "jobs").glob("*/scratch")]
    if scratch:
        wrong.append(f"scratch is left: {scratch}")
    return dict(sorted(Counter(ended.get(job, ("no end", ""))[0] for job in begun).items()))


def _records(project: Project, clients: Clients, kills: list[tuple[float, str]], wrong: list[str]) -> int:
    """None twice; what is missing was answered at most a second before a worker was killed."""
    folder = project.root / ".trimtab/logs/predictions"
    identities: list[str] = []
    for path in folder.rglob("*.parquet"):
        if not path.name.startswith((".", "_")):
            table = pq.ParquetFile(path).read(columns=["prediction_id", "shadow"])
            identities += table.filter(np.logical_not(table["shadow"].to_numpy()))["prediction_id"].to_pylist()
    twice = sum(count > 1 for count in Counter(identities).values())
    if twice or len({answer.identity for answer in clients.answers}) < len(clients.answers):
        wrong.append(f"{twice} predictions were logged twice")
    logged, at = set(identities), [when for when, kind in kills if kind == "worker"]
    missing = [answer for answer in clients.answers if answer.identity not in logged]
    wrong += [
        f"prediction {answer.identity}, answered at {answer.at:.3f}, is not in the log"
        for answer in missing
        if not any(-UNDER_WAY_S <= when - answer.at <= STATED_LOSS_S for when in at)
    ]
    return len(missing)


def _answers(desk: Workspace, clients: Clients, wrong: list[str]) -> int:
    """Each answer is the one that the version which it names gives for that row."""
    by_version: dict[int, list[Any]] = {}
    for answer in clients.answers:
        by_version.setdefault(answer.version, []).append(answer)
    for version, answers in sorted(by_version.items()):
        with tempfile.TemporaryDirectory() as folder:
            package = desk.registry.fetch(version, Path(folder) / "package")
            rows = [clients.row(answer.row) for answer in answers]
            model = load(package)
            found = model.predict(example_columns(read_signature(package), rows)).scores
        told = np.array([answer.scores for answer in answers])
        if found is None or not np.allclose(found, told.reshape(found.shape), atol=1e-6):
            wrong.append(f"answers that say version {version} are not that version's")
    return len(clients.answers)


def _nothing_runs(project: Project, wrong: list[str]) -> None:
    """After 'trimtab up' was ended: no process that names the project, and no card of a server."""

    def left() -> list[str]:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                inside = Path(path.parent / "cwd").resolve() == project.root.resolve()
            except OSError:
                continue
            if "trimtab" in words and "kills.py" not in words and (inside or f"{project.root}/" in words):
                found.append(f"{path.parent.name}: {words}")
        return found

    try:
        until(lambda: not left(), 30, "the end of all processes")
    except AssertionError:
        wrong += [f"still runs: {words}" for words in left()]
    cards = list((project.root / ".trimtab/deployment/servers").glob("*"))
    for path in cards:
        told = json.loads(path.read_text()) if path.suffix == ".json" else path.suffix
        wrong.append(f"a card is left: {path.name} {told}")
