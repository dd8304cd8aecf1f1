"""Trimtab keeps a machine-learning model healthy after it is deployed.

Names are imported when they are first used, so that ``import trimtab`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trimtab.api import diagnose, drift, performance
    from trimtab.baseline import Baseline
    from trimtab.stats import LossAlarm, MeanTest, QuantileTest, RateTest

__version__ = "0.1.0"

_HOMES = {
    "Baseline": "trimtab.baseline",
    "LossAlarm": "trimtab.stats",
    "MeanTest": "trimtab.stats",
    "QuantileTest": "trimtab.stats",
    "RateTest": "trimtab.stats",
    "diagnose": "trimtab.api",
    "drift": "trimtab.api",
    "performance": "trimtab.api",
}

__all__ = [
    "Baseline",
    "LossAlarm",
    "MeanTest",
    "QuantileTest",
    "RateTest",
    "__version__",
    "diagnose",
    "drift",
    "performance",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'trimtab' has no attribute '{name}'")
    return getattr(import_module(home), name)
