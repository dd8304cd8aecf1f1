"""Monitoring without rows: the servers' own profiles tell the controller what the rows would have told it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.controller.desk import FakeDesk
from tests.serving.test_records import slot
from trimtab.adapters.files.logs import ParquetLogReader
from trimtab.controller.comparison import Comparison
from trimtab.controller.observe import Champion, Observer, Settings
from trimtab.core.decide.status import Status
from trimtab.core.diagnosis.result import Assessment
from trimtab.core.domain.times import DAY_S
from trimtab.core.profiles import Baseline
from trimtab.core.profiles.baseline import Evaluation
from trimtab.core.rollout.plan import Guardrails
from trimtab.serving.package import InputSpec, RuntimeSpec, Signature
from trimtab.serving.record.recorder import Recorder
from trimtab.serving.record.records import BlockRecord
from trimtab.serving.record.settings import LogSettings
from trimtab.serving.record.writer import LogWriter

SIGNATURE = Signature(
    model="m",
    task="classification",
    target="y",
    inputs=(InputSpec("a", "float64"), InputSpec("b", "float64")),
    classes=("no", "yes"),
    runtime=RuntimeSpec("native", ()),
)
VALUES = Signature(model="m", task="regression", target="y", inputs=SIGNATURE.inputs, runtime=RuntimeSpec("native", ()))
START = 1_700_006_400.0
ROWS, DAYS, REFERENCE_DAYS = 300, 12, 40
STATUS = Status(champion=1, champion_generation=1)


def a_day(day: int, shifted: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and scores of a day; ``shifted``: the second input is far from all it ever was."""
    rng = np.random.default_rng([7, day])
    inputs = rng.normal(size=(ROWS, 2)) + (np.array([0.0, 20.0]) if shifted else 0.0)
    yes = 1 / (1 + np.exp(-inputs[:, 0]))
    return inputs, np.column_stack([1 - yes, yes])


def fitted() -> Baseline:
    """Of forty days before the first."""
    days = [a_day(1000 + day) for day in range(REFERENCE_DAYS)]
    inputs, scores = np.concatenate([i for i, _ in days]), np.concatenate([s for _, s in days])
    times = np.repeat(START - DAY_S * np.arange(REFERENCE_DAYS, 0, -1), ROWS) + np.tile(
        np.linspace(0, DAY_S - 1, ROWS), REFERENCE_DAYS
    )
    labels = (np.random.default_rng(1).random(len(scores)) < scores[:, 1]).astype(float)
    return Baseline.fit(
        {"a": inputs[:, 0].copy(), "b": inputs[:, 1].copy()},
        time=times,
        evaluation=Evaluation(scores, labels, times, ("no", "yes")),
    )


def serve(directory: Path, baseline: Baseline, log: LogSettings, shift_from: int) -> None:
    """Twelve days of traffic over two workers, as the server writes them."""
    folder = directory / "deployment" / "versions" / "1"
    folder.mkdir(parents=True)
    (folder / "baseline.bin").write_bytes(baseline.to_bytes())
    at = slot(SIGNATURE, 1)
    for worker in (0, 1):
        writer = LogWriter(directory / "logs", f"w{worker}", 5.0, 100_000, Recorder(log, directory / "deployment"))
        for day in range(DAYS):
            inputs, scores = a_day(day, shifted=day >= shift_from)
            times = (START + day * DAY_S + np.linspace(0, DAY_S - 1, ROWS)).tolist()
            mine = slice(worker, None, 2)
            ids = [f"{day}-{i}" for i in range(ROWS)][mine]
            answers = ["yes" if score > 0.5 else "no" for score in scores[mine, 1]]
            none = [None] * len(ids)
            times = times[mine]
            writer.add(
                BlockRecord(
                    at, 1, False, None, ids, times, times, none, [1.0] * len(ids), inputs[mine], answers, scores[mine]
                )
            )
        writer.start()
        writer.close()


