"""The churn gate: how many answers that were right would be wrong with the new version?

Answers change with every training; what people downstream notice are the regressions: rows that the champion has right
and the candidate wrong (negative flips). For a number: rows whose error grows by more than the champion's mean error.

Source: Yan et al., "Positive-congruent training: towards regression-free model updates", CVPR 2021.
"""

from __future__ import annotations

import numpy as np

from trimtab.core.domain.gate import GateResult
from trimtab.core.domain.verdict import Verdict
from trimtab.core.gates.guard import SIGN, guard, percent
from trimtab.core.gates.intervals import jackknife_interval
from trimtab.core.gates.metrics import Answers

GATE = "churn"


def churn_gate(ours: Answers, champion: Answers, *, limit: float, name: str, level: float = 0.95) -> GateResult:
    """Compare the share of regressions with the limit.

    Args:
        ours: the candidate's answers, rows in time order.
        champion: on the same rows.
        limit: largest share.
        name: of the champion, for the words.

    >>> truth, scores = np.zeros(400), np.tile([0.5, 0.5], (400, 1))
    >>> new = Answers(truth, np.tile([0.0, 1.0], 200), scores)
    >>> churn_gate(new, Answers(truth, truth, scores), limit=0.1, name="v1").verdict.value
    'failed'
    """
    if len(ours.truth) < 2:
        return GateResult(GATE, Verdict.INCONCLUSIVE, f"{len(ours.truth)} rows to compare on", None, limit, "share")
    if ours.scores is None and champion.scores is None:
        mine, theirs = np.abs(ours.truth - ours.predicted), np.abs(champion.truth - champion.predicted)
        worse, better = mine > theirs + theirs.mean(), theirs > mine + theirs.mean()
        differ = np.abs(ours.predicted - champion.predicted) > theirs.mean()
        words = ("have a much larger error", "a much smaller one")
    else:
        right, was = ours.predicted == ours.truth, champion.predicted == champion.truth
        worse, better = was & ~right, right & ~was
        differ = ours.predicted != champion.predicted
        words = (f"were right with {name} and are wrong now", "the other way round")
    interval = jackknife_interval(lambda rows: float(worse[rows].mean()), len(worse), level)
    verdict = guard(interval, limit)
    text = (
        f"{percent(interval.estimate)} of the rows {words[0]} {SIGN[verdict]} {percent(limit)} "
        f"({percent(better.mean())} {words[1]}; {percent(differ.mean())} of {len(worse):,} answers differ; "
        f"{100 * level:g} % interval {percent(max(0.0, interval.low))} to {percent(interval.high)})"
    )
    return GateResult(GATE, verdict, text, interval.estimate, limit, "share")
