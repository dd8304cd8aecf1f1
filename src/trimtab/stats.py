"""Sequential tests for live models. Usable alone: needs numpy and nothing else of Trimtab. Two versions are compared by

- ``RateTest``: rates of bad events (errors, slow answers, wrong predictions), any shares of traffic.
- ``MeanTest``: means of bounded losses, paired (shadow) or split.
- ``QuantileTest``: quantiles of latencies.

One model is watched by

- ``LossAlarm``: did its losses rise? With a stated average run length; finds out by itself whether rows cluster.

Each may be looked at as often as one likes; docs/statistics.md and docs/performance.md say what is claimed and what was
measured.
"""

from trimtab.core.stats.change import LossAlarm
from trimtab.core.stats.mean import MeanTest
from trimtab.core.stats.quantile import QuantileTest
from trimtab.core.stats.rate import RateTest

__all__ = ["LossAlarm", "MeanTest", "QuantileTest", "RateTest"]
