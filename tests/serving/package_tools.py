"""A small model and its package, for the tests of packages and runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from trimtab.training.compile import PackageResult, build_package
from trimtab.training.estimators import default_estimator


def flights(rows: int = 600, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Text, whole numbers, booleans and numbers with missing values, and a target that depends on them."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({
        "carrier": rng.choice(["AA", "B6", "UA"], rows),
        "hour": rng.integers(5, 24, rows),
        "holiday": rng.random(rows) < 0.1,
        "wind": rng.gamma(2.0, 5.0, rows),
    })  # fmt: skip
    late = (frame["hour"] / 10 + (frame["carrier"] == "B6") + frame["wind"] / 20 + rng.normal(size=rows)) > 2.6
    frame.loc[rng.random(rows) < 0.1, "wind"] = np.nan
    frame.loc[rng.random(rows) < 0.1, "carrier"] = None
    return frame, late.to_numpy()


def build(to: Path, estimator: Any, frame: pd.DataFrame, classes: Any = (False, True), **more: Any) -> PackageResult:
    """A package of a fitted estimator with plain names."""
    arguments: dict[str, Any] = {
        "task": "regression" if classes is None else "classification",
        "model": "flights", "target": "late", "time": "departed_at", "entity": "tailnum",
        "classes": classes, "positive": None, "baseline": b"baseline", "requirements": "numpy==2.0.0\n",
    } | more  # fmt: skip
    return build_package(to, estimator=estimator, features=frame, **arguments)


def default_package(to: Path) -> PackageResult:
    """The default estimator on the flights, compiled."""
    frame, late = flights()
    estimator = default_estimator("classification", {"max_iter": 10}, frame)
    with threadpool_limits(1):
        return build(to, estimator.fit(frame.iloc[:400], late[:400]), frame.iloc[400:])


def linear_package(to: Path) -> PackageResult:
    """A model that takes no missing values."""
    frame, late = flights()
    numbers = frame[["hour", "wind"]].fillna(0.0)
    return build(to, LogisticRegression().fit(numbers.iloc[:400], late[:400]), numbers.iloc[400:])
