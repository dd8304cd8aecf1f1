"""What the summary says is what happened."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import results
import world
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.domain.journal import Entry

DAY_S = 86400.0


def entry(seq: int, *actions: dict[str, Any], actor: str = "controller", **more: Any) -> Entry:
    plain = {"reasons": (), "cause": None, "evidence": {}} | more
    return Entry(seq=seq, at=float(seq), actor=actor, actions=actions, previous="", digest="", **plain)


def flat(*entries: Entry) -> results.Actions:
    return [(each, action) for each in entries for action in each.actions]


@given(st.lists(st.booleans(), min_size=2).filter(lambda late: any(late) and not all(late)))
def test_quality_is_nought_for_the_base_rate_and_one_for_the_truth(late: list[bool]) -> None:
    """The scale of the two numbers that the demo ends with."""
    truth = np.array(late, dtype=float)
    assert results.quality(truth, np.full(len(truth), truth.mean())) == pytest.approx(0.0, abs=1e-12)
    assert results.quality(truth, truth) == pytest.approx(1.0, abs=1e-9)


def snapshot(root: Path, job: str, at: np.ndarray, empty: np.ndarray) -> None:
    folder = root / "data" / "snapshots" / job
    folder.mkdir(parents=True)
    column = pa.array(np.where(empty, np.nan, 1015.0), from_pandas=True)
    times = pa.array((at * 1e6).astype(np.int64), pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table({"departed_at": times, world.FAULT_COLUMN: column}), folder / "2013-09.parquet")
    folder.with_name(f"{job}.dvc").write_text("outs: []\n")


def test_rows_of_a_quarantined_window_are_found_in_a_snapshot(tmp_path: Path) -> None:
    """Had a training swallowed broken rows, the summary would say so."""
    desk: Any = SimpleNamespace(root=tmp_path)
    sound = world.FAULT_FROM - DAY_S * np.arange(1, 11)
    broken = world.FAULT_FROM + DAY_S * np.arange(3)
    snapshot(tmp_path, "t1", sound, np.zeros(10, bool))
    snapshot(tmp_path, "t2", np.concatenate([sound, broken]), np.r_[np.zeros(10, bool), np.ones(3, bool)])
    windows = [(world.FAULT_FROM, world.FAULT_FROM + 2 * DAY_S)]
    found = results.trained_rows(desk, windows)
    assert found == [
        {"job": "t1", "rows": 10, "quarantined": 0, "broken": 0},
        {"job": "t2", "rows": 13, "quarantined": 2, "broken": 3},
    ]


def test_windows_last_until_their_incident_closes() -> None:
    """A harmless shift quarantines nothing; an open fault everything after it."""
    opened = {"type": "OpenIncident", "features": []}
    windows = results.quarantined_windows(
        [
            entry(1, opened | {"incident": "i1", "kind": "data-fault", "since": 10.0}),
            entry(2, opened | {"incident": "i2", "kind": "harmless-shift", "since": 11.0}),
            entry(3, {"type": "CloseIncident", "incident": "i1", "until": 20.0}),
            entry(4, {"type": "CloseIncident", "incident": "i2", "until": 21.0}),
            entry(5, opened | {"incident": "i5", "kind": "label-fault", "since": 30.0}),
        ]
    )
    assert windows == [(10.0, 20.0), (30.0, float("inf"))]


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({}, True),
        ({"features": ["temp"]}, False),
        ({"kind": "sudden-drift"}, False),
        ({"since": world.FAULT_FROM - 9 * DAY_S}, False),
    ],
)
def test_only_the_right_diagnosis_counts(change: dict[str, Any], holds: bool) -> None:
    """Another column, another cause, or a date far off is not what happened."""
    action = {
        "type": "OpenIncident", "kind": "data-fault", "features": ["pressure", "temp"], "since": world.FAULT_FROM,
    }  # fmt: skip
    assert results.is_the_fault(action | change) is holds


def test_the_bad_version_is_the_second_that_a_person_registered() -> None:
    """The loop's own versions come from its controller."""

    def recorded(version: int) -> dict[str, Any]:
        return {"type": "RecordVersion", "record": {"version": version}}

    entries = [
        entry(1, recorded(1), actor="a colleague"),
        entry(2, recorded(2), {"type": "FinishTraining", "version": 2}),
        entry(3, {"type": "Promote", "version": 2, "rollout": "r3"}),
        entry(4, recorded(3), actor="a colleague"),
        entry(5, {"type": "Promote", "version": 3, "rollout": "r5"}),
    ]
    assert results.bad_version(flat(*entries)) == 3
    assert results.bad_version(flat(*entries[:3])) is None
    assert results.retrained(flat(*entries)) == [2]


def test_the_figure_that_decided_is_the_one_that_failed() -> None:
    """An abort is told by the metric that showed the harm, a promotion by its primary metric."""
    errors = {"role": "guardrail", "verdict": "successful", "text": "errors 0 %"}
    loss = {"role": "primary", "verdict": "successful", "text": "loss -0.01"}
    promoted = entry(1, {"type": "Promote"}, evidence={"metrics": [errors, loss]})
    assert results.deciding(promoted) == "loss -0.01"
    failed = errors | {"verdict": "failed", "text": "errors 9 %"}
    aborted = entry(2, {"type": "Abort"}, evidence={"metrics": [failed, loss]})
    assert results.deciding(aborted) == "errors 9 %"
    assert results.deciding(entry(3, {"type": "Note"}, reasons=({"text": "why"},))) == "why"
    assert results.deciding(entry(4)) == ""


def test_what_did_not_happen_is_named() -> None:
    """The demo's exit code is 0 only when all of it did."""
    good = {
        "retrains_promoted": 1, "data_fault_diagnosed": True, "trained_on_quarantined": False,
        "bad_version_aborted": True, "failed_requests": 0, "quality_with_loop": 0.08, "quality_without_loop": 0.05,
    }  # fmt: skip
    assert results.missed(good) == []
    for name, bad in {"retrains_promoted": 0, "trained_on_quarantined": True, "quality_with_loop": 0.05}.items():
        assert len(results.missed(good | {name: bad})) == 1


def test_the_summary_is_written_whole(tmp_path: Path) -> None:
    """Others read it by its keys."""
    results.write({"requests": 1}, tmp_path / "summary.json")
    assert json.loads((tmp_path / "summary.json").read_text()) == {"requests": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]
