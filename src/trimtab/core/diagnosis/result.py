"""What an assessment of the champion's traffic found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trimtab.core.domain.diagnosis import Diagnosis
from trimtab.core.domain.verdict import Severity
from trimtab.core.drift.result import DriftResult
from trimtab.core.performance.estimate import Estimate
from trimtab.core.performance.figures import Figure
from trimtab.core.profiles import Profile, Scorecard


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """The champion's traffic in one block of event time."""

    start_s: float
    """Event time, seconds since the epoch; included."""
    end_s: float
    """Excluded."""
    profile: Profile
    """All rows of the block (with the answers, where there are any)."""
    scorecard: Scorecard | None
    """The rows whose label is known by now; None where there are none."""
    repeated: int = 0
    """Rows with the inputs, entity and event time of an earlier one of the block."""


@dataclass(frozen=True, slots=True)
class AssessSettings:
    """How alert to be. The defaults suit a day's block of a few hundred rows."""

    alpha: float = 0.01
    """False-alarm probability: of a drift check, and of the performance alarm over ``horizon_blocks``."""
    tolerance: float = 0.02
    """Relative rise of the loss that is nobody's concern (0.02: 2 %)."""
    block_s: float = 86400.0
    """Length of a block, seconds."""
    rows_min: int = 50
    """Blocks with fewer rows are not judged: they are added to the next."""
    labelled_min: int = 50
    """Blocks with fewer labelled rows are left out of the performance alarm."""
    labelled_share_min: float = 0.8
    """Blocks with a smaller share of known labels are left out of the performance alarm: early labels are biased."""
    drift_blocks: int = 7
    """The newest blocks that the drift check looks at together."""
    horizon_blocks: int = 365
    """Blocks over which the performance alarm's false-alarm probability is at most ``alpha``."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with the data itself."""

    code: str
    """``MissingFlood``, ``ConstantColumn``, ``OutOfRange``, ``UnitChange``, ``UnseenCategories``,
    ``RenamedCategories``, ``SwappedColumns``, ``WrongType``, ``AbsentColumn``; of rows ``DuplicatedRows``; of labels
    ``ConstantLabels``, ``LabelsTurned``, ``LabelsUnrelated``."""
    features: tuple[str, ...]
    since_s: float
    """Event time: start of the first block that shows it."""
    until_s: float | None
    """Event time: start of the first block that looks like the baseline again; None while it goes on."""
    severity: Severity
    """By its size and by the weight of the feature for the model."""
    text: str
    """Value, comparison and limit in words."""
    value: float
    limit: float


@dataclass(frozen=True, slots=True)
class PerformanceResult:
    """The champion's loss on live labelled rows against its loss out of sample before it went live."""

    loss: float
    """Mean of the newest judged blocks (since the onset, where there is an alarm); NaN without labels."""
    baseline_loss: float
    interval: tuple[float, float]
    """For the mean loss of those blocks, by their own variation (95 %)."""
    alarm: bool
    since_s: float | None
    """Event time of the onset, where there is an alarm."""
    evidence: float
    """The e-detector's value; the alarm needs ``threshold``."""
    threshold: float
    rows: int
    """Labelled rows judged."""
    blocks: int
    """Blocks judged."""
    gradual: bool = False
    """The loss rose over many blocks rather than at once."""
    text: str = ""


@dataclass(frozen=True, slots=True)
class BlockView:
    """One block as it was judged, for people."""

    start_s: float
    end_s: float
    rows: int
    labelled: int
    loss: float
    """NaN without labels."""
    faulty: bool
    judged: bool
    """It took part in the performance alarm."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """All of it at one moment."""

    diagnosis: Diagnosis
    faults: tuple[Fault, ...] = ()
    """Oldest first; those with ``until_s`` are over."""
    drift: DriftResult | None = None
    """Of the newest blocks; None without enough rows."""
    performance: PerformanceResult | None = None
    """None without labels."""
    blocks: tuple[BlockView, ...] = field(default_factory=tuple)
    realized: Mapping[str, Figure] = field(default_factory=dict)
    """Metrics of the judged blocks, by name; empty without labels."""
    estimated: Estimate | None = None
    """What is to be expected of the blocks whose labels are still to come (of the newest block, where all are known);
    None for other than two classes and without an evaluation."""