def assessed(directory: Path, baseline: Baseline, *, from_profiles: bool) -> tuple[Observer, Assessment]:
    """What the controller makes of the log."""
    desk = FakeDesk()
    observer = Observer(
        ParquetLogReader(directory / "logs", profiles=from_profiles),
        desk.jobs,
        desk.target,
        lambda version: Champion(version, baseline),
        Settings(from_profiles=from_profiles),
    )
    observer.ingest(STATUS)
    assessment = observer.snapshot(STATUS).assessment
    assert assessment is not None
    return observer, assessment


@pytest.mark.parametrize("shift_from", [DAYS, 4])
def test_profiles_tell_what_rows_would_have_told(tmp_path: Path, shift_from: int) -> None:
    """The same traffic with rows and without: the same days, the same drift, the same verdict."""
    baseline = fitted()
    found: dict[bool, Any] = {}
    for rows in (True, False):
        place = tmp_path / str(rows)
        serve(place, baseline, LogSettings(rows=rows, bucket_s=DAY_S), shift_from)
        observer, assessment = assessed(place, baseline, from_profiles=not rows)
        assert assessment.drift is not None
        found[rows] = (
            observer.rows,
            observer.event_time,
            round(assessment.drift.p, 9),
            assessment.drift.drifted,
            [(fault.code, fault.features, fault.since_s, fault.text) for fault in assessment.faults],
            (assessment.diagnosis.kind, assessment.diagnosis.since, assessment.diagnosis.features),
            [(block.start_s, block.rows, block.faulty) for block in assessment.blocks],
        )
        assert bool(assessment.faults) == (shift_from < DAYS), "a shift that large is a fault of the column"
    assert not (tmp_path / "False" / "logs" / "predictions").exists()
    assert found[True] == found[False]


def serve_a_canary(directory: Path, log: LogSettings, regression: bool = False) -> None:
    """A tenth is answered by the challenger, both score everything; it is slower, fails at times, and shifts scores."""
    folder = directory / "deployment" / "versions" / "1"
    folder.mkdir(parents=True)
    (folder / "baseline.bin").write_bytes(fitted().to_bytes())
    champion = slot(VALUES if regression else SIGNATURE, 1)
    challenger = replace(slot(VALUES if regression else SIGNATURE, 2), champion=1)
    rng = np.random.default_rng(3)
    writer = LogWriter(directory / "logs", "w0", 60.0, 100_000, Recorder(log, directory / "deployment"))
    for block in range(40):
        inputs = rng.normal(size=(50, 2))
        times = (START + 90.0 * block + np.arange(50)).tolist()
        ids = [f"{block}-{i}" for i in range(50)]
        arms = [(champion, False, slice(5, 50)), (challenger, True, slice(5, 50))]
        arms += [(challenger, False, slice(0, 5)), (champion, True, slice(0, 5))]
        for at, shadow, part in arms if block % 2 else reversed(arms):
            yes = 1 / (1 + np.exp(-inputs[part, 0] - (0.3 if at is challenger else 0.0)))
            scores = np.column_stack([1 - yes, yes])
            failed = "model" if at is challenger and block % 8 == 0 and not shadow else None
            if block == 7 and at is challenger:
                scores[0] = np.nan
            n = len(scores)
            latency = rng.gamma(4.0, 12.0 if at is challenger else 5.0, n).tolist()
            answers: Any = inputs[part, 0] + at.version if regression else ["yes" if s > 0.5 else "no" for s in yes]
            writer.add(
                BlockRecord(
                    at,
                    block // 10,
                    shadow,
                    failed,
                    ids[part],
                    times[part],
                    times[part],
                    [None] * n,
                    latency,
                    None if shadow else inputs[part],
                    None if failed else answers,
                    None if failed or regression else scores,
                )
            )
    writer.start()
    writer.close()


