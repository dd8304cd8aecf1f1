"""The frozen reference: what it remembers, how large it is, and that it reads back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trimtab.core.domain.errors import DataError, IntegrityError
from trimtab.core.profiles import Baseline, Categorical, Evaluation, categorical

GOLDEN = Path(__file__).parent / "baseline-v1.bin"


def small() -> Baseline:
    x = np.arange(40.0) / 4
    c = categorical([None if i % 7 == 0 else "ab"[i % 2] for i in range(40)])
    scores = np.stack([1 - x / 20, x / 20], axis=1)
    evaluation = Evaluation(scores, (np.arange(40) % 3 == 0).astype(float), np.arange(40) * 3600.0, ("no", "yes"))
    return Baseline.fit(
        {"x": x, "c": c}, time=np.arange(40) * 3600.0, evaluation=evaluation, importance={"x": 3.0, "c": 1.0}
    )


def test_golden_bytes() -> None:
    """A version that was trained last year is still watched by this year's program."""
    fitted, stored = small(), Baseline.from_bytes(GOLDEN.read_bytes())
    assert stored.layout.digest == fitted.layout.digest
    assert stored.importance == {"x": 0.75, "c": 0.25}
    assert stored.classes == ("no", "yes")
    np.testing.assert_array_equal(stored.total.counts, fitted.total.counts)
    np.testing.assert_array_equal(stored.blocks.counts, fitted.blocks.counts)
    np.testing.assert_allclose(stored.loss_blocks.sums, fitted.loss_blocks.sums)
    assert stored.evaluation.loss == pytest.approx(fitted.evaluation.loss)


def test_damage_is_noticed() -> None:
    """A disk flips a bit, a copy stops half-way, another file has the name."""
    data = bytearray(GOLDEN.read_bytes())
    data[len(data) // 2] ^= 1
    for broken, match in ((bytes(data), "damaged"), (bytes(data[:50]), "damaged"), (b"{}", "not a baseline")):
        with pytest.raises(IntegrityError, match=match):
            Baseline.from_bytes(broken)
    with pytest.raises(IntegrityError, match="found a profile"):
        Baseline.from_bytes(small().empty().to_bytes())


def test_thirty_features_stay_under_64_kb() -> None:
    """A profile is written each minute by each worker; a million rows take no more room than one."""
    rng = np.random.default_rng(0)
    columns = {f"x{i}": rng.normal(size=20_000) for i in range(20)}
    words = np.array([f"level {i}" for i in range(3000)])
    texts = {f"c{i}": categorical(list(words[rng.zipf(1.3, 20_000) % 3000])) for i in range(10)}
    baseline = Baseline.fit({**columns, **texts})
    profile = baseline.profile({**columns, **texts})
    raw = profile.counts.nbytes + profile.stats.nbytes + profile.low.nbytes + profile.high.nbytes
    assert raw < 64_000
    assert len(profile.to_bytes()) < 64_000


def test_each_edge_case_has_its_bin() -> None:
    """Values on an edge, below, above, missing and infinite are all counted, each once."""
    rng = np.random.default_rng(0)
    baseline = Baseline.fit({"x": rng.normal(size=5000)})
    feature = baseline.layout.features[0]
    low, high = feature.edges[0], np.nextafter(feature.edges[-1], -np.inf)
    profile = baseline.profile({"x": np.array([low, high, np.nextafter(low, -9), feature.edges[-1], np.nan, np.inf])})
    assert profile.counts[1] == 1, "the minimum is inside"
    assert profile.counts[0] == 1, "just below it is outside"
    assert profile.counts[feature.missing] == 1
    assert profile.counts[feature.missing - 1] == 2, "just above the maximum, and infinity"
    assert profile.counts.sum() == 6


def test_a_column_of_the_wrong_kind_is_counted_not_fatal() -> None:
    """Upstream sends '12.5' as text, or a word where a number was: serving goes on, monitoring sees it."""
    baseline = small()
    profile = baseline.profile({"x": categorical(["1.5", "n/a", None]), "c": np.array([1.0, 2.0, np.nan])})
    assert profile.stats[0, 0] == 1, "one text that is no number"
    assert profile.counts[: baseline.layout.starts[1]].sum() == 3
    assert profile.stats[1, 0] == 2
    assert profile.stats[1, 3] == 2, "levels '1' and '2' were never seen"


def test_unseen_levels_are_kept_by_name() -> None:
    """'UA' becomes 'ua' on a Tuesday: the alert should say so."""
    profile = small().profile({"c": categorical(["a", "A", "A", "B"])})
    assert dict(profile.names[1]) == {"A": 2, "B": 1}


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"columns": {}}, "at least one column"),
        ({"columns": {"x": np.zeros(0)}}, "one row"),
        ({"columns": {"x": np.zeros(3), "y": np.zeros(2)}}, "2 rows"),
        ({"columns": {"x": np.zeros(3, dtype=np.int64)}}, "float64"),
        ({"columns": {"x": Categorical(np.array([1], dtype=np.int32), ("a",))}}, "outside of"),
        ({"columns": {"x": np.zeros(3)}, "time": np.array([0.0, np.nan, 1.0])}, "1 of 3 event times"),
        ({"columns": {"x": np.zeros(3)}, "importance": {"x": -1.0}}, "not negative"),
        ({"columns": {"x": np.zeros(3)}, "evaluation": Evaluation(np.zeros((2, 2)), np.array([0.0, 2.0]))}, "label 2"),
    ],
)
def test_bad_input_is_named(arguments: dict[str, object], match: str) -> None:
    """A caller's mistake is answered with what was found."""
    with pytest.raises(DataError, match=match):
        Baseline.fit(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", ["normal", "heavy", "whole", "zeros"])
def test_the_short_cut_for_many_rows_bins_as_the_search_does(shape: str) -> None:
    """A batch of 100,000 rows and the same rows in small batches: exactly the same counts, edges, ties and gaps
    included.
    """
    rng = np.random.default_rng(6)
    x = rng.standard_cauchy(60_000) if shape == "heavy" else rng.normal(size=60_000)
    x = np.floor(40 * x) if shape == "whole" else np.where(x < 0, 0.0, x) if shape == "zeros" else x
    baseline = Baseline.fit({"x": x[:20_000]})
    edges = baseline.layout.features[0].edges
    hostile = np.concatenate([edges, np.nextafter(edges, np.inf), np.nextafter(edges, -np.inf)])
    x = np.concatenate([x, hostile, [np.nan, np.inf, -np.inf, 1e308, -1e308]])
    whole = baseline.profile({"x": x})
    total = baseline.empty()
    for start in range(0, len(x), 1000):
        total = total + baseline.profile({"x": x[start : start + 1000]})
    np.testing.assert_array_equal(whole.counts, total.counts)
    np.testing.assert_array_equal((whole.low, whole.high), (total.low, total.high))
