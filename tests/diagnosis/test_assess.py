"""What the loop is told about its champion's traffic, situation by situation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.diagnosis.streams import DAY, ROWS, Change, World, draw
from trimtab.core.diagnosis import Assessment, AssessSettings, assess
from trimtab.core.domain.diagnosis import Kind, Remedy
from trimtab.core.domain.verdict import Severity
from trimtab.core.performance import figures_of
from trimtab.core.profiles import Baseline, Categorical


@pytest.fixture(scope="module")
def start() -> tuple[Baseline, World]:
    world = World(np.random.default_rng(2013))
    return world.baseline(), world


def fresh(start: tuple[Baseline, World], seed: int) -> tuple[Baseline, World]:
    return start[0], World(np.random.default_rng(seed), day=start[1].day)


def empty(name: str) -> Change:
    def change(columns, _rng):  # type: ignore[no-untyped-def]
        columns[name] = np.full(len(columns[name]), np.nan)
        return columns

    return change


def scaled(name: str, factor: float, offset: float = 0.0) -> Change:
    def change(columns, _rng):  # type: ignore[no-untyped-def]
        columns[name] = columns[name] * factor + offset
        return columns

    return change


def stuck(name: str) -> Change:
    def change(columns, _rng):  # type: ignore[no-untyped-def]
        columns[name] = np.full(len(columns[name]), 12.3)
        return columns

    return change


def swapped(columns, _rng):  # type: ignore[no-untyped-def]
    columns["temp"], columns["wind"] = columns["wind"], columns["temp"]
    return columns


def upper(columns, _rng):  # type: ignore[no-untyped-def]
    carrier = columns["carrier"]
    assert isinstance(carrier, Categorical)
    columns["carrier"] = Categorical(carrier.codes, tuple(level.upper() for level in carrier.levels))
    return columns


def test_realised_and_estimated_figures_stand_beside_the_diagnosis(start: tuple[Baseline, World]) -> None:
    """Labels of the newest five days are still to come: what is to be expected of them is told, and of them alone."""
    baseline, world = fresh(start, 21)
    world.live(baseline, 20)
    blocks = world.blocks
    waiting = [replace(block, scorecard=None) for block in blocks[15:]]
    found = assess(baseline, [*blocks[:15], *waiting])
    assert found.realized["accuracy"].rows == 15 * ROWS
    assert found.estimated is not None
    assert found.estimated.rows == 5 * ROWS
    value, low, high = found.estimated.metrics["accuracy"]
    later = figures_of([block.scorecard for block in blocks[15:] if block.scorecard is not None])["accuracy"].value
    assert low <= later <= high
    assert low < value < high


def test_a_healthy_year_raises_nothing(start: tuple[Baseline, World]) -> None:
    """Seasons come and go, no two days are alike, the model is fine: no fault, no retrain, at any of 300 looks."""
    baseline, world = fresh(start, 1)
    world.live(baseline, 300)
    for upto in range(10, 301, 29):
        result = assess(baseline, world.blocks[:upto])
        assert result.faults == ()
        assert result.diagnosis.remedy in (Remedy.NONE, Remedy.WATCH)
        assert result.performance is not None
        assert not result.performance.alarm


@pytest.mark.parametrize(
    ("change", "code", "names"),
    [
        (empty("wind"), "MissingFlood", ("wind",)),
        (stuck("wind"), "ConstantColumn", ("wind",)),
        (scaled("wind", 1000.0), "UnitChange", ("wind",)),
        (scaled("hour", 60.0), "UnitChange", ("hour",)),
        (scaled("wind", -1.0, -200.0), "OutOfRange", ("wind",)),
        (swapped, "SwappedColumns", ("temp", "wind")),
        (upper, "RenamedCategories", ("carrier",)),
    ],
)
def test_a_fault_is_named_opened_and_closed(
    start: tuple[Baseline, World], change: Change, code: str, names: tuple[str, ...]
) -> None:
    """A feed breaks for two weeks: seen within two days, never answered by retraining, over within two days of its
    repair.
    """
    baseline, world = fresh(start, 3)
    world.live(baseline, 20)
    onset = world.day * DAY
    found = None
    for day in range(14):
        world.live(baseline, 1, change)
        result = assess(baseline, world.blocks)
        assert result.diagnosis.remedy is not Remedy.RETRAIN
        if result.diagnosis.kind is Kind.DATA_FAULT and found is None:
            found = day
    assert found is not None
    assert found <= 1
    assert {(fault.code, fault.features) for fault in result.faults} == {(code, names)}
    assert result.faults[0].since_s == onset
    assert result.faults[0].until_s is None
    assert result.diagnosis.since == onset
    repaired = world.day * DAY
    world.live(baseline, 3)
    result = assess(baseline, world.blocks)
    assert result.faults[0].until_s is not None
    assert repaired <= result.faults[0].until_s <= repaired + DAY
    assert result.diagnosis.kind is not Kind.DATA_FAULT


def test_a_fault_in_a_column_the_model_ignores_is_a_note(start: tuple[Baseline, World]) -> None:
    """A column that nobody uses goes empty: said, but minor, and quality is still watched."""
    baseline, world = fresh(start, 4)
    world.live(baseline, 10)
    world.live(baseline, 10, empty("unused"))
    result = assess(baseline, world.blocks)
    assert result.diagnosis.kind is Kind.DATA_FAULT
    assert result.diagnosis.severity is Severity.MINOR
    assert all(view.judged for view in result.blocks)


def test_a_sudden_change_of_the_relation_asks_for_a_retrain(start: tuple[Baseline, World]) -> None:
    """From one day on late hours are the punctual ones: inputs show nothing, labels do."""
    baseline, world = fresh(start, 5)
    world.live(baseline, 25)
    onset = world.day * DAY

    def flipped(_columns, scores, rng):  # type: ignore[no-untyped-def]
        y = draw(scores, rng)
        return np.where((scores[:, 1] > 0.15) & (rng.random(len(y)) < 0.8), 1 - y, y)

    world.live(baseline, 8, labels=flipped)
    result = assess(baseline, world.blocks)
    assert (result.diagnosis.kind, result.diagnosis.remedy) == (Kind.SUDDEN_DRIFT, Remedy.RETRAIN)
    assert result.diagnosis.since is not None
    assert abs(result.diagnosis.since - onset) <= 2 * DAY
    assert result.performance is not None
    assert result.performance.loss > result.performance.baseline_loss


def test_a_slow_change_is_called_gradual(start: tuple[Baseline, World]) -> None:
    """The relation wears off over two months."""
    baseline, world = fresh(start, 6)
    world.live(baseline, 20)
    for step in range(60):
        share = 0.6 * step / 60

        def worn(_columns, scores, rng, share=share):  # type: ignore[no-untyped-def]
            y = draw(scores, rng)
            return np.where(rng.random(len(y)) < share, 1 - y, y)

        world.live(baseline, 1, labels=worn)
    result = assess(baseline, world.blocks)
    assert (result.diagnosis.kind, result.diagnosis.remedy) == (Kind.GRADUAL_DRIFT, Remedy.RETRAIN)


def test_constant_labels_freeze_instead_of_retrain(start: tuple[Baseline, World]) -> None:
    """The label job fails and writes 0 for everything: the loss moves, the model is innocent."""
    baseline, world = fresh(start, 7)
    world.live(baseline, 20)
    onset = world.day * DAY
    world.live(baseline, 10, labels=lambda _columns, scores, _rng: np.zeros(len(scores)))
    result = assess(baseline, world.blocks)
    assert (result.diagnosis.kind, result.diagnosis.remedy) == (Kind.LABEL_FAULT, Remedy.FIX_LABELS)
    assert result.diagnosis.since == onset
    world.live(baseline, 5)
    result = assess(baseline, world.blocks)
    assert result.diagnosis.kind is not Kind.LABEL_FAULT
    assert result.faults[0].until_s == onset + 10 * DAY


def test_inputs_that_move_without_harm_never_ask_for_a_retrain(start: tuple[Baseline, World]) -> None:
    """A new campaign brings other customers: everything shifts, the model is as good as ever."""
    baseline, world = fresh(start, 8)
    world.live(baseline, 10)

    def later(columns, rng):  # type: ignore[no-untyped-def]
        columns["unused"] = columns["unused"] + 3.0
        columns["carrier"] = Categorical(
            rng.integers(2, 4, len(columns["unused"])).astype(np.int32), columns["carrier"].levels
        )
        return columns

    remedies = set()
    for _ in range(20):
        world.live(baseline, 1, later)
        remedies.add(assess(baseline, world.blocks).diagnosis.remedy)
    result = assess(baseline, world.blocks)
    assert result.drift is not None
    assert result.drift.drifted
    assert result.diagnosis.kind is Kind.HARMLESS_SHIFT
    assert Remedy.RETRAIN not in remedies


def test_early_labels_are_not_judged(start: tuple[Baseline, World]) -> None:
    """Cancellations come before stays: blocks with a third of their labels stay out."""
    baseline, world = fresh(start, 9)
    world.live(baseline, 10)
    world.live(baseline, 3, known=0.3)
    world.live(baseline, 1, known=0.0)
    result = assess(baseline, world.blocks)
    assert [view.judged for view in result.blocks] == [True] * 10 + [False] * 4
    assert result.performance is not None
    assert result.performance.blocks == 10


def test_a_block_that_still_fills_opens_only_what_is_certain(start: tuple[Baseline, World]) -> None:
    """At six in the morning all rows have the same weather; that is no stuck column. Empty values are empty at any
    hour.
    """
    baseline, world = fresh(start, 10)
    world.live(baseline, 10)
    now = world.day * DAY + 0.25 * DAY
    world.live(baseline, 1, stuck("wind"))
    assert assess(baseline, world.blocks, now_s=now).faults == ()
    assert assess(baseline, world.blocks).faults[0].code == "ConstantColumn"
    world.blocks.pop()
    world.live(baseline, 1, empty("wind"))
    assert assess(baseline, world.blocks, now_s=now).faults[0].code == "MissingFlood"


def test_nothing_to_look_at(start: tuple[Baseline, World]) -> None:
    """The first minutes after a deployment, and a quiet night."""
    baseline, world = fresh(start, 11)
    assert assess(baseline, []) == Assessment(assess(baseline, []).diagnosis)
    world.live(baseline, 2)
    result = assess(baseline, world.blocks, AssessSettings(rows_min=1000))
    assert result.faults == ()
    assert result.drift is None


def test_without_evaluation_there_is_no_performance_but_faults(start: tuple[Baseline, World]) -> None:
    """A version that somebody else registered, without out-of-sample losses."""
    _, world = fresh(start, 12)
    days = [world.rows() for _ in range(3)]
    baseline = Baseline.fit(days[0])
    world.live(baseline, 5, empty("wind"))
    result = assess(baseline, world.blocks)
    assert result.performance is None
    assert result.diagnosis.features == ("wind",)


def test_labels_that_turned_round_freeze_instead_of_retrain(start: tuple[Baseline, World]) -> None:
    """Since the deploy of the labelling job, 1 means no."""
    baseline, world = fresh(start, 21)
    world.live(baseline, 20)
    world.live(baseline, 10, labels=lambda _true, scores, rng: 1 - draw(scores, rng))
    result = assess(baseline, world.blocks)
    assert (result.diagnosis.kind, result.diagnosis.remedy) == (Kind.LABEL_FAULT, Remedy.FIX_LABELS)
    assert result.diagnosis.reasons[0].code == "LabelsTurned"
    assert result.diagnosis.since == pytest.approx((start[1].day + 20) * DAY, abs=2 * DAY)


def test_labels_of_other_rows_freeze_instead_of_retrain(start: tuple[Baseline, World]) -> None:
    """The join by id went wrong: each row gets another row's label."""
    baseline, world = fresh(start, 22)
    world.live(baseline, 20)
    world.live(baseline, 12, labels=lambda _true, scores, rng: rng.permutation(draw(scores, rng)))
    result = assess(baseline, world.blocks)
    assert (result.diagnosis.kind, result.diagnosis.remedy) == (Kind.LABEL_FAULT, Remedy.FIX_LABELS)
    assert [fault.code for fault in result.faults] == ["LabelsUnrelated"]
