"""Why the champion got worse, from sums alone: the scorecards of its blocks, by the same arithmetic as the diagnosis by
rows.

Sums do not say where in the inputs a change lies, so only signatures that need no inputs are told here: labels that
turned round, labels that lost their relation to the scores, and a mere shift of the classes' shares. All else is taken
as a changed relation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.core.diagnosis.result import Block, Fault, PerformanceResult
from trimtab.core.diagnosis.rows.outcomes import Outcomes
from trimtab.core.diagnosis.rows.prior import prior_shift
from trimtab.core.diagnosis.rows.relations import Relation, slope_of, turned_round
from trimtab.core.diagnosis.rows.when import Change
from trimtab.core.diagnosis.signals import Flags
from trimtab.core.domain.verdict import Reason, Severity
from trimtab.core.profiles import Baseline, Scorecard
from trimtab.core.profiles.columns import Numbers

UNRELATED_MAX = 0.15
"""Slope of labels on scores under which they have nothing to do with each other; a changed world keeps some of it."""
SURE = 0.9
ROWS_MIN = 100


def explain(
    baseline: Baseline, blocks: Sequence[Block], judged: Flags, performance: PerformanceResult
) -> tuple[Fault | None, Reason | None]:
    """(broken labels, shift of the classes' shares) that explain an alarm; two classes only.

    Args:
        judged: (N,) blocks that took part in the alarm.
    """
    if not performance.alarm or performance.since_s is None or baseline.evaluation.classes != 2:
        return None, None
    seen = _relation(baseline, blocks, judged, performance.since_s)
    if seen is None:
        return None, None
    turned = turned_round(seen)
    if turned > 0:
        text = f"turned round, the labels are as before (loss {turned:.2f} times what was due)"
        return _fault("LabelsTurned", performance.since_s, text, turned, 1.3), None
    if abs(seen.slope) < UNRELATED_MAX:
        text = f"labels follow the scores by {seen.slope:.2f} (1 before)"
        return _fault("LabelsUnrelated", performance.since_s, text, seen.slope, UNRELATED_MAX), None
    sure, text = prior_shift(seen, ("0", "1"), ordered=False)
    return None, Reason("PriorShift", text, sure, SURE) if sure >= SURE else None


def _fault(code: str, since_s: float, text: str, value: float, limit: float) -> Fault:
    return Fault(code, (), since_s, None, Severity.SEVERE, text, value, limit)


def _relation(baseline: Baseline, blocks: Sequence[Block], judged: Flags, since_s: float) -> Relation | None:
    used = [block for block, each in zip(blocks, judged, strict=True) if each and block.scorecard is not None]
    earlier = [_rows(block.scorecard) for block in used if block.scorecard and block.start_s < since_s]
    later = [_rows(block.scorecard) for block in used if block.scorecard and block.start_s >= since_s]
    reference = _rows(baseline.evaluation)
    score, outcome = (np.concatenate([part[at] for part in (reference, *earlier, *later)]) for at in (0, 1))
    known, now = len(reference[0]), sum(len(part[0]) for part in later)
    if known < ROWS_MIN or now < ROWS_MIN:
        return None
    total = len(score)
    scores, loss = np.stack([1 - score, score], axis=1), (score - outcome) ** 2
    found = Outcomes(False, np.arange(total - known), score, outcome, loss, known, np.arange(known), scores, outcome)
    since = np.arange(total) >= total - now
    change = Change(total - known - now, total - known, 1.0, 0.5)
    slope = slope_of(found, since, ~since)
    return Relation(found, change, True, False, since, ~since, [], 0.0, 0.0, slope, 1.0)


def _rows(card: Scorecard) -> tuple[Numbers, Numbers]:
    """(n,) scores (the mean of each row's bin) and (n,) outcomes."""
    counts = card.histogram[0]
    mean = card.score_sums[0] / np.maximum(counts.sum(axis=0), 1)
    score = np.concatenate([np.repeat(mean, counts[of]) for of in (0, 1)])
    outcome = np.repeat(np.array([0.0, 1.0]), counts.sum(axis=1))
    return score, outcome
