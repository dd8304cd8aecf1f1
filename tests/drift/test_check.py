"""Drift alarms: rarely false, sensitive where rows can be exchanged, patient where days differ by nature."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab.core.domain.errors import DataError
from trimtab.core.drift import check
from trimtab.core.profiles import Baseline, Column, categorical, take_rows


def rows_of(rng: np.random.Generator, rows: int, numbers: int = 10) -> dict[str, Column]:
    out: dict[str, Column] = {f"x{i}": rng.normal(size=rows) for i in range(numbers)}
    out["count"] = rng.poisson(1.5, rows).astype(float)
    out["c"] = categorical([str(level) for level in rng.choice(["a", "b", "c", "d"], rows, p=[0.6, 0.2, 0.15, 0.05])])
    return out


def test_unchanged_rows_hardly_ever_alarm() -> None:
    """The same process, checked again and again, at sizes from 50 rows: at most the stated rate."""
    rng = np.random.default_rng(2)
    alarms = checks = 0
    for _ in range(8):
        baseline = Baseline.fit(rows_of(rng, 2000))
        for rows in (50, 200, 1000, 5000):
            for _ in range(5):
                alarms += check(baseline, baseline.profile(rows_of(rng, rows)), 0.05).drifted
                checks += 1
    # 160 checks at 0.05 make 8; 17 or more would be 3 standard deviations too many
    assert alarms <= 16


@pytest.mark.parametrize(
    ("name", "change", "direction"),
    [
        ("x0", lambda x, _: x + 0.5, "higher"),
        ("x0", lambda x, _: x - 0.5, "lower"),
        ("x0", lambda x, _: 1.6 * x, "wider"),
        ("x0", lambda x, rng: np.where(rng.random(len(x)) < 0.1, np.nan, x), "more missing"),
    ],
)
def test_one_changed_feature_is_found_and_named(name: str, change, direction: str) -> None:  # type: ignore[no-untyped-def]
    """One of a dozen features shifts, spreads, or goes missing; 500 rows show it."""
    rng = np.random.default_rng(4)
    baseline = Baseline.fit(rows_of(rng, 5000))
    current = rows_of(rng, 500)
    current[name] = change(current[name], rng)
    result = check(baseline, baseline.profile(current), 0.01)
    assert result.drifted
    assert [each.name for each in result.features.values() if each.alarm] == [name]
    assert result.features[name].direction == direction
    assert not result.calibrated
    assert "not calibrated" in result.note


def test_a_new_category_is_named() -> None:
    """A fifth product is sold from today: the level's name stands in the result."""
    rng = np.random.default_rng(4)
    baseline = Baseline.fit(rows_of(rng, 5000))
    current = rows_of(rng, 500)
    current["c"] = categorical([str(level) for level in rng.choice(["a", "b", "e"], 500, p=[0.5, 0.3, 0.2])])
    result = check(baseline, baseline.profile(current), 0.01)
    assert result.features["c"].alarm
    assert result.features["c"].unseen == pytest.approx(0.2, abs=0.06)


def days(rng: np.random.Generator, count: int, shift: float = 0.0) -> tuple[dict[str, Column], np.ndarray]:
    """Each day has its own level, as weather has: rows of a day are alike."""
    level = np.repeat(rng.normal(shift, 0.5, count), 200)
    time = np.repeat(np.arange(count) * 86400.0, 200) + rng.uniform(0, 86000, 200 * count)
    return {"x": level + rng.normal(size=len(level)), "y": rng.normal(size=len(level))}, time


def test_days_that_differ_by_nature_are_not_drift() -> None:
    """Exchangeable-row tests cry wolf each morning on weather; the baseline's own days are the measure."""
    rng = np.random.default_rng(8)
    columns, time = days(rng, 60)
    baseline = Baseline.fit(columns, time=time)
    naive = calm = 0
    for _ in range(40):
        today, _ = days(rng, 1)
        result = check(baseline, baseline.profile(today), 0.02)
        assert result.calibrated
        naive += min(each.ks for each in result.features.values()) > 1  # never: shows that figures are not alarms
        calm += not result.drifted
    assert naive == 0
    assert calm >= 37
    far, _ = days(rng, 1, shift=4.0)
    result = check(baseline, baseline.profile(far), 0.02)
    assert result.drifted
    assert result.method == "blocks"
    assert [each.name for each in result.features.values() if each.alarm] == ["x"]


def test_a_weeks_profile_is_compared_with_weeks() -> None:
    """Seven days in one profile vary less than one day: the baseline's days are joined to weeks."""
    rng = np.random.default_rng(8)
    columns, time = days(rng, 175)
    baseline = Baseline.fit(columns, time=time)
    week, _ = days(rng, 7)
    assert check(baseline, baseline.profile(week), 0.02).blocks == 25
    assert check(baseline, baseline.profile(week), 0.02, span_s=14 * 86400.0).blocks == 12


def test_a_date_column_does_not_alarm() -> None:
    """Somebody left the date among the features: it differs from every past day, by nature, and is listed as such."""
    rng = np.random.default_rng(8)
    columns, time = days(rng, 40)
    columns["day"] = np.floor(time / 86400)
    baseline = Baseline.fit(columns, time=time)
    today, _ = days(rng, 1)
    today["day"] = np.full(200, 99.0)
    result = check(baseline, baseline.profile(today), 0.05)
    assert result.features["day"].calendar
    assert not result.features["day"].alarm


def test_wrong_profile_and_alpha() -> None:
    """The champion changed between counting and checking."""
    a, b = Baseline.fit({"x": np.arange(100.0)}), Baseline.fit({"x": np.arange(101.0)})
    with pytest.raises(DataError, match="another baseline"):
        check(a, b.empty())
    with pytest.raises(DataError, match="between 0 and 1"):
        check(a, a.empty(), 1.0)
    part = take_rows({"x": np.arange(100.0)}, slice(0, 0))
    assert not check(a, a.profile(part)).drifted
