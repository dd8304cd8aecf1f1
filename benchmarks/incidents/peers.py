"""Score other tools' defaults, 'retrain on alarm', on incidents that `run.py --export FOLDER` kept.

    python benchmarks/incidents/peers.py FOLDER --evidently PYTHON --nannyml PYTHON [--out peers.json]

PYTHON is the interpreter of an environment that has the tool (evidently 0.7, nannyml 0.13); each runs in one process of
its own. Evidently: the preset for data drift, an alarm where its share of drifted columns reaches its default of one
half. NannyML: univariate drift by Kolmogorov-Smirnov and chi-squared with default chunks, an alarm where any chunk of
current alerts for any column. A tool that fails on an incident has no alarm there, and the failure is counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from report import RIGHT

EVIDENTLY = """
from evidently import Dataset, DataDefinition, Report
from evidently.presets import DataDriftPreset

def alarm(reference, current):
    used = [c for c in reference.columns if c not in ("event_time", "target")]
    numbers = [c for c in used if reference[c].dtype.kind in "fi"]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=[c for c in used if c not in numbers])
    made = [Dataset.from_pandas(frame[used], data_definition=definition) for frame in (current, reference)]
    found = Report([DataDriftPreset()]).run(*made).dict()
    names = [str(m.get("metric_name", m.get("metric_id"))) for m in found["metrics"]]
    counted = next(m for m, name in zip(found["metrics"], names) if "DriftedColumnsCount" in name)
    return counted["value"]["share"] >= 0.5
"""
NANNYML = """
import nannyml

def alarm(reference, current):
    used = [c for c in reference.columns if c not in ("event_time", "target")]
    texts = [c for c in used if reference[c].dtype.kind not in "fi"]
    calculator = nannyml.UnivariateDriftCalculator(
        column_names=used, treat_as_categorical=texts, timestamp_column_name="event_time",
        continuous_methods=["kolmogorov_smirnov"], categorical_methods=["chi2"],
    )
    calculator.fit(reference)
    table = calculator.calculate(current).filter(period="analysis").to_df(multilevel=True)
    alerts = [name for name in table.columns if name[-1] == "alert"]
    return bool(table[alerts].to_numpy().astype(bool).any())
"""
LOOP = """
import json, sys, warnings
from pathlib import Path
import pandas as pd

warnings.filterwarnings("ignore")
out = {}
for path in sorted(Path(sys.argv[1]).glob("*.json")):
    reference, current = (pd.read_parquet(path.with_suffix(f".{part}.parquet")) for part in ("reference", "current"))
    for frame in (reference, current):
        texts = [c for c in frame.columns if frame[c].dtype.name.startswith("str")]
        frame[texts] = frame[texts].astype(object)
    try:
        out[path.stem] = bool(alarm(reference, current))
    except Exception as error:
        out[path.stem] = f"{type(error).__name__}: {error}"[:200]
Path(sys.argv[2]).write_text(json.dumps(out))
"""


def alarms(python: str, code: str, folder: Path) -> dict[str, Any]:
    """Alarm, or the words of a failure, by incident."""
    answer = folder / "answer.txt"
    silent = {**os.environ, "DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1"}
    command = [python, "-c", code + LOOP, str(folder), str(answer)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=silent)
    found: dict[str, Any] = json.loads(answer.read_text())
    return found


def summary(name: str, found: dict[str, Any], incidents: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Counts as in the tables of `run.py`."""
    raised = {key: value is True for key, value in found.items()}
    quiet = [key for key, each in incidents.items() if each["scenario"] in ("harmless", "nothing")]
    broken = [key for key, each in incidents.items() if "fix" in RIGHT[each["scenario"]]]
    right = [("retrain" if raised[key] else "none") in RIGHT[each["scenario"]] for key, each in incidents.items()]
    return {
        "tool": name,
        "incidents": len(incidents),
        "right": sum(right),
        "retrain on data or label faults": [sum(raised[key] for key in broken), len(broken)],
        "interventions on quiet ones": [sum(raised[key] for key in quiet), len(quiet)],
        "failed": sum(isinstance(value, str) for value in found.values()),
        "failures": sorted({value for value in found.values() if isinstance(value, str)})[:3],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--evidently")
    parser.add_argument("--nannyml")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    incidents = {path.stem: json.loads(path.read_text()) for path in sorted(args.folder.glob("*.json"))}
    if not incidents:
        sys.exit(f"no incidents in {args.folder}: make them with run.py --export")
    own = [each["right"] for each in incidents.values()]
    done = [{"tool": "trimtab", "incidents": len(own), "right": sum(own)}]
    for name, python, code in (("evidently", args.evidently, EVIDENTLY), ("nannyml", args.nannyml, NANNYML)):
        if python:
            done.append(summary(name, alarms(python, code, args.folder), incidents))
    print(json.dumps(done, indent=1))
    if args.out:
        args.out.write_text(json.dumps(done, indent=1) + "\n")


if __name__ == "__main__":
    main()
