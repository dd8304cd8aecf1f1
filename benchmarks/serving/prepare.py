"""What every server of a comparison gets: one model, its rows, and for trimtab a deployment directory.

    python benchmarks/serving/prepare.py DIRECTORY [hgb|forest|heavy]

The classifier has 30 numeric features. Written are ``deployment/``, ``model.joblib`` (for the peers), ``rows.json``
(rows that no model was trained on, sent in turn) and ``scores.json`` (the positive class's probability of each, by
scikit-learn itself: every server's answers are compared with these before it is timed).
"""

from __future__ import annotations

import argparse
import contextlib
import json
from pathlib import Path
from typing import Any
from unittest import mock

import joblib
import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline

from trimtab.core.profiles import Baseline
from trimtab.frames import columns_of
from trimtab.training import compile as compiling

FEATURES = 30
TRAINED, SENT = 5000, 256
HEAVY_TRAINED = 300
ESTIMATORS: dict[str, Any] = {
    "hgb": lambda: HistGradientBoostingClassifier(max_iter=100, random_state=0),
    "forest": lambda: RandomForestClassifier(100, max_depth=10, random_state=0, n_jobs=1),
    "heavy": lambda: make_pipeline(
        RBFSampler(n_components=40_000, random_state=0), SGDClassifier(loss="log_loss", max_iter=5, tol=None)
    ),
}


def prepare(directory: Path, kind: str = "hgb", versions: int = 1, native: bool = False) -> Path:
    """Train, compile and route to version 1; the directory. Further versions are trained on other rows.

    Args:
        native: the model is served by scikit-learn, as where it cannot be compiled.
    """
    directory.mkdir(parents=True, exist_ok=True)
    X, y = make_classification(TRAINED + SENT, FEATURES, n_informative=15, random_state=0)
    X = np.round(X, 6)
    rows, features = X[TRAINED:], pd.DataFrame(X[:TRAINED], columns=[f"f{i}" for i in range(FEATURES)])
    scores = []
    for version in range(1, versions + 1):
        some = np.random.default_rng(version).permutation(TRAINED)[: size_of(kind, version)]
        estimator = ESTIMATORS[kind]().fit(features.to_numpy()[some], y[:TRAINED][some].astype(bool))
        if version == 1:
            joblib.dump(estimator, directory / "model.joblib")
        scores.append(estimator.predict_proba(rows)[:, 1].tolist())
        named = ESTIMATORS[kind]().fit(features.iloc[some], y[:TRAINED][some].astype(bool))
        package(
            directory / "deployment" / "versions" / str(version),
            named,
            features.iloc[: 20 if kind == "heavy" else 1000],
            native,
        )
    route(directory / "deployment", 1, 1)
    (directory / "rows.json").write_text(json.dumps(rows.tolist()))
    (directory / "scores.json").write_text(json.dumps(scores[0]))
    (directory / "scores-by-version.json").write_text(json.dumps(scores))
    return directory


def size_of(kind: str, version: int) -> int:
    """Rows to train on. The heavy model takes as long a row alone as among others; its answers do not matter."""
    if kind == "heavy":
        return HEAVY_TRAINED
    return TRAINED if version == 1 else TRAINED // 2


def package(at: Path, estimator: Any, features: pd.DataFrame, native: bool) -> None:
    """The estimator as training would package it."""
    with contextlib.ExitStack() as stack:
        if native:
            stack.enter_context(mock.patch.object(compiling, "compiled_forms", return_value=iter(())))
        result = compiling.build_package(
            at, estimator=estimator, task="classification", model="bench", target="y", time=None, entity=None,
            features=features, classes=[False, True], positive=True, baseline=baseline(features), requirements="",
        )  # fmt: skip
    print(f"{at.name}: {result.runtime}, {result.reason}")


def baseline(features: pd.DataFrame) -> bytes:
    """What the traffic is compared with: the server adds up profiles in its bins."""
    columns = columns_of(pa.Table.from_pandas(features, preserve_index=False))
    return Baseline.fit(columns, time=np.arange(len(features)) * 3600.0).to_bytes()


def route(deployment: Path, generation: int, version: int) -> None:
    """All traffic to the version, as the control plane does it: aside, then renamed."""
    routes = {"generation": generation, "salt": "s", "split": [{"version": version, "weight": 100}]}
    aside = deployment / ".routes.json.tmp"
    aside.write_bytes(msgspec.json.encode(routes))
    aside.rename(deployment / "routes.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("kind", choices=sorted(ESTIMATORS), nargs="?", default="hgb")
    given = parser.parse_args()
    prepare(given.directory, given.kind)


if __name__ == "__main__":
    main()
