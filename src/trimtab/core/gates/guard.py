"""What the guards share: gates that stop what is shown to be bad, beside the performance gate that asks for proof.

    successful     the estimate is within the limit
    inconclusive   the estimate is over the limit, and chance alone could have done it: a person is asked
    failed         the whole confidence interval is over the limit

So small slices and rare groups can't fail by chance, and a guard holds no candidate up for want of rows. That the
candidate is as good as the champion is proved by the performance gate.
"""

from __future__ import annotations

from trimtab.core.domain.verdict import Verdict
from trimtab.core.gates.intervals import Interval


def guard(interval: Interval, limit: float) -> Verdict:
    """Three answers for 'at most ``limit``'; not finite is 'could not be measured'.

    >>> guard(Interval(0.12, 0.05, 0.2, 0.95, ""), 0.1)
    <Verdict.INCONCLUSIVE: 'inconclusive'>
    """
    if interval.estimate != interval.estimate:
        return Verdict.ERROR
    if interval.low > limit:
        return Verdict.FAILED
    return Verdict.INCONCLUSIVE if interval.estimate > limit else Verdict.SUCCESSFUL


SIGN = {Verdict.SUCCESSFUL: "<=", Verdict.FAILED: ">", Verdict.INCONCLUSIVE: "around", Verdict.ERROR: "?"}


def percent(share: float) -> str:
    """
    >>> percent(0.0123), percent(0.25)
    ('1.2 %', '25.0 %')
    """
    return f"{100.0 * share:.1f} %"
