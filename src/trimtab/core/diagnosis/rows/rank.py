"""From findings to one answer with calibrated alternatives: the only place where causes are weighed against each other.

Causes are asked in an order in which the earlier one, if true, explains what the later ones would see: broken data move
inputs, outcomes and loss; broken labels move outcomes; and so on. Each takes its confidence out of what the earlier
ones left (stick breaking), so the weights add up to 1 and the rest is 'nothing'.
"""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.core.diagnosis.rows.case import Case
from trimtab.core.diagnosis.rows.finding import Finding
from trimtab.core.domain.diagnosis import Alternative, Diagnosis, Kind, Remedy
from trimtab.core.domain.verdict import Reason, Severity

SHOWN_MIN = 0.02
"""Alternatives of less weight are not told."""
TOGETHER = 0.25
"""Faults that are at least this sure (relative to the surest) are told together."""
SEGMENT_SURE = 0.05
"""Share of rows from which a new segment is retrained for even before harm is shown."""


@dataclass(frozen=True, slots=True)
class Tier:
    """Findings that are asked at the same time."""

    kind: Kind
    findings: list[Finding]

    @property
    def confidence(self) -> float:
        return max((each.confidence for each in self.findings), default=0.0)


def rank(case: Case, tiers: list[Tier], harm: bool) -> Diagnosis:
    """The answer.

    Args:
        tiers: in order of explanation.
        harm: whether the loss is shown to have risen beyond what the scores made expect.
    """
    left, weights = 1.0, []
    for tier in tiers:
        weights.append(left * tier.confidence)
        left *= 1 - tier.confidence
    best = max(range(len(tiers)), key=lambda at: weights[at], default=None)
    if best is None or weights[best] < left:
        others = _others(tiers, weights, None)
        return Diagnosis(alternatives=others)
    tier = tiers[best]
    lead = max(tier.findings, key=lambda each: each.confidence)
    if lead.kind is Kind.NEW_SEGMENT:  # the column that has most of it
        lead = max(
            (each for each in tier.findings if each.confidence >= 0.5), key=lambda each: each.value, default=lead
        )
    told = [each for each in tier.findings if each.confidence >= TOGETHER * lead.confidence and each.kind is lead.kind]
    told.sort(key=lambda each: -each.confidence)
    if lead.kind in (Kind.NEW_SEGMENT, Kind.HARMLESS_SHIFT, Kind.SEASON):
        told = [lead]
    remedy = _remedy(lead, harm)
    return Diagnosis(
        lead.kind,
        remedy,
        _severity(case, lead, told, harm, remedy),
        case.at(lead.first if remedy is Remedy.RETRAIN else min(each.first for each in told)),
        tuple(dict.fromkeys(name for each in told for name in each.features)),
        tuple(dict.fromkeys(name for each in told for name in each.slices)),
        tuple(Reason(each.code, _words(case, each), float(each.value), float(each.limit)) for each in told),
        _others(tiers, weights, best),
    )


def _words(case: Case, finding: Finding) -> str:
    return (
        finding.text
        if finding.end >= case.rows
        else f"{finding.text}; it ended after {finding.end - finding.first:,} rows"
    )


def _others(tiers: list[Tier], weights: list[float], best: int | None) -> tuple[Alternative, ...]:
    found: dict[Kind, float] = {}
    for at, (tier, weight) in enumerate(zip(tiers, weights, strict=True)):
        if at != best and tier.findings:
            lead = max(tier.findings, key=lambda each: each.confidence)
            found[lead.kind] = found.get(lead.kind, 0.0) + weight
    ordered = sorted(found.items(), key=lambda each: -each[1])
    return tuple(Alternative(kind, round(weight, 4)) for kind, weight in ordered if weight >= SHOWN_MIN)


def _remedy(lead: Finding, harm: bool) -> Remedy:
    if lead.kind is Kind.NEW_SEGMENT:
        return Remedy.RETRAIN if harm or lead.value >= SEGMENT_SURE else Remedy.WATCH
    return {
        Kind.DATA_FAULT: Remedy.FIX_DATA,
        Kind.LABEL_FAULT: Remedy.FIX_LABELS,
        Kind.SERVING_FAULT: Remedy.ROLLBACK,
        Kind.PRIOR_SHIFT: Remedy.RECALIBRATE,
        Kind.SUDDEN_DRIFT: Remedy.RETRAIN,
        Kind.GRADUAL_DRIFT: Remedy.RETRAIN,
        Kind.HARMLESS_SHIFT: Remedy.WATCH,
        Kind.SEASON: Remedy.WATCH,
    }.get(lead.kind, Remedy.NONE)


def _severity(case: Case, lead: Finding, told: list[Finding], harm: bool, remedy: Remedy) -> Severity:
    """By what it does to the model: shown harm, else the weight of the columns."""
    if remedy in (Remedy.WATCH, Remedy.NONE):
        return Severity.MINOR
    if harm or lead.kind in (Kind.LABEL_FAULT, Kind.SERVING_FAULT):
        return Severity.SEVERE
    names = [name for each in told for name in each.features]
    weight = max((case.weight(name) for name in names), default=1.0)
    if lead.kind is Kind.DATA_FAULT and names and case.importance:
        return Severity.SEVERE if weight >= 1.0 else Severity.MODERATE if weight >= 0.1 else Severity.MINOR
    return Severity.MODERATE
