"""Does the current profile differ from the baseline by more than chance, and by more than the baseline differed
from itself?
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from trimtab.core.domain.errors import DataError
from trimtab.core.domain.verdict import Severity
from trimtab.core.drift.blocks import BlockCheck, block_check
from trimtab.core.drift.exact import Exact, exact_check
from trimtab.core.drift.figures import Figures, figures_of, summary_of
from trimtab.core.drift.result import DriftResult, FeatureDrift
from trimtab.core.drift.since import onset
from trimtab.core.profiles import Baseline, Profile
from trimtab.core.profiles.layout import Feature, FeatureKind
from trimtab.core.profiles.timeline import Timeline

BLOCKS_MIN = 20
"""Baseline blocks below which natural variation counts as unknown."""


def check(
    baseline: Baseline,
    profile: Profile,
    alpha: float = 0.01,
    *,
    span_s: float | None = None,
    timeline: Timeline | None = None,
) -> DriftResult:
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
        timeline: the same rows by time: features that alarm then say since when.

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
    each_p = {at: min(1.0, exact[at].p * family) for at in present}
    if calibrated and blocks is not None:
        joint = min((max(blocks.p_of[at], p) for at, p in each_p.items() if at not in blocks.calendar), default=1.0)
        p, method, note = max(blocks.p, joint), "blocks", _tail_note(blocks.blocks, alpha)
    else:
        p, method = min(each_p.values(), default=1.0), "regions"
        note = _uncalibrated_note(blocks.blocks if blocks else 0, timed=len(baseline.blocks) > 0)
    drifted = p <= alpha
    if timeline is not None and drifted:
        found = {at: _dated(baseline, timeline, at, each) for at, each in found.items()}
    ordered = sorted(found.values(), key=lambda each: (not each.alarm, -each.effect, each.p, each.name))
    return DriftResult(
        drifted,
        calibrated,
        alpha,
        p,
        method,
        worst([each.severity for each in ordered if each.alarm]) if drifted else Severity.MINOR,
        profile.rows,
        blocks.blocks if blocks else 0,
        {each.name: each for each in ordered},
        note,
    )


def _dated(baseline: Baseline, timeline: Timeline, at: int, found: FeatureDrift) -> FeatureDrift:
    """With the moment of its change."""
    if not found.alarm or not len(timeline.table):
        return found
    part = baseline.layout.part(at)
    begun = onset(baseline.layout.features[at], baseline.total.counts[part], timeline.table.counts[:, part])
    return replace(found, since=float(timeline.table.starts[begun]))


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
        name=feature.name,
        method=method,
        statistic=statistic,
        threshold=threshold,
        p=p,
        alarm=alarm,
        severity=_severity(figures.moved, weight, len(baseline.importance)) if alarm else Severity.MINOR,
        direction=_direction(feature, exact, figures, profile.names[at]) if exact.p <= limit else "",
        region=exact.region if exact.p <= limit else "",
        ks=figures.ks,
        wasserstein=figures.wasserstein,
        psi=figures.psi,
        js=figures.js,
        missing=figures.missing,
        unseen=figures.unseen,
        mean=figures.mean,
        deviation=figures.deviation,
        effect=effect,
        calendar=calendar,
        reference=summary_of(baseline.layout, baseline.total, at),
        current=summary_of(baseline.layout, profile, at),
        unseen_levels=profile.names[at],
    )


def _direction(feature: Feature, exact: Exact, figures: Figures, unseen: tuple[tuple[str, int], ...]) -> str:
    more = exact.difference > 0
    if exact.first == feature.missing:
        return "more missing" if more else "less missing"
    if feature.kind is FeatureKind.CATEGORY:
        if more and exact.first >= len(feature.levels) and unseen and figures.unseen > exact.difference / 2:
            return f"new '{max(unseen, key=lambda named: named[1])[0]}'"
        return f"{'more' if more else 'less'} {exact.region.removeprefix('= ')}"
    spread = figures.deviation / feature.spread
    if max(spread, 1 / max(spread, 1e-9)) > 1.5 and abs(figures.mean_shift) < abs(spread - 1) / 2:
        return "wider" if spread > 1 else "narrower"
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


def worst(levels: Iterable[Severity]) -> Severity:
    """The worst of them; minor where there are none."""
    return max(levels, key=list(Severity).index, default=Severity.MINOR)


def _uncalibrated_note(blocks: int, *, timed: bool) -> str:
    if not timed:
        return "not calibrated on time: without event times rows are taken as exchangeable"
    return (
        f"not calibrated on time: {blocks} windows of the reference are as long as these rows, {BLOCKS_MIN} are needed "
        "to know its variation over time; the alarm holds for rows that could be exchanged with the reference's"
    )


def _tail_note(blocks: int, alpha: float) -> str:
    exact_from = 2 / (blocks + 1)
    return (
        ""
        if alpha >= exact_from
        else f"exact only for alpha >= {exact_from:.3g} with {blocks} baseline blocks; a tail is assumed"
    )
