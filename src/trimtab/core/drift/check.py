"""Does the current profile differ from the baseline by more than chance, and by more than the baseline differed
from itself?
"""

from __future__ import annotations

from trimtab.core.domain.errors import DataError
from trimtab.core.domain.verdict import Severity
from trimtab.core.drift.blocks import BlockCheck, block_check
from trimtab.core.drift.exact import Exact, exact_check
from trimtab.core.drift.figures import Figures, figures_of
from trimtab.core.drift.result import DriftResult, FeatureDrift
from trimtab.core.profiles import Baseline, Profile
from trimtab.core.profiles.layout import Feature, FeatureKind

BLOCKS_MIN = 20
"""Baseline blocks below which natural variation counts as unknown."""


def check(baseline: Baseline, profile: Profile, alpha: float = 0.01, *, span_s: float | None = None) -> DriftResult:
    """Compare a profile with the baseline.

    Two alarms. *Regions*: exact for rows that could be exchanged with the baseline's (hypergeometric p-values over
    fixed regions, Bonferroni
    over regions and features: the probability of any false alarm of the whole check is at most alpha, at any size
    and under any
    dependence between features). *Blocks*: where the baseline has at least 20 blocks of event time, the current
    window must also stand
    out from them; so seasons of that length and clustered days are not drift. ``drifted`` then needs both. The
    block test is
    exact for alpha >= 2 / (blocks + 1); below, it assumes a tail beyond the record that falls with the third power.

    Args:
        profile: of ``baseline.profile``, of a window of any length.
        alpha: probability of any false alarm of this check.
        span_s: length of the window in event time; baseline blocks are joined to that length. None: judged by the
        number of rows.

    Raises:
        DataError: the profile was counted in another baseline's bins, or alpha is not in (0, 1).
    """
    if profile.digest != baseline.layout.digest:
        raise DataError("the profile was counted in the bins of another baseline; use this baseline's profile()")
    if not 0 < alpha < 1:
        raise DataError(f"alpha must lie between 0 and 1, found {alpha}")
    layout = baseline.layout
    present = [at for at in range(len(layout.features)) if _both(baseline, profile, at)]
    blocks = block_check(baseline, profile, present, span_s)
    calibrated = blocks is not None and blocks.blocks >= BLOCKS_MIN
    exact = exact_check(baseline, profile, present)
    family = max(sum(each.testable for each in exact.values()), 1)
    limit = alpha / family
    found = {}
    for at in present:
        found[at] = _feature(baseline, profile, at, exact[at], blocks if calibrated else None, limit, alpha)
    p_exact = min((min(1.0, each.p * family) for each in exact.values()), default=1.0)
    judged = [each for each in found.values() if each.alarm]
    if calibrated and blocks is not None:
        drifted = blocks.p <= alpha and p_exact <= alpha
        p, method, note = max(blocks.p, p_exact), "blocks", _tail_note(blocks.blocks, alpha)
    else:
        drifted, p, method = p_exact <= alpha, p_exact, "regions"
        note = f"not calibrated on time: {blocks.blocks if blocks else 0} baseline blocks, {BLOCKS_MIN} are needed"
    ordered = sorted(found.values(), key=lambda each: (not each.alarm, -each.effect, each.p, each.name))
    severity = _worst([each.severity for each in judged]) if drifted else Severity.MINOR
    return DriftResult(
        drifted,
        calibrated,
        alpha,
        p,
        method,
        severity,
        profile.rows,
        blocks.blocks if blocks else 0,
        {each.name: each for each in ordered},
        note,
    )


def _both(baseline: Baseline, profile: Profile, at: int) -> bool:
    part = baseline.layout.part(at)
    return bool(baseline.total.counts[part].any() and profile.counts[part].any())


def _feature(
    baseline: Baseline,
    profile: Profile,
    at: int,
    exact: Exact,
    blocks: BlockCheck | None,
    limit: float,
    alpha: float,
) -> FeatureDrift:
    feature = baseline.layout.features[at]
    figures = figures_of(baseline, profile, at)
    calendar = blocks is not None and at in blocks.calendar
    if blocks is None:
        alarm, method, statistic, threshold, p = exact.p <= limit, "regions", exact.difference, limit, exact.p
    else:
        own = blocks.p_of.get(at, 1.0)
        alarm = own <= alpha and exact.p <= limit and not calendar and blocks.p <= alpha
        method, statistic, threshold, p = "blocks", blocks.score_of.get(at, 0.0), alpha, max(own, exact.p)
    weight = baseline.importance.get(feature.name)
    effect = (weight or 0.0) * figures.moved
    return FeatureDrift(
        feature.name,
        method,
        statistic,
        threshold,
        p,
        alarm,
        _severity(figures.moved, weight, len(baseline.importance)) if alarm else Severity.MINOR,
        _direction(feature, exact, figures) if exact.p <= limit else "",
        exact.region if exact.p <= limit else "",
        figures.ks,
        figures.wasserstein,
        figures.psi,
        figures.js,
        figures.missing,
        figures.unseen,
        figures.mean,
        figures.deviation,
        effect,
        calendar,
    )


def _direction(feature: Feature, exact: Exact, figures: Figures) -> str:
    more = exact.difference > 0
    if exact.first == feature.missing:
        return "more missing" if more else "less missing"
    if feature.kind is FeatureKind.CATEGORY:
        return f"{'more' if more else 'less'} {exact.region.removeprefix('= ')}"
    if exact.first == 0:
        return "lower" if more else "higher"
    if exact.last == exact.first + 1:
        return f"{'more' if more else 'less'} {exact.region}"
    if abs(figures.mean_shift) > 0.1:
        return "higher" if figures.mean_shift > 0 else "lower"
    return "narrower" if more else "wider"


def _severity(moved: float, weight: float | None, features: int) -> Severity:
    """By how far it moved, one step less where the model hardly uses the feature."""
    level = 2 if moved >= 0.5 else 1 if moved >= 0.1 else 0
    if weight is not None and features and weight < 0.25 / features:
        level -= 1
    return (Severity.MINOR, Severity.MODERATE, Severity.SEVERE)[max(level, 0)]


def _worst(levels: list[Severity]) -> Severity:
    order = (Severity.SEVERE, Severity.MODERATE)
    return next((level for level in order if level in levels), Severity.MINOR)


def _tail_note(blocks: int, alpha: float) -> str:
    exact_from = 2 / (blocks + 1)
    return (
        ""
        if alpha >= exact_from
        else f"exact only for alpha >= {exact_from:.3g} with {blocks} baseline blocks; a tail is assumed"
    )
