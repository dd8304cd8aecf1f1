"""What a blend costs: processor time of a row through one version and through blends of two, three and four.

    python benchmarks/serving/blend.py [OUT.json]

Twenty numbers, gradient boosting of 100 trees in ONNX, as most versions are; one row at a time and 32 at once, the two
sizes of calls that the server makes. Processor time, so that a busy machine does not matter.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.ensemble import HistGradientBoostingClassifier

from trimtab.serving.runtimes import load
from trimtab.training.assemble import blended_package
from trimtab.training.compile import build_package

ROUNDS, CALLS = 7, 400


def version(folder: Path, seed: int, frame: pd.DataFrame, late: np.ndarray) -> Path:
    rows = np.random.default_rng(seed).choice(len(frame), len(frame) // 2, replace=False)
    estimator = HistGradientBoostingClassifier(random_state=seed).fit(frame.iloc[rows], late[rows])
    build_package(
        folder / f"v{seed}",
        estimator=estimator,
        task="classification",
        model="cost",
        target="late",
        time=None,
        entity=None,
        features=frame.iloc[:500],
        classes=[False, True],
        positive=True,
        baseline=b"-",
        requirements="",
        hostile=False,
    )
    return folder / f"v{seed}"


def microseconds(call: object, argument: object) -> float:
    """Median processor time of a call."""
    found = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        for _ in range(CALLS):
            call(argument)  # type: ignore[operator]
        found.append((time.process_time() - begin) / CALLS * 1e6)
    return float(np.median(found))


def main() -> None:
    chance = np.random.default_rng(0)
    frame = pd.DataFrame(chance.normal(size=(8000, 20)), columns=[f"x{i}" for i in range(20)])
    late = (frame["x0"] + frame["x1"] * frame["x2"] + chance.normal(size=8000) > 0).to_numpy()
    row, rows = frame.iloc[0].tolist(), frame.iloc[:32].to_numpy()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        made = [version(Path(folder), seed, frame, late) for seed in range(1, 5)]
        for count in (1, 2, 3, 4):
            package = made[0]
            if count > 1:
                package = Path(folder) / f"blend-{count}"
                members = [(seed, path, 1.0) for seed, path in enumerate(made[:count], 1)]
                table = pa.Table.from_pandas(frame.iloc[:500], preserve_index=False)
                blended_package(package, members, table, baseline=b"-", requirements="", tolerance=1e-5)
            model = load(package)
            one, many = microseconds(model.predict_row, row), microseconds(model.predict_matrix, rows)
            results.append(
                {"members": count, "runtime": model.signature.runtime.name, "row_us": one, "rows32_us": many}
            )
            print(f"{count} members: {one:.0f} us a row, {many:.0f} us for 32 rows", flush=True)
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
