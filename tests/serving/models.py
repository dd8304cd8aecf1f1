"""Small models through the real compiler."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from trimtab.training.compile import build_package

PLAIN = ["a", "b", "c", "d"]


def build_plain(to: Path, seed: int, hostile: bool = False) -> None:
    """Four numbers, two classes."""
    rng = np.random.default_rng(seed)
    features = pd.DataFrame(rng.normal(size=(200, 4)), columns=PLAIN)
    target = (features @ rng.normal(size=4)) > 0
    build_package(
        to,
        estimator=LogisticRegression().fit(features, target),
        task="classification",
        model="plain",
        target="y",
        time=None,
        entity="user",
        features=features,
        classes=[False, True],
        positive=True,
        baseline=b"-",
        requirements="",
        hostile=hostile,
    )


def build_flights(to: Path) -> None:
    """A text, a number; the entity and the event time are no inputs."""
    rng = np.random.default_rng(5)
    features = pd.DataFrame({"carrier": rng.choice(["UA", "DL", "B6"], 300), "distance": rng.uniform(100, 3000, 300)})
    target = np.where(features["carrier"] == "UA", "late", "punctual")
    estimator = make_pipeline(
        make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["carrier"]), remainder="passthrough"),
        LogisticRegression(max_iter=2000),
    )
    build_package(
        to,
        estimator=estimator.fit(features, target),
        task="classification",
        model="flights",
        target="outcome",
        time="departed_at",
        entity="tailnum",
        features=features,
        classes=["late", "punctual"],
        positive="late",
        baseline=b"-",
        requirements="",
        hostile=False,
    )
