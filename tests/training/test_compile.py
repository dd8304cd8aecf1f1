"""Every kind of estimator gets the quickest runtime that gives its own answers, and a wrong one is found out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler, TargetEncoder
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from tests.serving.package_tools import build, flights
from trimtab.core.domain.errors import DataError, EstimatorError
from trimtab.serving.package import read_example
from trimtab.serving.runtimes import Model, load
from trimtab.serving.runtimes.trees import compiled
from trimtab.training import compile as compiling
from trimtab.training.compile_columns import columns_of
from trimtab.training.compile_trees import Trees
from trimtab.training.estimators import default_estimator

NUMBERS = ["hour", "wind"]
TREES = ("trees", "") if compiled() else ("onnx", "trees")
"""Runtime and form of tree ensembles, with a C compiler and without."""
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tests run side by side: threads that wait for each other on busy cores cost minutes."""
    with threadpool_limits(1):
        yield


def one_hot() -> ColumnTransformer:
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    texts = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="none"), OneHotEncoder(handle_unknown="ignore", min_frequency=3)
    )
    return ColumnTransformer([("n", numbers, NUMBERS), ("t", texts, ["carrier"]), ("b", "passthrough", ["holiday"])])


def wide_answers(model: Model, estimator: Any, frame: pd.DataFrame) -> None:
    """The loaded package against the estimator on rows that were in neither training nor parity."""
    outputs = model.predict(columns_of(frame, model.signature.inputs))
    if model.signature.task == "regression":
        np.testing.assert_allclose(outputs.prediction, estimator.predict(frame), rtol=1e-5)
        return
    assert (outputs.prediction == estimator.predict(frame)).all()
    if outputs.scores is not None:
        np.testing.assert_allclose(outputs.scores, estimator.predict_proba(frame), atol=1e-5)


def default_bool(frame: pd.DataFrame) -> Any:
    return default_estimator("classification", {"max_iter": 15}, frame)


Case = tuple[Callable[[pd.DataFrame], Any], list[str] | None, str, str]
CASES: dict[str, Case] = {
    "default": (default_bool, None, *TREES),
    "forest trained with missing": (lambda _: RandomForestClassifier(20, random_state=0), NUMBERS, *TREES),
    "boosting with missing": (lambda _: HistGradientBoostingClassifier(max_iter=15), NUMBERS, *TREES),
    "boosting, numeric categories": (
        lambda _: HistGradientBoostingClassifier(max_iter=15, categorical_features=[0]), NUMBERS, *TREES
    ),
    "one-hot logistic": (lambda _: make_pipeline(one_hot(), LogisticRegression()), None, "onnx", "float64"),
    "one-hot forest": (
        lambda _: make_pipeline(one_hot(), RandomForestClassifier(20, random_state=0)), None, *TREES
    ),
    "target encoding": (
        lambda _: make_pipeline(
            ColumnTransformer([("t", TargetEncoder(random_state=0), ["carrier"])], remainder="passthrough"),
            HistGradientBoostingClassifier(max_iter=15),
        ), None, *TREES,
    ),
    "a function of the user's": (
        lambda _: make_pipeline(
            FunctionTransformer(lambda f: f[NUMBERS].fillna(0.0).assign(squared=f["hour"] ** 2)), LogisticRegression()
        ), None, "native", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_an_estimator_gets_its_runtime_and_its_answers(name: str, tmp_path: Path) -> None:
    """A data scientist brings an estimator; what is served is what was trained."""
    make, columns, runtime, form = CASES[name]
    frame, late = flights(900)
    frame = frame[columns] if columns else frame
    estimator = make(frame).fit(frame.iloc[:400], late[:400])
    result = build(tmp_path / "v", estimator, frame.iloc[400:600])
    last = result.parity[-1]
    assert (result.runtime, last.form) == (runtime, form), result.reason
    assert last.passed
    assert last.largest <= 1e-5
    assert last.rows > 200
    assert last.row_us is not None
    wide_answers(load(tmp_path / "v", result.digest), estimator, frame.iloc[600:])


PLAIN: dict[str, tuple[Any, str]] = {
    "gradient boosting": (GradientBoostingClassifier(n_estimators=10, random_state=0), "trees"),
    "mlp": (make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=50, random_state=0)), "float64"),
    "calibrated logistic": (CalibratedClassifierCV(LogisticRegression(), cv=2), ""),
}


