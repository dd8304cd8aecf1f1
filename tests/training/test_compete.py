"""``strategy: auto``: full history and a window compete, and the rows that the gates look at take no part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.training.rows import START, frame, project, write
from trimtab.adapters.dvc import DvcStore
from trimtab.adapters.mlflow import MlflowRegistry
from trimtab.core.domain.times import DAY_S
from trimtab.training.compete import compete
from trimtab.training.history import load_history
from trimtab.training.pipeline import Services, run
from trimtab.training.select import select
from trimtab.training.spec import TrainSpec

NOW = START + 60 * DAY_S
CHANGE = START + 18 * DAY_S


def spec(**more: object) -> TrainSpec:
    return TrainSpec(**({"job": "t1", "trigger": "drift", "now": NOW, "strategy": "auto"} | more))  # type: ignore[arg-type]


def changed(table: pd.DataFrame) -> pd.DataFrame:
    """From day 18 on, what was late is in time, and the other way round."""
    after = table["sent_at"] >= pd.Timestamp(CHANGE, unit="s", tz="UTC")
    return table.assign(late=table["late"] ^ after)


def played(root: Path, table: pd.DataFrame, asked: TrainSpec, **settings: object):  # type: ignore[no-untyped-def]
    write(root, table)
    settled = project(estimator={"parameters": {"max_iter": 20}}, **settings)
    history = load_history(root, settled)
    return history, *compete(asked, settled, root, history, None)


def test_after_a_change_the_window_wins(tmp_path: Path) -> None:
    """A diagnosis said: concept drift since day 18. Older rows say the opposite of the truth."""
    history, spec_, contest = played(tmp_path, changed(frame(3000)), spec(since=CHANGE))
    assert contest is not None
    assert spec_.strategy == contest.winner == "sliding-window"
    assert spec_.since == CHANGE
    values = {candidate.strategy: candidate.value for candidate in contest.candidates}
    assert values["sliding-window"] < values["full"] - 0.05
    assert "sliding-window is better by log loss" in contest.text
    chosen = select(history.at, history.known_at, spec_, evaluation_share=0.2, label_maturity=None)
    assert history.at[chosen.order].min() >= CHANGE


def test_where_nothing_changed_all_history_wins(tmp_path: Path) -> None:
    """More of the same data is better than less."""
    _, spec_, contest = played(tmp_path, frame(3000), spec(window_s=4 * DAY_S))
    assert contest is not None
    assert spec_.strategy == contest.winner == "full"
    assert spec_.since is spec_.window_s is None
    assert [candidate.strategy for candidate in contest.candidates] == ["full", "sliding-window"]


@pytest.mark.parametrize("asked", [spec(), spec(since=CHANGE)])
def test_rows_of_the_gates_take_no_part(tmp_path: Path, asked: TrainSpec) -> None:
    """A winner that was chosen on the rows it is judged by would look better there than it is."""
    history, spec_, contest = played(tmp_path, changed(frame(3000)), asked)
    assert contest is not None
    chosen = select(history.at, history.known_at, spec_, evaluation_share=0.2, label_maturity=None)
    assert contest.block_until < chosen.evaluation_from


def test_full_history_is_taken_where_a_window_has_too_few_rows(tmp_path: Path) -> None:
    """The change was yesterday."""
    _, spec_, contest = played(tmp_path, frame(900), spec(since=START + 29.5 * DAY_S))
    assert contest is None
    assert spec_.strategy == "full"


def test_the_comparison_is_plain(tmp_path: Path) -> None:
    """It is kept with the run."""
    _, _, contest = played(tmp_path, frame(2000), spec())
    assert contest is not None
    record = contest.record()
    assert {"metric", "winner", "text", "candidates", "block_rows"} <= set(record)
    assert np.isfinite([candidate["value"] for candidate in record["candidates"]]).all()


def test_a_whole_run_keeps_the_comparison(tmp_path: Path) -> None:
    """`retraining.strategy: auto`: what is registered is the winner's, and why it won can be read a year later."""
    write(tmp_path, changed(frame(3000)))
    registry = MlflowRegistry(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts", "parcels", "parcels")
    settled = project(estimator={"parameters": {"max_iter": 20}})
    done = run(spec(since=CHANGE), Services(settled, tmp_path, registry, DvcStore(tmp_path)))
    assert done["contest"]["winner"] == "sliding-window"
    record = registry.get(done["version"])
    assert record.strategy == "sliding-window"
    assert record.trained_from >= CHANGE
