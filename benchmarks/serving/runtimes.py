"""One row and a thousand rows through each runtime: microseconds, medians of several rounds in turn.

    .venv/bin/python benchmarks/serving/runtimes.py [--json FILE]

Models: gradient boosting (100 iterations) and a random forest (100 trees, depth 10) on 30 numbers; the boosting again
with five text columns among them. Each form is checked against the trained model before it is timed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from trimtab.serving.runtimes import Model, load
from trimtab.training import compile as compiling
from trimtab.training.compile_columns import columns_of
from trimtab.training.estimators import default_estimator

ROUNDS = 7


def data(rows: int, texts: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(rows, 30 - texts))
    frame = pd.DataFrame(numbers, columns=[f"x{i}" for i in range(30 - texts)])
    for index in range(texts):
        frame[f"t{index}"] = rng.choice([f"level-{i}" for i in range(40)], rows)
    score = numbers[:, 0] + numbers[:, 1] * numbers[:, 2] + rng.normal(size=rows)
    return frame, score > 0


def package(estimator: Any, frame: pd.DataFrame, at: Path, runtime: str) -> tuple[Model, float]:
    """The estimator compiled for one runtime only; and the largest difference that parity found."""
    forms = compiling.compiled_forms

    def only(*args: Any) -> Any:
        return (form for form in forms(*args) if form[0] == runtime)

    with mock.patch.object(compiling, "compiled_forms", only):
        result = compiling.build_package(
            at, estimator=estimator, task="classification", model="bench", target="y", time=None, entity=None,
            features=frame, classes=[False, True], positive=None, baseline=b"", requirements="",
        )  # fmt: skip
    if result.runtime != runtime:
        raise SystemExit(f"{runtime} was not taken: {result.reason}")
    return load(at, result.digest), result.parity[-1].largest


def microseconds(call: Callable[[], object], seconds: float = 0.15) -> float:
    call()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        call()
        count += 1
    return (time.perf_counter() - start) / count * 1e6


def measure(name: str, estimator: Any, frame: pd.DataFrame) -> list[dict[str, Any]]:
    results = []
    with tempfile.TemporaryDirectory() as folder:
        models = {r: package(estimator, frame, Path(folder, r), r) for r in ("onnx", "treelite", "native")}
        inputs = models["onnx"][0].signature.inputs
        columns = columns_of(frame.head(1000), inputs)
        row = [columns[spec.name][0] for spec in inputs]
        row = [value.item() if isinstance(value, np.generic) else value for value in row]
        times: dict[str, tuple[list[float], list[float]]] = {r: ([], []) for r in models}
        for _ in range(ROUNDS):
            for runtime, (model, _) in models.items():
                times[runtime][0].append(microseconds(lambda model=model: model.predict_row(row)))
                times[runtime][1].append(microseconds(lambda model=model: model.predict(columns)))
        for runtime, (one, thousand) in times.items():
            results.append({
                "model": name, "runtime": runtime, "row_us": round(statistics.median(one), 1),
                "rows_1000_us": round(statistics.median(thousand), 1), "largest_difference": models[runtime][1],
            })  # fmt: skip
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the results here")
    arguments = parser.parse_args()
    frame, y = data(6000, 0, 0)
    mixed, y_mixed = data(6000, 5, 1)
    subjects = {
        "HistGradientBoosting": (HistGradientBoostingClassifier(max_iter=100, random_state=0), frame, y),
        "RandomForest 100x10": (RandomForestClassifier(100, max_depth=10, random_state=0), frame, y),
        "default, 25 numbers + 5 texts": (default_estimator("classification", {}, mixed), mixed, y_mixed),
    }
    results = []
    for name, (estimator, features, target) in subjects.items():
        estimator.fit(features.iloc[:4000], target[:4000])
        for result in measure(name, estimator, features.iloc[4000:]):
            results.append(result)
            times = f"row {result['row_us']:>9,.1f} us   1000 rows {result['rows_1000_us']:>9,.0f} us"
            print(f"{name:<30} {result['runtime']:<9} {times}   difference {result['largest_difference']:.1e}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