@pytest.mark.parametrize("name", PLAIN)
def test_estimators_that_take_no_missing_values(name: str, tmp_path: Path) -> None:
    """Rows that the estimator itself refuses are left out of the parity, noted, and refused when served."""
    estimator, form = PLAIN[name]
    frame, late = flights(600)
    numbers = frame[NUMBERS].fillna(0.0)
    result = build(tmp_path / "v", estimator.fit(numbers.iloc[:400], late[:400]), numbers.iloc[400:])
    last = result.parity[-1]
    assert last.passed
    assert last.left_out == 7  # three rows for each of two inputs, and the one with both
    assert "itself refuses 7 of" in result.notes[0]
    assert "missing:hour" in result.notes[0]
    if form:
        assert (last.runtime, last.form) == (TREES if form == "trees" else ("onnx", form)), result.reason
    model = load(tmp_path / "v")
    assert [spec.nullable for spec in model.signature.inputs] == [False, False]
    wide_answers(model, estimator, numbers)


def test_a_calibrated_forest_is_served_right_whatever_the_converter_makes_of_it(tmp_path: Path) -> None:
    """skl2onnx converts it wrongly for missing values; the package gives the trained answers all the same."""
    frame, late = flights(600)
    estimator = CalibratedClassifierCV(RandomForestClassifier(5, random_state=0), cv=2)
    estimator.fit(frame[NUMBERS].iloc[:400], late[:400])
    result = build(tmp_path / "v", estimator, frame[NUMBERS].iloc[400:])
    assert result.parity[-1].passed
    assert result.parity[-1].left_out == 0
    wide_answers(load(tmp_path / "v"), estimator, frame[NUMBERS])


@pytest.mark.parametrize("kind", ["text", "numbers", "many"])
def test_classes_of_each_type(kind: str, tmp_path: Path) -> None:
    """Labels in the data are words, or whole numbers, or more than two."""
    frame, late = flights(600)
    target = {
        "text": np.where(late, "late", "on time"),
        "numbers": late.astype(int),
        "many": np.array(["early", "late", "on time"])[np.digitize(frame["hour"], [10, 18])],
    }[kind]
    classes = np.unique(target).tolist()
    estimator = default_bool(frame).fit(frame.iloc[:400], target[:400])
    result = build(tmp_path / "v", estimator, frame.iloc[400:], classes, positive=None)
    model = load(tmp_path / "v", result.digest)
    assert result.runtime == TREES[0]
    assert model.signature.classes == tuple(classes)
    assert type(model.predict_row(["AA", 12, False, 1.0]).prediction) is type(classes[0])
    wide_answers(model, estimator, frame)


@pytest.mark.parametrize("estimator", [
    ExtraTreesRegressor(20, random_state=0), GradientBoostingRegressor(n_estimators=20, random_state=0), Ridge(),
], ids=["extra trees", "gradient boosting", "ridge"])  # fmt: skip
def test_regressions(estimator: Any, tmp_path: Path) -> None:
    """Demand, emission, delay in minutes: large values, where only a relative difference makes sense."""
    frame, _ = flights(600)
    numbers = frame[NUMBERS].fillna(0.0)
    target = 1e6 * numbers["hour"] + 1e5 * numbers["wind"]
    result = build(tmp_path / "v", estimator.fit(numbers.iloc[:400], target.iloc[:400]), numbers.iloc[400:], None)
    assert result.runtime == ("onnx" if isinstance(estimator, Ridge) else TREES[0]), result.reason
    wide_answers(load(tmp_path / "v"), estimator, numbers)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_the_default_regression(loss: str, tmp_path: Path) -> None:
    """The boosting's link (poisson: an exponential) is part of what is compiled."""
    frame, _ = flights(600)
    target = frame["hour"] * 1000.0
    estimator = default_estimator("regression", {"max_iter": 15, "loss": loss}, frame).fit(frame, target)
    result = build(tmp_path / "v", estimator, frame, None)
    assert (result.runtime, result.parity[-1].form) == TREES, result.reason
    wide_answers(load(tmp_path / "v"), estimator, frame)


