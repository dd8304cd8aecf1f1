"""The estimator that is trained where the project file names none."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.core.domain.errors import DataError, EstimatorError
from trimtab.serving.package import Task
from trimtab.training.compile_columns import input_type

if TYPE_CHECKING:
    import pandas as pd

MAX_LEVELS = 254
"""Categories of one column that the boosting's 255 bins hold, one being kept for missing and unknown values."""


def default_estimator(
    task: Task, parameters: Mapping[str, Any], features: pd.DataFrame, coded: Collection[str] = ()
) -> Any:
    """An unfitted pipeline: categories as codes, numbers as they are, histogram gradient boosting on top.

    Strings, categories and booleans become codes, with missing and unseen values as NaN, which the trees route by
    themselves; columns with more than 254 levels keep the frequent ones and share one code for the rare. Numbers pass
    through, missing included. Left out are times, which a tree cannot extrapolate, and columns without any value.
    The pipeline compiles to float64 trees that give exactly its answers.

    Args:
        task: which of the two gradient boostings.
        parameters: of the boosting, e.g. ``learning_rate``, ``max_iter``; ``random_state`` is 0 unless given.
        features: the feature columns of the training rows: names, dtypes, and which have values at all.
        coded: numbers that stand for categories, in the order of the categories (a backtest fits the same rows many
            times and codes them once).

    Raises:
        EstimatorError: a parameter that the boosting does not have.
        DataError: no column is left to learn from.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OrdinalEncoder, StandardScaler

    kind = HistGradientBoostingClassifier if task == "classification" else HistGradientBoostingRegressor
    found_types = {str(name): input_type(str(name), features[name]) for name in features.columns}
    types = {name: of for name, of in found_types.items() if features[name].notna().any()}
    categories = [name for name, of in types.items() if of in ("string", "bool") or name in coded]
    numeric = [name for name, of in types.items() if of in ("float64", "int64") and name not in coded]
    numbers = [name for name in numeric if isinstance(features[name].dtype, np.dtype)]
    if not categories and not numeric:
        found = ", ".join(f"{name} is {of}" for name, of in found_types.items())
        raise DataError(f"no column to learn from; found {found or 'none'}")
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=float("nan"),
        encoded_missing_value=float("nan"),
        max_categories=MAX_LEVELS,
    )
    columns = ColumnTransformer(
        [
            ("categories", encoder, categories),
            ("numbers", "passthrough", numbers),
            # Changes no number, but turns pandas' own missing value (of Int64 and its like) into NaN.
            ("nullable", StandardScaler(with_mean=False, with_std=False), sorted(set(numeric) - set(numbers))),
        ],
        remainder="drop",
        verbose_feature_names_out=False,
    )
    settings = {"random_state": 0, "categorical_features": list(range(len(categories))) or None, **parameters}
    _check_parameters(kind, settings)
    return Pipeline([("columns", columns), ("boosting", kind(**settings))])


def _check_parameters(kind: Any, settings: Mapping[str, Any]) -> None:
    known = sorted(kind().get_params())
    for name in settings:
        if name not in known:
            close = get_close_matches(name, known, 1)
            hint = f"did you mean '{close[0]}'?" if close else f"it has {', '.join(known)}"
            raise EstimatorError(f"estimator parameter '{name}' is not one of {kind.__name__}; {hint}")
