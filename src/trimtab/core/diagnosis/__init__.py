"""From the champion's traffic to a ranked cause and what to do about it."""

from trimtab.core.diagnosis.assess import assess
from trimtab.core.diagnosis.result import Assessment, AssessSettings, Block, BlockView, Fault, PerformanceResult

__all__ = ["AssessSettings", "Assessment", "Block", "BlockView", "Fault", "PerformanceResult", "assess"]