def test_a_wrong_converter_is_found_out_and_the_next_runtime_taken(tmp_path: Path) -> None:
    """A converter forgets where missing values go: right on complete rows, wrong on the others."""
    frame, late = flights(600)
    forget = compiling_trees_without_missing()
    estimator = RandomForestClassifier(20, random_state=0).fit(frame[NUMBERS].iloc[:400], late[:400])
    complete = frame[NUMBERS].iloc[400:].dropna()
    with forget:
        result = build(tmp_path / "v", estimator, complete)
        unseen = build(tmp_path / "w", estimator, complete, hostile=False)
    wrong = result.parity[0]
    assert (wrong.runtime, wrong.form, wrong.passed) == (*TREES, False)
    assert 0 < wrong.differing < wrong.rows
    assert wrong.largest > 1e-3
    assert result.parity[-1].passed
    assert result.parity[-1] is not wrong
    assert "rows differ, by up to" in result.reason
    assert unseen.parity[0].passed, "complete rows alone do not show it: the hostile ones do"


def compiling_trees_without_missing() -> Any:
    from dataclasses import replace

    from trimtab.training import compile_candidates, compile_trees

    def forgetful(model: Any, *, classes: int | None) -> Trees:
        trees = compile_trees.read_trees(model, classes=classes)
        return replace(trees, default_left=np.zeros_like(trees.default_left))

    return mock.patch.object(compile_candidates, "read_trees", forgetful)


def test_a_slightly_perturbed_model_never_passes(tmp_path: Path) -> None:
    """One leaf of one tree is off by a thousandth."""
    from dataclasses import replace

    from trimtab.training import compile_candidates, compile_trees

    def perturbed(model: Any, *, classes: int | None) -> Trees:
        trees = compile_trees.read_trees(model, classes=classes)
        leaves = trees.leaves.copy()
        leaves[np.flatnonzero(trees.left < 0)[:3], 0] += 1e-3
        return replace(trees, leaves=leaves)

    frame, late = flights(600)
    estimator = default_bool(frame).fit(frame.iloc[:400], late[:400])
    with mock.patch.object(compile_candidates, "read_trees", perturbed):
        result = build(tmp_path / "v", estimator, frame.iloc[400:])
    assert not result.parity[0].passed
    assert 1e-5 < result.parity[0].largest < 1e-2
    assert result.parity[-1].runtime == result.runtime
    assert result.parity[-1].passed


class Refusing(ClassifierMixin, BaseEstimator):
    """Answers, until a value is odd."""

    def fit(self, X: Any, y: Any) -> Refusing:
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X: Any) -> Any:
        if (X["hour"] > 1e6).any():
            raise RuntimeError("hour is not an hour")
        second = X["hour"].fillna(0.0).to_numpy(float) / 24
        return np.column_stack((1 - second, second))

    def predict(self, X: Any) -> Any:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def test_the_users_own_class_is_served_natively_with_the_reasons(tmp_path: Path) -> None:
    """An estimator nobody else knows, which raises on some rows."""
    frame, late = flights(300)
    result = build(tmp_path / "v", Refusing().fit(frame, late), frame)
    assert result.runtime == "native"
    assert "not taken: onnx" in result.reason
    assert "hour is not an hour" in result.notes[0]
    assert "huge:hour" in result.notes[0]
    wide_answers(load(tmp_path / "v"), Refusing().fit(frame, late), frame)


def test_classes_by_a_threshold_and_classes_without_scores_stay_native(tmp_path: Path) -> None:
    """``predict`` is not the largest score: a compiled model would answer other classes."""
    frame, late = flights(600)
    numbers = frame[NUMBERS].fillna(0.0)
    low = FixedThresholdClassifier(LogisticRegression(), threshold=0.1).fit(numbers, late)
    result = build(tmp_path / "low", low, numbers)
    assert result.runtime == "native"
    assert "not those of the largest score" in result.reason
    wide_answers(load(tmp_path / "low"), low, numbers)
    margin = LinearSVC().fit(numbers, late)
    result = build(tmp_path / "margin", margin, numbers)
    assert "no predict_proba" in result.reason
    model = load(tmp_path / "margin")
    assert model.predict_row([12, 1.0]).scores is None
    wide_answers(model, margin, numbers)


