"""A deployment directory with a classifier on 30 numeric features, for the load generator.

python benchmarks/serving/prepare.py DIRECTORY [hgb|forest|logistic]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from trimtab.training.compile import build_package

FEATURES = 30
ESTIMATORS: dict[str, Any] = {
    "hgb": lambda: HistGradientBoostingClassifier(max_iter=100, random_state=0),
    "forest": lambda: RandomForestClassifier(100, max_depth=10, random_state=0, n_jobs=1),
    "logistic": lambda: LogisticRegression(max_iter=1000),
}


def prepare(directory: Path, kind: str = "hgb", version: int = 1) -> None:
    """Train, compile and route to the version."""
    X, y = make_classification(5000, FEATURES, n_informative=15, random_state=0)
    features = pd.DataFrame(X, columns=[f"f{i}" for i in range(FEATURES)])
    estimator = ESTIMATORS[kind]().fit(features, y.astype(bool))
    result = build_package(
        directory / "versions" / str(version),
        estimator=estimator,
        task="classification",
        model="bench",
        target="y",
        time=None,
        entity=None,
        features=features.iloc[:1000],
        classes=[False, True],
        positive=True,
        baseline=b"none",
        requirements="",
    )
    routes = {"generation": 1, "salt": "s", "split": [{"version": version, "weight": 100}]}
    (directory / "routes.json").write_bytes(msgspec.json.encode(routes))
    body = {"inputs": [{"name": "x", "shape": [1, FEATURES], "datatype": "FP64", "data": np.round(X[0], 6).tolist()}]}
    (directory / "row.json").write_bytes(msgspec.json.encode(body))
    print(result.runtime, result.reason)


if __name__ == "__main__":
    prepare(Path(sys.argv[1]), *sys.argv[2:3])