@pytest.mark.parametrize("regression", [False, True])
@pytest.mark.parametrize("strategy", ["canary", "shadow"])
def test_a_rollout_is_judged_without_rows(tmp_path: Path, strategy: str, regression: bool) -> None:
    """No rows are logged (privacy): errors, slow answers, invalid outputs, latencies and the agreement of the versions
    reach the analysis all the same, and are what rows would have told.
    """
    baseline, found = fitted(), {}
    for rows in (True, False):
        place = tmp_path / str(rows)
        serve_a_canary(place, LogSettings(rows=rows), regression)
        reader = ParquetLogReader(place / "logs", profiles=not rows)
        desk = FakeDesk()
        observer = Observer(
            reader,
            desk.jobs,
            desk.target,
            lambda version: Champion(version, baseline),
            Settings(from_profiles=not rows),
        )
        ours = Comparison(1, 2, 1, 2400.0, Guardrails(latency_p95_ms_max=60.0), strategy == "shadow")
        observer._comparison = ours
        piece = reader.read(frozenset())
        observer._take(piece.predictions, piece.labels)
        if piece.traffic is not None:
            observer._take_traffic(piece.traffic)
        found[rows] = ours.facts(2)
    with_rows, without = found[True], found[False]
    assert without.step == with_rows.step
    assert len(without.looks) == len(with_rows.looks) > 2
    for mine, theirs in zip(without.looks, with_rows.looks, strict=True):
        for arm in ("champion", "challenger"):
            sums, counts = getattr(mine, arm), getattr(theirs, arm)
            assert (sums.requests, sums.errors, sums.invalid) == (counts.requests, counts.errors, counts.invalid)
            assert abs(sums.slow - counts.slow) <= 3, "slow to the bins of one per cent"
            some, all_of = getattr(mine, f"{arm}_latency_ms"), getattr(theirs, f"{arm}_latency_ms")
            assert len(some) == len(all_of)
            assert np.quantile(some, [0.5, 0.95]) == pytest.approx(np.quantile(all_of, [0.5, 0.95]), rel=0.011)
    total = [sum(look.compared for look in facts.looks) for facts in (without, with_rows)]
    assert total[1] - 50 <= total[0] <= total[1], "at most the first rows before the first shadow row are not compared"
    shift = [
        sum((look.score_shift for look in facts.looks if look.score_shift.size), np.zeros(29))
        for facts in found.values()
    ]
    assert shift[0] / total[1] == pytest.approx(shift[1] / total[0], abs=0.02)
    assert sum(look.challenger.requests for look in without.looks)
    assert any(look.challenger.slow for look in without.looks)
    assert any(look.disagreed for look in without.looks)


def test_a_sample_of_rows_and_the_profiles_of_all(tmp_path: Path) -> None:
    """A tenth of the rows is logged and no column in the open: what moved is seen on all of the traffic."""
    baseline = fitted()
    log = LogSettings(sample=0.1, omitted=("b",), bucket_s=DAY_S)
    serve(tmp_path, baseline, log, shift_from=4)
    observer, assessment = assessed(tmp_path, baseline, from_profiles=True)
    assert observer.rows == ROWS * DAYS
    assert [fault.features for fault in assessment.faults] == [("b",)]
    assert sum(block.rows for block in assessment.blocks) == ROWS * (DAYS - 1), "the last day is not over"
    logged = ParquetLogReader(tmp_path / "logs").read(frozenset())
    assert 0.05 < logged.predictions.num_rows / (ROWS * DAYS) < 0.15
    assert logged.profiles is None
    assert "x.b" not in logged.predictions.column_names


def test_profiles_of_another_package_or_an_earlier_time_do_not_count(tmp_path: Path) -> None:
    """The champion was retrained under the same number, or crowned later."""
    baseline = fitted()
    serve(tmp_path, baseline, LogSettings(rows=False, bucket_s=DAY_S), DAYS)
    desk = FakeDesk()
    reader = ParquetLogReader(tmp_path / "logs", profiles=True)
    other = Baseline.fit({"a": np.arange(500.0), "b": np.arange(500.0)})
    for status, known in ((STATUS, other), (Status(champion=1, champion_generation=2), baseline)):
        observer = Observer(
            reader, desk.jobs, desk.target, lambda v, k=known: Champion(v, k), Settings(from_profiles=True)
        )
        observer.ingest(status)
        assert observer.snapshot(status).assessment is None
        assert observer.rows == ROWS * DAYS