def test_times_reach_a_native_model_as_the_times_it_was_trained_on(tmp_path: Path) -> None:
    """The estimator takes the hour from a datetime column; a request gives seconds since the epoch."""
    frame, late = flights(400)
    start = pd.Timestamp("2013-03-10 02:30", tz="UTC")
    frame["at"] = start + pd.to_timedelta(np.arange(400) * 977.5, unit="s")
    hours = FunctionTransformer(lambda f: f["at"].dt.hour.fillna(-1).to_frame())
    estimator = make_pipeline(hours, LogisticRegression()).fit(frame, late)
    result = build(tmp_path / "v", estimator, frame)
    model = load(tmp_path / "v", result.digest)
    assert result.runtime == "native"
    assert model.signature.inputs[-1].type == "datetime"
    seconds = columns_of(frame, model.signature.inputs)["at"]
    assert seconds[0] == start.timestamp()
    wide_answers(model, estimator, frame)


def test_pandas_own_types(tmp_path: Path) -> None:
    """Columns come as category, Int64, boolean or objects; missing values are pandas' own."""
    frame, late = flights(600)
    typed = pd.DataFrame({
        "carrier": frame["carrier"].astype("category"),
        "hour": frame["hour"].astype("Int64").where(frame["hour"] != 7),
        "holiday": frame["holiday"].astype("boolean"),
        "flag": pd.Series([None if i % 9 == 0 else bool(i % 2) for i in range(600)], dtype=object),
    })  # fmt: skip
    estimator = default_bool(typed).fit(typed.iloc[:400], late[:400])
    result = build(tmp_path / "v", estimator, typed.iloc[400:])
    assert result.runtime == TREES[0], result.reason
    model = load(tmp_path / "v")
    assert [spec.type for spec in model.signature.inputs] == ["string", "int64", "bool", "bool"]
    wide_answers(model, estimator, typed)


def test_high_cardinality_is_grouped_and_still_exact(tmp_path: Path) -> None:
    """A thousand destinations, more than the boosting has bins for."""
    frame, late = flights(3000)
    frame["dest"] = [f"D{int(value)}" for value in np.random.default_rng(1).exponential(150, 3000)]
    assert frame["dest"].nunique() > 400
    estimator = default_bool(frame).fit(frame.iloc[:2500], late[:2500])
    result = build(tmp_path / "v", estimator, frame.iloc[2500:])
    assert (result.runtime, result.parity[-1].form) == TREES, result.reason
    assert result.parity[-1].largest < 1e-12
    wide_answers(load(tmp_path / "v"), estimator, frame.iloc[2500:])


def test_columns_without_any_value(tmp_path: Path) -> None:
    """A column of the window is empty: the upstream job failed for the whole of it."""
    frame, late = flights(400)
    frame["nothing"], frame["no text"] = np.nan, pd.Series([None] * 400, dtype=object)
    estimator = default_bool(frame).fit(frame, late)
    result = build(tmp_path / "v", estimator, frame)
    assert result.runtime == TREES[0], result.reason
    wide_answers(load(tmp_path / "v"), estimator, frame)
    with pytest.raises(DataError, match="no column to learn from; found nothing is float64, no text is string"):
        default_bool(frame[["nothing", "no text"]])


def test_the_example_holds_real_rows_and_the_one_with_everything_missing(tmp_path: Path) -> None:
    """The server's proof covers the missing direction of the trees too."""
    frame, late = flights(400)
    build(tmp_path / "v", default_bool(frame).fit(frame, late), frame)
    example = read_example(tmp_path / "v")
    assert len(example.inputs) == 9
    assert set(example.inputs[-1].values()) == {None}
    assert type(example.inputs[0]["hour"]) is int
    assert type(example.inputs[0]["holiday"]) is bool


