"""The user's estimator: every way to get it wrong names the user's own file and line."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.training.rows import frame, project
from trimtab.core.domain.errors import EstimatorError
from trimtab.training.evaluate import estimator_answers
from trimtab.training.fit import build_estimator, fit

GOOD = """
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.impute import SimpleImputer

def make(C=1.0):
    numbers = make_column_selector(dtype_include="number")
    return make_pipeline(make_column_transformer((SimpleImputer(), numbers)), LogisticRegression(C=C))
"""


def _build(root: Path, name: str, code: str, function: str = "make", **parameters: object) -> object:
    (root / f"{name}.py").write_text(code)
    settings = project(estimator={"function": f"{name}:{function}", "parameters": parameters})
    try:
        return build_estimator(settings, root, frame(10)[["distance", "rain"]])
    finally:
        sys.modules.pop(name, None)
        sys.path.remove(str(root))


def test_parameters_reach_the_function(tmp_path: Path) -> None:
    """A pipeline with its preprocessing inside."""
    estimator = _build(tmp_path, "est_good", GOOD, C=0.25)
    assert estimator[-1].C == 0.25  # type: ignore[index]


def test_no_function_means_the_default(tmp_path: Path) -> None:
    """trimtab init writes no estimator."""
    estimator = build_estimator(project(), tmp_path, frame(10)[["distance", "carrier"]])
    assert hasattr(estimator, "predict_proba")


CASES = {
    "raises": (
        "def make():\n    return 1 / 0\n",
        r"est_bad.py:2: est_bad:make\(\) failed: ZeroDivisionError: division",
    ),
    "imports what is not there": ("import xgbost\n", r"est_bad.py:1: importing est_bad failed: ModuleNotFoundError"),
    "syntax": ("def make(:\n", r"est_bad.py:1: importing est_bad failed: SyntaxError"),
    "class instead of instance": (
        "from sklearn.linear_model import LogisticRegression\ndef make():\n    return LogisticRegression\n",
        r"est_bad:make returned the class LogisticRegression; return an instance: LogisticRegression\(\)",
    ),
    "no estimator": ("def make():\n    return {}\n", r"returned dict, which has no fit, predict, predict_proba"),
    "no scores": (
        "from sklearn.svm import LinearSVC\ndef make():\n    return LinearSVC()\n",
        r"returned LinearSVC, which has no predict_proba",
    ),
    "exits": ("import sys\ndef make():\n    sys.exit(3)\n", r"est_bad.py:3: est_bad:make\(\) failed: SystemExit: 3"),
}


@pytest.mark.parametrize("case", list(CASES))
def test_a_wrong_estimator_is_named_with_its_line(tmp_path: Path, case: str) -> None:
    """What a data scientist sees at the first `trimtab train`."""
    code, message = CASES[case]
    with pytest.raises(EstimatorError, match=message):
        _build(tmp_path, "est_bad", code)


def test_names_that_are_not_there_get_a_hint(tmp_path: Path) -> None:
    """Typos in trimtab.yaml."""
    with pytest.raises(EstimatorError, match=r"est_hint.py has no function 'mak'; did you mean 'make'\?"):
        _build(tmp_path, "est_hint", GOOD, "mak")
    settings = project(estimator={"function": "est_hnt:make"})
    with pytest.raises(EstimatorError, match=r"there is no module 'est_hnt' in .*; did you mean 'est_hint'\?"):
        build_estimator(settings, tmp_path, frame(5))
    with pytest.raises(
        EstimatorError, match=r"est_par:make\(D=2\) failed: TypeError: .*unexpected keyword argument 'D'"
    ):
        _build(tmp_path, "est_par", GOOD, D=2)


def test_a_failure_in_fit_names_the_users_line_where_it_passed_through_it(tmp_path: Path) -> None:
    """A transformer of the user's own meets a text it did not expect."""
    code = GOOD + (
        "\nclass Own(LogisticRegression):\n"
        "    def fit(self, X, y):\n"
        "        return float('heavy')\n"
        "def own():\n"
        "    return Own()\n"
    )
    estimator = _build(tmp_path, "est_own", code, "own")
    with pytest.raises(
        EstimatorError, match=r"est_own.py:13: Own.fit on 20 rows failed: ValueError: could not convert"
    ):
        fit(estimator, frame(20)[["distance"]], frame(20)["late"].to_numpy(), tmp_path)


def test_answers_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    """An estimator that divides by a zero variance."""

    class Strange:
        classes_ = np.array([False, True])

        def predict_proba(self, table: object) -> np.ndarray:
            return np.full((4, 2), np.nan)

    table = frame(4)[["distance"]]
    with pytest.raises(EstimatorError, match=r"Strange.predict_proba gave 8 values that are not finite numbers"):
        estimator_answers(Strange(), table, np.zeros(4), [False, True], 1, tmp_path)
    Strange.predict_proba = lambda self, table: np.ones((3, 2))  # type: ignore[method-assign]
    with pytest.raises(EstimatorError, match=r"gave an array of shape \(3, 2\), expected \(4, 2\)"):
        estimator_answers(Strange(), table, np.zeros(4), [False, True], 1, tmp_path)
