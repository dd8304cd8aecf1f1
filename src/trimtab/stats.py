"""Sequential tests for comparing two versions in live traffic. Usable alone: needs numpy and nothing else of Trimtab.

- ``RateTest``: rates of bad events (errors, slow answers, wrong predictions), any shares of traffic.
- ``MeanTest``: means of bounded losses, paired (shadow) or split.
- ``QuantileTest``: quantiles of latencies.

Each may be looked at as often as one likes; docs/statistics.md says what is claimed and what was measured.
"""

from trimtab.core.stats.mean import MeanTest
from trimtab.core.stats.quantile import QuantileTest
from trimtab.core.stats.rate import RateTest

__all__ = ["MeanTest", "QuantileTest", "RateTest"]