def test_bad_input_is_refused_and_nothing_is_left_behind(tmp_path: Path) -> None:
    """Each message names what was wrong."""
    frame, late = flights(200)
    estimator = default_bool(frame).fit(frame, late)
    (tmp_path / "there").mkdir()
    with pytest.raises(DataError, match="exists already"):
        build(tmp_path / "there", estimator, frame)
    with pytest.raises(DataError, match=r"no evaluation rows .* 0 rows, 4 columns"):
        build(tmp_path / "v", estimator, frame.iloc[:0])
    with pytest.raises(DataError, match=r"classes \['no', 'yes'\] are not the estimator's, which are \[False, True\]"):
        build(tmp_path / "v", estimator, frame, ["no", "yes"])
    with pytest.raises(DataError, match="at least two classes"):
        build(tmp_path / "v", estimator, frame, [True])
    with pytest.raises(DataError, match=r"column 'tags'.* holds values of type list"):
        build(tmp_path / "v", estimator, frame.assign(tags=[[1]] * 200))
    with pytest.raises(DataError, match=r"column 'mixed'.* holds values of type int, str"):
        build(tmp_path / "v", estimator, frame.assign(mixed=pd.Series([1, "a"] * 100, dtype=object)))
    with pytest.raises(EstimatorError, match="does not answer the evaluation rows"):
        build(tmp_path / "v", estimator, frame[["hour"]])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there"]


def test_the_default_estimator_refuses_by_name() -> None:
    """A typing error in the project file's parameters, and a table of times only."""
    frame, _ = flights(20)
    with pytest.raises(EstimatorError, match=r"'learning_rat' .* did you mean 'learning_rate'"):
        default_estimator("classification", {"learning_rat": 0.1}, frame)
    times = pd.DataFrame({"at": pd.to_datetime(["2013-01-01"])})
    with pytest.raises(DataError, match="no column to learn from; found at is datetime"):
        default_estimator("classification", {}, times)


def test_the_default_estimator_leaves_times_out_and_takes_parameters() -> None:
    """What the project file says reaches the boosting."""
    frame, late = flights(300)
    frame["at"] = pd.Timestamp("2013-01-01") + pd.to_timedelta(np.arange(300), unit="h")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = default_estimator("classification", {"max_iter": 7, "random_state": 3}, frame).fit(frame, late)
    assert fitted[-1].n_iter_ == 7
    assert fitted[-1].random_state == 3
    assert fitted[-1].is_categorical_.tolist() == [True, True, False, False]
    shuffled = frame.assign(at=frame["at"].to_numpy()[::-1])
    assert (fitted.predict_proba(frame) == fitted.predict_proba(shuffled)).all()
    assert compiling.TOLERANCE == 1e-5


@pytest.mark.parametrize("cast", ["text", "codes"])
def test_a_boosting_that_codes_its_categories_by_itself(cast: str, tmp_path: Path) -> None:
    """``categorical_features="from_dtype"`` is the shortest way to write it; unseen goes where missing goes."""
    frame, late = flights(900)
    name = "carrier" if cast == "text" else "hour"
    typed = frame.assign(**{name: frame[name].astype("category")})[[name, "wind"]]
    estimator = HistGradientBoostingClassifier(max_iter=15, categorical_features="from_dtype")
    result = build(tmp_path / "v", estimator.fit(typed.iloc[:400], late[:400]), typed.iloc[400:600])
    assert (result.runtime, result.parity[-1].form) == TREES, result.reason
    model = load(tmp_path / "v")
    wide_answers(model, estimator, typed.iloc[600:])
    unseen = "ZZ" if cast == "text" else 99
    assert model.predict_row([unseen, 2.0]) == model.predict_row([None, 2.0])


def test_a_forest_that_splits_missing_values_off_does_not_hang_the_converter(tmp_path: Path) -> None:
    """skl2onnx searches for ever beside an infinite threshold; here it says so and the next form is tried."""
    from trimtab.serving.runtimes.heads import HeadSpec
    from trimtab.training.compile_onnx import estimator_to_onnx
    from trimtab.training.compile_trees import NotConvertibleError

    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 1))
    values[::2] = np.nan
    forest = RandomForestClassifier(3, max_depth=1, random_state=0).fit(values, np.isnan(values[:, 0]))
    assert any(np.isinf(tree.tree_.threshold).any() for tree in forest.estimators_)
    with pytest.raises(NotConvertibleError, match="splits missing values from the others"):
        estimator_to_onnx(forest, 1, "double", HeadSpec(link="scores"))
