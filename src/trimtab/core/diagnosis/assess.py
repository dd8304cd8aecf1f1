"""One look at the champion's traffic: faults, drift, performance, and the cause that explains them.

The order of evidence: broken labels and broken data come first, because a model's loss means nothing while they
last; then harm on labelled
rows; then movement of the inputs, which alone never asks for more than watching.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add

import numpy as np

from trimtab.core.diagnosis.explain import explain
from trimtab.core.diagnosis.faults import find_faults
from trimtab.core.diagnosis.labels import label_fault
from trimtab.core.diagnosis.performance import judge
from trimtab.core.diagnosis.repeats import repeated_rows
from trimtab.core.diagnosis.result import Assessment, AssessSettings, Block, BlockView, Fault, PerformanceResult
from trimtab.core.diagnosis.signals import Flags
from trimtab.core.domain.diagnosis import Alternative, Diagnosis, Kind, Remedy
from trimtab.core.domain.verdict import Reason, Severity
from trimtab.core.drift.check import check
from trimtab.core.drift.result import DriftResult
from trimtab.core.performance.estimate import Estimate, estimate_from_baseline
from trimtab.core.performance.figures import figures_of
from trimtab.core.profiles import Baseline


def assess(
    baseline: Baseline, blocks: Sequence[Block], settings: AssessSettings | None = None, now_s: float | None = None
) -> Assessment:
    """Judge the champion's traffic since it went live.

    Args:
        baseline: of the champion.
        blocks: oldest first, not overlapping; the newest may still be filling, and its labels may still be on their
        way.
        settings: see ``AssessSettings``.
        now_s: event time now; a block that ends later is still filling. None: the end of the last block.
    """
    settings = settings or AssessSettings()
    if not blocks:
        return Assessment(Diagnosis())
    now_s = blocks[-1].end_s if now_s is None else now_s
    faults, under = find_faults(baseline, blocks, settings.rows_min, now_s)
    again, twice = repeated_rows(blocks, settings.rows_min)
    faults, under = (*faults, *again), under | twice
    labels, label_blocks = label_fault(baseline, blocks, settings.labelled_min)
    performance, judged = judge(baseline, list(blocks), under | label_blocks, settings)
    drift = _drift(baseline, blocks, under, settings, now_s)
    unrelated, prior = (None, None) if performance is None else explain(baseline, blocks, judged, performance)
    labels = labels if unrelated is None else (*labels, unrelated)
    diagnosis = _diagnose(faults, labels, performance, drift, prior)
    views = _views(blocks, under | label_blocks, judged)
    realized = figures_of(
        [block.scorecard for block, used in zip(blocks, judged, strict=True) if used and block.scorecard]
    )
    return Assessment(
        diagnosis, (*faults, *labels), drift, performance, views, realized, _estimated(baseline, blocks, judged)
    )


def _estimated(baseline: Baseline, blocks: Sequence[Block], judged: Flags) -> Estimate | None:
    """Of the blocks since the last that was judged by its labels; of the newest, where that is the last."""
    last = int(np.flatnonzero(judged)[-1]) if judged.any() else -1
    waiting = [block.profile for block in blocks[last + 1 :]] or [blocks[-1].profile]
    return estimate_from_baseline(baseline, reduce(add, waiting), blocks=len(waiting))


def _drift(
    baseline: Baseline, blocks: Sequence[Block], under: Flags, settings: AssessSettings, now_s: float
) -> DriftResult | None:
    """The newest block that is over, has rows and is not under a fault."""
    for block, faulty in zip(reversed(blocks), reversed(under), strict=True):
        if not faulty and block.end_s <= now_s and block.profile.rows >= settings.rows_min:
            return check(baseline, block.profile, settings.alpha, span_s=block.end_s - block.start_s)
    return None


def _diagnose(
    faults: tuple[Fault, ...],
    labels: tuple[Fault, ...],
    performance: PerformanceResult | None,
    drift: DriftResult | None,
    prior: Reason | None,
) -> Diagnosis:
    standing = [fault for fault in faults if fault.until_s is None]
    broken = [fault for fault in labels if fault.until_s is None]
    matter = [fault for fault in standing if fault.severity is not Severity.MINOR]
    harm = performance is not None and performance.alarm
    if matter or (standing and not broken and not harm):
        return _data_fault(matter or standing, harm)
    if broken:
        return _label_fault(broken)
    if harm and performance is not None:
        return _concept(performance, drift) if prior is None else _prior(performance, prior)
    if drift is not None and drift.drifted:
        return _shift(drift)
    return Diagnosis()


def _data_fault(faults: list[Fault], harm: bool) -> Diagnosis:
    worst = max((fault.severity for fault in faults), key=list(Severity).index)
    return Diagnosis(
        Kind.DATA_FAULT,
        Remedy.FIX_DATA,
        worst,
        min(fault.since_s for fault in faults),
        tuple(dict.fromkeys(name for fault in faults for name in fault.features)),
        (),
        tuple(Reason(fault.code, fault.text, fault.value, fault.limit) for fault in faults),
        (Alternative(Kind.SUDDEN_DRIFT, 0.1),) if harm else (),
    )


def _label_fault(faults: list[Fault]) -> Diagnosis:
    return Diagnosis(
        Kind.LABEL_FAULT,
        Remedy.FIX_LABELS,
        Severity.SEVERE,
        min(fault.since_s for fault in faults),
        (),
        (),
        tuple(Reason(fault.code, fault.text, fault.value, fault.limit) for fault in faults),
    )


def _concept(performance: PerformanceResult, drift: DriftResult | None) -> Diagnosis:
    kind, other = Kind.SUDDEN_DRIFT, Kind.GRADUAL_DRIFT
    if performance.gradual:
        kind, other = other, kind
    worse = performance.loss / performance.baseline_loss - 1 if performance.baseline_loss > 0 else 1.0
    moved = [each.name for each in drift.features.values() if each.alarm] if drift else []
    reason = Reason("LossWorse", performance.text, performance.loss, performance.baseline_loss)
    severity = Severity.SEVERE if worse >= 0.1 else Severity.MODERATE
    alternatives = (Alternative(other, 0.3),)
    return Diagnosis(kind, Remedy.RETRAIN, severity, performance.since_s, tuple(moved), (), (reason,), alternatives)


def _prior(performance: PerformanceResult, prior: Reason) -> Diagnosis:
    """A map of the scores mends it; a full retrain would, too, and costs more."""
    reasons = (prior, Reason("LossWorse", performance.text, performance.loss, performance.baseline_loss))
    rest = (Alternative(Kind.SUDDEN_DRIFT, round(1 - (prior.value or 0.0), 4)),)
    since = performance.since_s
    return Diagnosis(Kind.PRIOR_SHIFT, Remedy.RECALIBRATE, Severity.MODERATE, since, (), (), reasons, rest)


def _shift(drift: DriftResult) -> Diagnosis:
    """Inputs moved; no harm is shown. Whatever the size, the most that follows is to watch."""
    moved = [each for each in drift.features.values() if each.alarm]
    heavy = drift.severity is not Severity.MINOR
    reasons = tuple(
        Reason("InputDrift", f"{each.name}: {each.direction} (p {each.p:.2g} <= {drift.alpha:g})", each.p, drift.alpha)
        for each in moved[:5]
    )
    return Diagnosis(
        Kind.HARMLESS_SHIFT,
        Remedy.WATCH if heavy else Remedy.NONE,
        Severity.MINOR,
        None,
        tuple(each.name for each in moved),
        (),
        reasons,
    )


def _views(blocks: Sequence[Block], faulty: Flags, judged: Flags) -> tuple[BlockView, ...]:
    return tuple(
        BlockView(
            block.start_s,
            block.end_s,
            block.profile.rows,
            block.scorecard.rows if block.scorecard else 0,
            block.scorecard.loss if block.scorecard else float(np.nan),
            bool(bad),
            bool(used),
        )
        for block, bad, used in zip(blocks, faulty, judged, strict=True)
    )
