"""whylogs' profile of the current table."""

from __future__ import annotations

import sys
from importlib.metadata import version

import pandas as pd
import whylogs
from clock import Clock

clock = Clock()
current = clock.part("read", lambda: pd.read_parquet(sys.argv[2]))
clock.part("check", lambda: whylogs.log(current).view())
clock.tell(version=version("whylogs"))
