"""Incremental training: a fitted estimator learns from new rows only, where its kind can.

    partial_fit         SGD, naive Bayes, neural networks: counts go on; what steps sees the rows a few times
    more iterations     histogram gradient boosting, gradient boosting: new trees on what the old ones leave
    new trees           forests: the oldest make room, so that the model keeps its size
    boosting from it    XGBoost (``xgb_model``), LightGBM and CatBoost (``init_model``)

The preprocessing of a pipeline stays as it was fitted: what it does not know it treats as it treats the unknown.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from trimtab.core.domain.errors import EstimatorError
from trimtab.training.fit import user_code

if TYPE_CHECKING:
    import pandas as pd

Way = Literal["partial_fit", "iterations", "stages", "trees", "xgb_model", "init_model"]

GROWTH = 0.25
"""Share of the configured trees or iterations that the new rows add."""
LEAST = 10
"""At least so many."""
PASSES = 10
"""Most times that an estimator which learns by steps sees the new rows."""
_STAGES = ("GradientBoostingClassifier", "GradientBoostingRegressor")
_FORESTS = ("RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor")
_HISTOGRAMS = ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor")
_FORGETS = "its warm_start only begins the search where the last one ended, and forgets the old rows"


def final_of(estimator: Any) -> Any:
    """The estimator itself, or the last step of a pipeline."""
    from sklearn.pipeline import Pipeline

    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    return estimator


def way_of(estimator: Any) -> Way | None:
    """How the estimator learns on; None where it cannot."""
    final = final_of(estimator)
    name, module = type(final).__name__, type(final).__module__.partition(".")[0]
    if module == "xgboost":
        return "xgb_model"
    if module in ("lightgbm", "catboost"):
        return "init_model"
    own = module == "sklearn"
    if own and name in _HISTOGRAMS:
        return "iterations" if hasattr(final, "_bin_data") and hasattr(final, "_preprocess_X") else None
    if own and name in _STAGES:
        return "stages"
    if own and name in _FORESTS:
        return "trees"
    return "partial_fit" if callable(getattr(final, "partial_fit", None)) else None


def obstacle(estimator: Any) -> str | None:
    """Why the estimator cannot be trained incrementally, in words; None where it can.

    >>> from sklearn.linear_model import LogisticRegression, SGDClassifier
    >>> obstacle(SGDClassifier())
    >>> obstacle(LogisticRegression()).partition(":")[0]
    'LogisticRegression cannot learn from new rows alone'
    """
    final = final_of(estimator)
    name = type(final).__name__
    way = way_of(estimator)
    if way is None:
        why = "it has no partial_fit, and no trees or iterations to add to"
        if hasattr(final, "warm_start"):
            why = _FORGETS
        elif hasattr(final, "estimator") or hasattr(final, "estimators"):
            why = "it has no partial_fit; what it wraps is refitted with it as a whole"
        return f"{name} cannot learn from new rows alone: {why}"
    if way == "partial_fit" and getattr(final, "class_weight", None) == "balanced":
        return f"{name} cannot learn from new rows alone: class_weight 'balanced' needs all rows; give weights by class"
    if way == "trees" and getattr(final, "class_weight", None) == "balanced":
        return f"{name} cannot learn from new rows alone: class_weight 'balanced' is not known by class"
    return None


def continued(estimator: Any, features: pd.DataFrame, target: npt.NDArray[Any], root: Path) -> tuple[Any, str]:
    """A copy of the fitted estimator that has learnt the new rows too, and what was done, in words.

    Args:
        estimator: fitted; left as it is.
        features: (n, columns) the new rows alone, with the columns that it was fitted on.
        target: (n,) what came of them.
        root: of the project, to name the user's own lines in complaints.

    Raises:
        EstimatorError: it cannot, or refuses these rows; with the reason.
    """
    why = obstacle(estimator)
    if why is not None:
        raise EstimatorError(why)
    learner = copy.deepcopy(estimator)
    final, way = final_of(learner), way_of(learner)
    _check_classes(final, target, all_of_them=way != "partial_fit")
    doing = f"{type(final).__name__}: continuing on {len(features):,} rows"
    with user_code(root, doing):
        inputs = _transformed(learner, features)
        if way == "partial_fit":
            words = _by_steps(final, inputs, target)
        elif way == "iterations":
            words = _more_iterations(final, inputs, target)
        elif way == "stages":
            words = _more_stages(final, inputs, target)
        elif way == "trees":
            words = _new_trees(final, inputs, target)
        else:
            learner, words = _boosted_from(learner, inputs, target, str(way))
    return learner, f"{words} on {len(features):,} new rows"


def _check_classes(final: Any, target: npt.NDArray[Any], *, all_of_them: bool) -> None:
    classes = getattr(final, "classes_", None)
    if classes is None:
        return
    known, found = set(np.asarray(classes).tolist()), set(target.tolist())
    if new := sorted(map(str, found - known)):
        raise EstimatorError(
            f"the new rows have a class that the model does not know ({', '.join(new)}): train in full"
        )
    if all_of_them and (missing := sorted(map(str, known - found))):
        raise EstimatorError(
            f"{type(final).__name__} needs rows of every class; the new ones lack {', '.join(missing)}"
        )


def _transformed(estimator: Any, features: Any) -> Any:
    """The rows as they reach the last step, by the preprocessing as it was fitted."""
    from sklearn.pipeline import Pipeline

    while isinstance(estimator, Pipeline):
        if len(estimator.steps) > 1:
            features = estimator[:-1].transform(features)
        estimator = estimator.steps[-1][1]
    return features


def _by_steps(final: Any, inputs: Any, target: npt.NDArray[Any]) -> str:
    """What counts (naive Bayes) sees each row once, or it would count it twice; what steps, as often as it did."""
    passes = min(PASSES, int(np.max(getattr(final, "n_iter_", 1))))
    if getattr(final, "best_loss_", 0.0) is None:  # of a network that was fitted with early stopping
        final.best_loss_ = np.inf
    with _without(final, early_stopping=False):
        for _ in range(max(1, passes)):
            final.partial_fit(inputs, target)
    return f"partial_fit, {passes} pass{'es' if passes > 1 else ''}"


def _more_iterations(final: Any, inputs: Any, target: npt.NDArray[Any]) -> str:
    """Histogram boosting bins the rows anew at each fit, and the old trees would read the new bins wrongly: so bins and
    codes stay those of the first fit while it learns on.
    """
    configured, before = int(final.max_iter), int(final.n_iter_)
    more = max(LEAST, round(GROWTH * configured))
    kind, mapper = type(final), final._bin_mapper
    final.__class__ = _frozen(kind)
    try:
        with _without(final, early_stopping=False, warm_start=True, max_iter=before + more):
            final.fit(inputs, target)
    finally:
        final.__class__ = kind
    if final._bin_mapper is not mapper or final.n_iter_ != before + more:
        raise EstimatorError(f"this scikit-learn's {kind.__name__} does not keep its bins while it learns on")
    return f"{more} iterations more"


def _frozen(kind: Any) -> Any:
    """The class with bins and codes that a fit does not renew."""

    def preprocess(self: Any, features: Any, *, reset: bool) -> Any:
        kept = kind._preprocess_X(self, features, reset=False)
        return (kept, None) if reset else kept

    def bins(self: Any, rows: Any, *arguments: Any, **more: Any) -> Any:
        self._bin_mapper = self.__dict__["_kept_mapper"]
        if "is_training_data" in more:
            more["is_training_data"] = False
        else:
            arguments = (*arguments[:-1], False)
        return np.asfortranarray(kind._bin_data(self, rows, *arguments, **more))

    def fit(self: Any, features: Any, target: Any) -> Any:
        self._kept_mapper = self._bin_mapper
        try:
            return kind.fit(self, features, target)
        finally:
            del self._kept_mapper

    return type(kind.__name__, (kind,), {"_preprocess_X": preprocess, "_bin_data": bins, "fit": fit})


def _more_stages(final: Any, inputs: Any, target: npt.NDArray[Any]) -> str:
    before = len(final.estimators_)
    more = max(LEAST, round(GROWTH * before))
    final.set_params(n_estimators=before + more)
    with _without(final, warm_start=True, n_iter_no_change=None):
        final.fit(inputs, target)
    return f"{more} trees more"


def _new_trees(final: Any, inputs: Any, target: npt.NDArray[Any]) -> str:
    before = len(final.estimators_)
    more = min(before, max(LEAST, round(GROWTH * before)))
    with _without(final, warm_start=True, n_estimators=before + more, oob_score=False):
        final.fit(inputs, target)
    final.estimators_ = final.estimators_[more:]
    return f"{more} of {before} trees new, the oldest gone,"


def _boosted_from(learner: Any, inputs: Any, target: npt.NDArray[Any], way: str) -> tuple[Any, str]:
    """The libraries' own continuation: the new booster holds the old one's trees and its own."""
    from sklearn.base import clone

    final = final_of(learner)
    parameters = final.get_params()
    counted = next((name for name in ("n_estimators", "iterations") if parameters.get(name)), "n_estimators")
    configured = int(parameters.get(counted) or 100)
    more = max(LEAST, round(GROWTH * configured))
    fresh = clone(final).set_params(**{counted: more})
    old = final.get_booster() if way == "xgb_model" else getattr(final, "booster_", final)
    fresh.fit(inputs, target, **{way: old})
    return _with_final(learner, fresh), f"{more} trees more"


def _with_final(learner: Any, final: Any) -> Any:
    from sklearn.pipeline import Pipeline

    if not isinstance(learner, Pipeline):
        return final
    name, last = learner.steps[-1]
    learner.steps[-1] = (name, _with_final(last, final))
    return learner


@contextmanager
def _without(final: Any, **parameters: Any) -> Iterator[None]:
    """Parameters of the estimator changed for the moment, those that it has."""
    own = final.get_params(deep=False)
    changed = {name: value for name, value in parameters.items() if name in own}
    final.set_params(**changed)
    try:
        yield
    finally:
        final.set_params(**{name: own[name] for name in changed})
