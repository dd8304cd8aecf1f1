"""A drift check as a page: the answer, every column, and pictures of those that moved."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from trimtab.core.domain.times import iso
from trimtab.core.drift.result import DriftResult, FeatureDrift, Summary
from trimtab.core.profiles import Baseline, Profile
from trimtab.core.profiles.timeline import Timeline
from trimtab.reports.feature import distribution, over_time, small
from trimtab.reports.page import notes, page, table
from trimtab.reports.plot import number, p_text

if TYPE_CHECKING:
    from trimtab.offline.drift import Comparison

CARDS = 24
"""Features that have a card of their own; the table has all."""

NOTES = (
    "p: how surprising the largest difference is among all regions of a column's values that were compared; the limit "
    "shares alpha out over the columns, so the chance of any false alarm on the whole page is at most alpha",
    "by: how far the rows moved, in standard deviations of the reference (Wasserstein), or the share of rows that "
    "changed their level; KS and PSI are figures, not alarms: neither has a fixed safe limit",
    "input drift alone is no reason to train again: whether the model suffers is told by labels (trimtab diagnose)",
)


def drift_page(done: Comparison, reference: str = "the reference", current: str = "the current rows") -> str:
    """The whole page."""
    result, view = done.result, done.whole
    moved = [each for each in result.features.values() if each.alarm]
    parts = [
        f"<h1>Drift of {escape(current)}</h1>",
        f'<p class="about">{result.rows:,} rows against {view.baseline.total.rows:,} of {escape(reference)}, '
        f"{len(result.features)} columns</p>",
        _verdict(result),
        moved_cards(view.baseline, view.profile, view.timeline, moved),
        "<h2>All columns</h2>",
        _table(view.baseline, view.profile, result),
        _slices(result),
        _legend(),
        notes(NOTES),
    ]
    return page(f"Drift: {current}", parts)


def _verdict(result: DriftResult) -> str:
    sign = "≤" if result.drifted else "&gt;"
    head = f"Alarm, {result.severity.value}" if result.drifted else "No alarm"
    since = "" if result.since is None else f" since <b>{iso(result.since).replace('T', ' ')[:16]}</b>"
    kind = result.severity.value if result.drifted else "good"
    note = f'<p class="faint">{escape(result.note)}</p>' if result.note else ""
    basis = "rows taken as exchangeable"
    if result.method == "blocks":
        basis = f"beside {result.blocks} windows of the reference's own"
    return (
        f'<div class="verdict {kind}"><b>{head}</b>{since}'
        f"<p>p {p_text(result.p)} {sign} alpha {result.alpha:g}, {basis}</p>{note}</div>"
    )


def _legend() -> str:
    return (
        '<p class="faint"><span class="key" style="background:var(--then)"></span>reference &nbsp; '
        '<span class="key" style="background:var(--now)"></span>current</p>'
    )


def moved_cards(
    baseline: Baseline,
    profile: Profile,
    timeline: Timeline | None,
    moved: list[FeatureDrift],
    since: float | None = None,
) -> str:
    """One card for each feature that moved; ``since`` stands where a feature has no moment of its own."""
    if not moved:
        return ""
    cards = [_card(baseline, profile, timeline, each, since) for each in moved[:CARDS]]
    rest = f"<p class='faint'>{len(moved) - CARDS} more stand in the table below.</p>" if len(moved) > CARDS else ""
    return f"<h2>What moved</h2>{_legend()}{''.join(cards)}{rest}"


def _card(
    baseline: Baseline, profile: Profile, timeline: Timeline | None, each: FeatureDrift, since: float | None
) -> str:
    layout, at = baseline.layout, baseline.layout.index(each.name)
    shape = distribution(layout, at, baseline.total, profile)
    begun = since if each.since is None else each.since
    course = ""
    if timeline is not None:
        then, now = (baseline.blocks, baseline.block_s), (timeline.table, timeline.bucket_s)
        course = over_time(layout, at, then, now, begun)
    pictures = f'<div class="pair"><div>{shape}</div><div>{course}</div></div>'
    when = "" if begun is None else f'<span class="faint">since {iso(begun).replace("T", " ")[:16]}</span>'
    return (
        f'<section class="card"><header><h3>{escape(each.name)}</h3>'
        f'<span class="{each.severity.value}">{escape(each.direction)}</span>'
        f'<span class="faint">{escape(_region(each))}</span>{when}'
        f'<span class="faint">p {p_text(each.p)} ≤ {each.threshold:.2g}</span></header>'
        f"{pictures}{_sides(each)}</section>"
    )


def _region(each: FeatureDrift) -> str:
    if "missing" in each.direction:
        return f"missing {_missing(each)}"
    by = f"{each.wasserstein:.2g} sd" if each.wasserstein == each.wasserstein else f"{each.ks:.1%} of the rows"
    return f"moved by {by}, most at {each.region}" if each.region else f"moved by {by}"


def _sides(each: FeatureDrift) -> str:
    if each.reference is None or each.current is None:
        return ""
    if each.reference.quantiles:
        heads: tuple[str, ...] = ("", "rows", "missing", "mean", "sd")
        heads += ("lowest", "5 %", "25 %", "median", "75 %", "95 %", "highest")
        rows: list[tuple[str, ...]] = [
            ("reference", *_figures(each.reference)),
            ("current", *_figures(each.current)),
        ]
    else:
        heads = ("", "rows", "missing", "new levels")
        news = ", ".join(f"{name} ({count:,})" for name, count in each.unseen_levels) or "none"
        rows = [
            ("reference", f"{each.reference.rows:,}", f"{each.reference.missing:.2%}", ""),
            ("current", f"{each.current.rows:,}", f"{each.current.missing:.2%}", escape(news)),
        ]
    return table(heads, rows)


def _figures(side: Summary) -> tuple[str, ...]:
    low, *middle, high = side.low, *side.quantiles, side.high
    return (
        f"{side.rows:,}",
        f"{side.missing:.2%}",
        number(side.mean),
        number(side.deviation),
        *(number(each) for each in (low, *middle, high)),
    )


def _table(baseline: Baseline, profile: Profile, result: DriftResult) -> str:
    heads = ("column", "", "moved", "by", "KS", "PSI", "missing", "p", "limit")
    rows = []
    for each in result.features.values():
        at = baseline.layout.index(each.name)
        name = f"<b>{escape(each.name)}</b>" if each.alarm else escape(each.name)
        mark = f'<span class="{each.severity.value}">{escape(each.direction)}</span>' if each.alarm else ""
        mark = '<span class="faint">follows the calendar</span>' if each.calendar else mark
        rows.append(
            (
                name,
                small(baseline.layout, at, baseline.total, profile),
                mark,
                f"{each.wasserstein:.2g} sd" if each.wasserstein == each.wasserstein else f"{each.ks:.1%}",
                f"{each.ks:.3f}",
                f"{each.psi:.3f}",
                _missing(each),
                p_text(each.p),
                f"{each.threshold:.2g}",
            )
        )
    return table(heads, rows, text=(1, 2))


def _missing(each: FeatureDrift) -> str:
    before = 0.0 if each.reference is None else each.reference.missing
    return "0" if before == each.missing == 0 else f"{before:.1%} → {each.missing:.1%}"


def _slices(result: DriftResult) -> str:
    if not result.slices:
        return ""
    rows = []
    for name, each in result.slices.items():
        moved = ", ".join(f"{f.name} {f.direction}" for f in each.features.values() if f.alarm)
        since = "" if each.since is None else iso(each.since).replace("T", " ")[:16]
        shown = f"<b>{escape(name)}</b>" if each.drifted else escape(name)
        rows.append((shown, f"{each.rows:,}", escape(moved), since, p_text(each.p), f"{each.alpha:.2g}"))
    heads = ("slice", "rows", "moved", "since", "p", "limit")
    return "<h2>Slices</h2>" + table(heads, rows, text=(2, 3))
