"""What is fitted: gradient-boosted trees that take categories and missing values as they are."""

from __future__ import annotations

from typing import Any

CATEGORIES = ["carrier", "origin", "dest"]


def build(**parameters: Any) -> Any:
    """An unfitted pipeline; ``parameters`` are those of ``HistGradientBoostingClassifier``.

    Airports and carriers become codes, rare and unseen ones count as missing; the numbers pass through.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OrdinalEncoder

    codes = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=float("nan"),
        encoded_missing_value=float("nan"),
        max_categories=200,
    )
    columns = ColumnTransformer(
        [("codes", codes, CATEGORIES)], remainder="passthrough", verbose_feature_names_out=False
    )
    trees = HistGradientBoostingClassifier(
        categorical_features=list(range(len(CATEGORIES))), early_stopping=False, random_state=0, **parameters
    )
    return Pipeline([("columns", columns), ("trees", trees)])
