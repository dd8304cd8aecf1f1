"""alibi-detect's TabularDrift: KS for numbers, chi-squared for categories, against a reference held in memory."""

from __future__ import annotations

import sys
from importlib.metadata import version

import numpy as np
import pandas as pd
from alibi_detect.cd import TabularDrift
from clock import Clock

clock = Clock()
reference, current = clock.part("read", lambda: [pd.read_parquet(path) for path in sys.argv[1:3]])
names = list(reference.columns)
texts = [at for at, name in enumerate(names) if name.startswith("c")]


def matrix(frame: pd.DataFrame) -> np.ndarray:
    """It takes one array: categories as their codes."""
    out = frame.copy()
    for at in texts:
        levels = sorted(reference.iloc[:, at].unique())
        out[names[at]] = pd.Categorical(frame.iloc[:, at], categories=levels).codes
    return out.to_numpy(dtype=np.float64)


then, now = clock.part("convert", lambda: [matrix(frame) for frame in (reference, current)])
detector = clock.part("fit", lambda: TabularDrift(then, p_val=0.01, categories_per_feature=dict.fromkeys(texts)))
found = clock.part("check", lambda: detector.predict(now, drift_type="batch"))
clock.tell(version=version("alibi-detect"), flagged=int(found["data"]["is_drift"]))
