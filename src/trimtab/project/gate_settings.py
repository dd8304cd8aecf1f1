"""The settings of the gates: ``gates`` in ``trimtab.yaml``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from trimtab.project.fields import Share, Texts
from trimtab.project.section import Section

Metric = Literal["log_loss", "brier", "accuracy", "f1", "auroc", "mae", "rmse"]
CLASSIFICATION_METRICS: tuple[Metric, ...] = ("log_loss", "brier", "accuracy", "f1", "auroc")
REGRESSION_METRICS: tuple[Metric, ...] = ("mae", "rmse")


class PerformanceGate(Section):
    """The candidate must not be worse than the champion on the same rows."""

    tolerance: float = Field(default=0.01, ge=0)
    """How much worse the candidate may be. For classification in units of the metric (0.01 of log loss, F1, ...);
    for regression as a share of the champion's error (0.01 is one percent), since its unit is yours."""
    rows_min: int = Field(default=200, ge=1)
    """Fewest evaluation rows; with fewer the gate says 'inconclusive', which does not pass."""


class LatencyGate(Section):
    """The packaged model must answer quickly."""

    p95_ms: float = Field(default=100.0, gt=0)
    """Most milliseconds for 95 % of single-row requests."""


class ParityGate(Section):
    """The packaged model must give the trained model's predictions: no training-serving skew."""

    tolerance: float = Field(default=1e-5, ge=0)
    """Largest difference of a score between the two, over real and hostile rows (for regression as a share of the
    value). Float32 arithmetic stays under it."""


class LeakageGate(Section):
    """The model must not know what nobody knows when the prediction is made: columns that tell the target by
    themselves, evaluation rows that repeat training rows, moments after the event."""

    known: Texts = ()
    """Columns that you vouch for: they tell the target, and they are known when the prediction is made (yesterday's
    price, the departure's delay)."""


class SlicesGate(Section):
    """No subgroup (each value of the columns in `data.slices`) may fall behind the champion, or the base rate."""

    tolerance: float = Field(default=0.05, ge=0)
    """How much worse a slice's mean loss may be: in units of the loss, for regression as a share of the mean error.
    Failed only where that is shown at 95 % over all slices together."""
    rows_min: int = Field(default=50, ge=2)
    """Fewest evaluation rows of a slice that is judged."""


class FairnessGate(Section):
    """Groups of people must be treated alike: with two classes, by the rates of the positive class."""

    columns: Texts = ()
    """Columns whose values are the groups (they need not be features: put them into `data.ignore`).
    Empty: no such gate."""
    measure: Literal["equalized_odds", "equal_opportunity", "demographic_parity"] = "equalized_odds"
    """Which rates are compared: of true and of false positives, of true positives, or of positives."""
    limit: Share = 0.1
    """Largest difference of a rate between two groups."""
    rows_min: int = Field(default=50, ge=1)
    """Fewest rows under a rate that is judged."""


class MemoryGate(Section):
    """A server's process with the version must fit into its memory."""

    mb: float = Field(default=2048.0, gt=0)
    """Most megabytes."""


class CalibrationGate(Section):
    """Scores of 30 % must come true in about 30 % of the rows. Of classification."""

    limit: Share = 0.15
    """Largest calibration error (mean over the rows of the gap between score and outcome in bins of like scores); or
    the champion's own on the same rows, where that is larger: when the world moves, every model is off for a while."""


class ChurnGate(Section):
    """Answers that the champion has right must not get wrong in large numbers."""

    limit: Share = 0.2
    """Largest share of the evaluation rows that the champion has right and the candidate wrong (regression: whose error
    grows by more than the champion's mean error)."""


class MissingGate(Section):
    """When an input breaks off, the model must still be about as good as a constant answer."""

    tolerance: float = Field(default=0.5, ge=0)
    """With any one input missing in all rows: how much larger the loss may be than that of a constant answer, as a
    share of it."""


class Gates(Section):
    """What a candidate must pass before it may serve. A failed gate keeps the champion."""

    metric: Metric | None = None
    """What is compared. Default: `log_loss` for classification (it sees the probabilities, not only the side they
    fall on), `mae` for regression."""
    performance: PerformanceGate = PerformanceGate()
    """See below."""
    latency: LatencyGate = LatencyGate()
    """See below."""
    parity: ParityGate = ParityGate()
    """See below."""
    leakage: LeakageGate = LeakageGate()
    """See below."""
    slices: SlicesGate = SlicesGate()
    """See below."""
    fairness: FairnessGate = FairnessGate()
    """See below."""
    memory: MemoryGate = MemoryGate()
    """See below."""
    calibration: CalibrationGate = CalibrationGate()
    """See below."""
    churn: ChurnGate = ChurnGate()
    """See below."""
    missing: MissingGate = MissingGate()
    """See below."""
