"""Evidently's data drift preset with its defaults: it has no fitted reference, so both tables are handed over."""

from __future__ import annotations

import sys
from importlib.metadata import version

import pandas as pd
from clock import Clock
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

clock = Clock()
reference, current = clock.part("read", lambda: [pd.read_parquet(path) for path in sys.argv[1:3]])
kinds = DataDefinition(
    numerical_columns=[name for name in current.columns if name.startswith("x")],
    categorical_columns=[name for name in current.columns if name.startswith("c")],
)
then, now = clock.part("convert", lambda: [Dataset.from_pandas(each, kinds) for each in (reference, current)])
done = clock.part("check", lambda: Report([DataDriftPreset()], include_tests=True).run(now, then))
tests = clock.part("read out", lambda: done.dict())["tests"]
clock.tell(version=version("evidently"), flagged=sum(each["status"] == "FAIL" for each in tests))
