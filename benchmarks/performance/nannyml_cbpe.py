"""NannyML's CBPE on the blocks of measure.py, in an environment of its own (nannyml, pandas<3, statsmodels).

python benchmarks/performance/streams.py DATA OUT            # labels and scores
NML_DISABLE_USAGE_LOGGING=1 PYTHON-WITH-NANNYML benchmarks/performance/nannyml_cbpe.py OUT
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import nannyml as nml
import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, roc_auc_score

BLOCK = 1000


def compared(labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Errors and coverage on all blocks after the first quarter."""
    first = len(labels) // 4 // BLOCK * BLOCK
    last = len(labels) // BLOCK * BLOCK
    frame = pd.DataFrame({"p": scores, "pred": (scores > 0.5).astype(int), "y": labels})
    estimator = nml.CBPE(
        y_pred_proba="p",
        y_pred="pred",
        y_true="y",
        problem_type="classification_binary",
        metrics=["accuracy", "roc_auc"],
        chunk_size=BLOCK,
    )
    estimator.fit(frame[:first])
    found = estimator.estimate(frame[first:last].drop(columns="y")).to_df()
    errors: dict[str, list[float]] = {}
    for at, start in enumerate(range(first, last, BLOCK)):
        rows = slice(start, start + BLOCK)
        real = {"accuracy": accuracy_score(labels[rows], scores[rows] > 0.5)}
        if 0 < labels[rows].sum() < BLOCK:
            real["auroc"] = roc_auc_score(labels[rows], scores[rows])
        for name, value in real.items():
            row = found["roc_auc" if name == "auroc" else name].iloc[at]
            errors.setdefault(f"{name} mae", []).append(abs(row["value"] - value))
            held = row["lower_confidence_boundary"] <= value <= row["upper_confidence_boundary"]
            errors.setdefault(f"{name} held", []).append(held)
    return {name: round(float(np.mean(values)), 4) for name, values in errors.items()}


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    for path in sorted(Path(sys.argv[1]).glob("*.npz")):
        with np.load(path) as stored:
            print(path.stem, json.dumps(compared(stored["y"], stored["s"])), flush=True)
