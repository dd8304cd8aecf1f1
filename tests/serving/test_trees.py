"""Trimtab's own walk through trees: the trained model's numbers, compiled or not, and no file can lead it astray."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import treelite
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)

from trimtab.core.domain.errors import IntegrityError
from trimtab.serving.runtimes.trees import ForestArrays, NumpyWalker, compiled, depths_of, read_forest, walker
from trimtab.training.compile_forest import forest_of
from trimtab.training.compile_trees import Trees, read_trees

pytestmark = pytest.mark.filterwarnings(
    "ignore:invalid value encountered in cast"
)  # treelite's, where codes are missing
RNG = np.random.default_rng(0)
ROWS = np.round(RNG.normal(size=(400, 6)), 3)
ROWS[:, 5] = RNG.choice([0, 1, 2, 3, 64, 65, 66, 69], 400)
HOLES = np.where(RNG.random(ROWS.shape) < 0.1, np.nan, ROWS)
TWO = (ROWS[:, 0] + 2.0 * (ROWS[:, 5] % 2) + RNG.normal(size=400)) > 1
THREE = np.digitize(ROWS[:, 1] + RNG.normal(size=400), [-1, 1])

ESTIMATORS: dict[str, tuple[Callable[[], Any], np.ndarray, int | None]] = {
    "boosting with holes": (lambda: HistGradientBoostingClassifier(max_iter=13).fit(HOLES, TWO), HOLES, 2),
    "boosting of categories": (
        lambda: HistGradientBoostingClassifier(max_iter=9, categorical_features=[5]).fit(HOLES, TWO), HOLES, 2
    ),
    "boosting of three": (lambda: HistGradientBoostingClassifier(max_iter=5).fit(ROWS, THREE), ROWS, 3),
    "a number": (lambda: HistGradientBoostingRegressor(max_iter=9).fit(HOLES, ROWS[:, 0]), HOLES, None),
    "forest": (lambda: RandomForestClassifier(11, random_state=0).fit(ROWS, TWO), ROWS, 2),
    "forest with holes": (lambda: RandomForestClassifier(9, max_depth=5).fit(HOLES, TWO), HOLES, 2),
    "forest of three": (lambda: RandomForestClassifier(9, max_depth=5).fit(ROWS, THREE), ROWS, 3),
    "one tree": (lambda: ExtraTreesRegressor(1).fit(ROWS, ROWS[:, 0]), ROWS, None),
    "stumps that never split": (
        lambda: GradientBoostingClassifier(n_estimators=8, min_samples_leaf=300).fit(ROWS, TWO), ROWS, 2
    ),
}  # fmt: skip


def trees_of(name: str) -> tuple[Trees, np.ndarray, Any]:
    make, rows, classes = ESTIMATORS[name]
    estimator = make()
    if not name.startswith(("boosting", "a number")):  # these libraries see float32
        rows = rows.astype(np.float32).astype(np.float64)
    model = treelite.sklearn.import_model(estimator)
    return read_trees(model, classes=classes), rows, treelite.gtil.predict(model, rows, pred_margin=True)


def total(trees: Trees, raw: np.ndarray) -> np.ndarray:
    base = np.array(trees.base) if any(trees.base) else 0.0
    return raw + base


@pytest.mark.parametrize("name", ESTIMATORS)
def test_sums_are_treelites(name: str) -> None:
    """Holes, categories, several classes, vectors in the leaves, trees of one leaf."""
    trees, rows32, expected = trees_of(name)
    rows, forest = rows32, forest_of(trees)
    for walk in (walker(forest, single=False), NumpyWalker(forest, single=False)):
        raw = total(trees, walk.rows(rows32))
        flat = expected.reshape(len(rows), -1)
        np.testing.assert_allclose(raw, flat[:, -raw.shape[1] :], atol=1e-12)
        one = walk.row(rows32[7].tobytes())
        np.testing.assert_allclose(total(trees, np.array(one)), flat[7][-raw.shape[1] :], atol=1e-12)


@settings(max_examples=300, deadline=None)
@given(
    values=st.lists(
        st.one_of(st.floats(width=64), st.integers(-3, 80).map(float), st.sampled_from([0.0, -0.0, 0.5])),
        min_size=6, max_size=6,
    )
)  # fmt: skip
def test_compiled_and_numpy_agree_on_anything(values: list[float]) -> None:
    """Infinities, missing values, codes that no set has, halves of codes."""
    row = np.array([values])
    for forest in FORESTS:
        fast, slow = walker(forest, single=False), NumpyWalker(forest, single=False)
        np.testing.assert_allclose(fast.rows(row), slow.rows(row), rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(fast.row(row.tobytes()), fast.rows(row)[0])


FORESTS = [forest_of(trees_of(name)[0]) for name in ("boosting of categories", "boosting of three", "forest of three")]


@pytest.mark.parametrize("mode", range(4))
def test_every_comparison_of_every_library(mode: int) -> None:
    """XGBoost's trees go left below a threshold, scikit-learn's at or below it; equal values show the difference."""
    true = [lambda x, t: x <= t, lambda x, t: x < t, lambda x, t: x >= t, lambda x, t: x > t][mode]
    trees = Trees(
        roots=np.array([0]), left=np.array([1, -1, -1]), right=np.array([2, -1, -1]), feature=np.zeros(3, np.int64),
        mode=np.array([mode, 0, 0]), threshold=np.array([0.1, 0, 0]), default_left=np.array([True, False, False]),
        members=(np.empty(0),) * 3, leaves=np.array([[0.0], [1.0], [2.0]]), targets=np.zeros(1, np.int64),
        features=1, outputs=1, link="value", base=(),
    )  # fmt: skip
    forest = forest_of(trees)
    values = np.array([-np.inf, np.nextafter(0.1, 0), 0.1, np.nextafter(0.1, 1), np.inf])
    expected = np.where(true(values, 0.1), 1.0, 2.0)
    for walk in (walker(forest, single=False), NumpyWalker(forest, single=False)):
        np.testing.assert_array_equal(walk.rows(values[:, None])[:, 0], expected)
        assert walk.rows(np.array([[np.nan]]))[0, 0] == 1.0


def test_rows_are_rounded_as_forests_were_trained() -> None:
    """scikit-learn's forests see float32: a value between two of them falls where its rounding falls."""
    forest = replace(
        FORESTS[0], thresholds=np.array([np.float64(np.float32(0.1)), np.inf, np.inf]),
        yes=np.array([1, 1, 2], np.int32),
        features=np.zeros(3, np.int32), missing_yes=np.ones(3, np.uint8), kinds=np.zeros(3, np.uint8),
        words=np.zeros(0, np.uint64), leaves=np.array([[0.0], [1.0], [2.0]]), roots=np.zeros(1, np.int32),
        targets=np.zeros(1, np.int32), width=1, outputs=1,
    )  # fmt: skip
    above = np.array([[np.float64(np.float32(0.1)) + 1e-12]])
    assert walker(forest, single=False).rows(above)[0, 0] == 2.0
    for walk in (walker(forest, single=True), NumpyWalker(forest, single=True)):
        assert walk.rows(above)[0, 0] == 1.0


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    for at, forest in enumerate(FORESTS):
        (tmp_path / f"{at}").write_bytes(forest.to_bytes())
        found = read_forest(tmp_path / f"{at}")
        for name in ForestArrays.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(found, name), getattr(forest, name))


