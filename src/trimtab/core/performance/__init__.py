"""How well a version does: realised from labels, by cohort and by slice; and estimated where labels are not there yet.

Everything is computed from scorecards and profiles, so parts of any size add up first.
"""

from trimtab.core.performance.calibration import Calibration, calibration_of
from trimtab.core.performance.estimate import Estimate, estimate_from_baseline, estimate_from_scores
from trimtab.core.performance.figures import Figure, figures_of
from trimtab.core.performance.slices import SliceResult, judge_slices

__all__ = [
    "Calibration",
    "Estimate",
    "Figure",
    "SliceResult",
    "calibration_of",
    "estimate_from_baseline",
    "estimate_from_scores",
    "figures_of",
    "judge_slices",
]
