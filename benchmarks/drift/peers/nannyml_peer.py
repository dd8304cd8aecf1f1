"""NannyML's univariate drift: KS for numbers and chi-squared for categories, one chunk; fitting is timed apart."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"

import nannyml
import pandas as pd
from clock import Clock

clock = Clock()
reference, current = clock.part("read", lambda: [pd.read_parquet(path) for path in sys.argv[1:3]])
calculator = nannyml.UnivariateDriftCalculator(
    column_names=list(reference.columns),
    continuous_methods=["kolmogorov_smirnov"],
    categorical_methods=["chi2"],
    chunk_number=1,
)
clock.part("fit", lambda: calculator.fit(reference))
found = clock.part("check", lambda: calculator.calculate(current))
clock.tell(version=version("nannyml"), flagged=len(found.to_df()))