def first_inner(forest: ForestArrays, **more: Any) -> ForestArrays:
    """One number of the first node changed."""
    changed = {}
    for name, value in more.items():
        changed[name] = getattr(forest, name).copy()
        changed[name][0] = value
    return replace(forest, **changed)


BROKEN: dict[str, tuple[Callable[[ForestArrays], ForestArrays], str]] = {
    "a way out": (lambda f: first_inner(f, yes=len(f.yes) + 5), "a node leads out of the arrays"),
    "a way before": (lambda f: first_inner(f, yes=-2), "a node leads out of the arrays"),
    "past the end": (lambda f: first_inner(f, yes=len(f.yes) - 1), "a node leads out of the arrays"),
    "a circle": (lambda f: replace(f, yes=np.where(np.arange(len(f.yes)) == f.yes[0], 0, f.yes)), "round in a circle"),
    "a column too many": (lambda f: first_inner(f, features=6), "a feature is out of range"),
    "a column too few": (lambda f: first_inner(f, features=-1), "a feature is out of range"),
    "no such root": (lambda f: first_inner(f, roots=len(f.yes)), "a root is out of range"),
    "no such output": (lambda f: first_inner(f, targets=f.outputs), "an output is out of range"),
    "no trees": (lambda f: replace(f, roots=f.roots[:0], targets=f.targets[:0]), "it has no trees"),
    "one array short": (lambda f: replace(f, kinds=f.kinds[:-1]), "arrays differ in length"),
    "wide leaves": (lambda f: replace(f, leaves=np.zeros((len(f.yes), f.outputs + 3))), "leaves have another width"),
    "not a number": (lambda f: first_inner(f, thresholds=np.nan), "no known kind"),
    "a kind to come": (lambda f: first_inner(f, kinds=2), "no known kind"),
    "a set elsewhere": (lambda f: first_inner(f, kinds=1, thresholds=1e9), "a set is out of range"),
    "a set before": (lambda f: first_inner(f, kinds=1, thresholds=-3.0), "a set is out of range"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_damaged_file_is_refused(name: str, tmp_path: Path) -> None:
    """Compiled code follows the numbers of a file without looking: they are looked at once, before."""
    change, words = BROKEN[name]
    (tmp_path / "model.trees").write_bytes(change(FORESTS[1]).to_bytes())
    with pytest.raises(IntegrityError, match=words):
        read_forest(tmp_path / "model.trees")


def test_a_set_that_claims_more_words_than_there_are(tmp_path: Path) -> None:
    forest = FORESTS[0]
    words = forest.words.copy()
    words[0] = 2**63
    (tmp_path / "model.trees").write_bytes(replace(forest, words=words).to_bytes())
    with pytest.raises(IntegrityError, match="a set is out of range"):
        read_forest(tmp_path / "model.trees")


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 half a zip"])
def test_what_is_no_such_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.trees").write_bytes(content)
    with pytest.raises(IntegrityError, match="cannot be read"):
        read_forest(tmp_path / "model.trees")


def test_depths_are_those_of_the_longest_ways() -> None:
    trees, _, _ = trees_of("forest")
    forest = forest_of(trees)

    def depth(node: int) -> int:
        yes = int(forest.yes[node])
        return 0 if yes == node else 1 + max(depth(yes), depth(yes + 1))

    assert depths_of(forest).tolist() == [depth(int(root)) for root in forest.roots]


@pytest.mark.skipif(not compiled(), reason="installed without a C compiler")
def test_without_the_compiled_walk_numpy_walks() -> None:
    """An image was built without a C compiler: its answers are the same."""
    with mock.patch.dict(sys.modules, {"trimtab.serving.compiled": None}):
        assert isinstance(walker(FORESTS[0], single=False), NumpyWalker)
    assert not isinstance(walker(FORESTS[0], single=False), NumpyWalker)
