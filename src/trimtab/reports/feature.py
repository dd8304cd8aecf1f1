"""The pictures of one feature: both distributions, and its course over time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trimtab.core.profiles.blocks import BlockTable
from trimtab.core.profiles.layout import Feature, FeatureKind, Layout
from trimtab.core.profiles.profile import Profile
from trimtab.reports.course import POINTS, Course, course_of, densities
from trimtab.reports.page import COLOURS
from trimtab.reports.plot import Axes, band, bars, line, number, number_labels, steps, time_labels, upright

Values = NDArray[np.float64]

LEVELS = 10
"""Levels of a category that are drawn, those that moved most."""
VALUES_MAX = 16
"""Distinct values of a number up to which each has its bar."""
LINES = 4

THEN, NOW = "var(--then)", "var(--now)"


def distribution(layout: Layout, at: int, then: Profile, now: Profile) -> str:
    """Reference and current rows, one above the other."""
    feature = layout.features[at]
    if feature.kind is FeatureKind.CATEGORY or (feature.discrete and len(feature.edges) <= VALUES_MAX + 1):
        return _levels(layout, at, then, now)
    edges, a, b = densities(layout, at, then, now)
    axes = Axes(float(edges[0]), float(edges[-1]), 0.0, float(max(a.max(), b.max(), 1e-9)) * 1.05)
    parts = [
        axes.rows(percent=True),
        steps(axes, edges, a, 'fill="var(--then)" fill-opacity=".35" stroke="var(--then)"'),
        steps(axes, edges, b, 'fill="var(--now)" fill-opacity=".15" stroke="var(--now)" stroke-width="1.6"'),
        axes.columns(number_labels(float(edges[0]), float(edges[-1]))),
    ]
    return axes.svg(parts, f"distribution of {feature.name}")


def small(layout: Layout, at: int, then: Profile, now: Profile) -> str:
    """The same, as small as a word."""
    feature = layout.features[at]
    if feature.kind is FeatureKind.CATEGORY or (feature.discrete and len(feature.edges) <= VALUES_MAX + 1):
        _, a, b = _shares(layout, at, then, now)
        order = np.argsort(-np.maximum(a, b), kind="stable")[:12]
        a, b = a[np.sort(order)], b[np.sort(order)]
    else:
        _, a, b = densities(layout, at, then, now)
        a, b = (side.reshape(18, -1).sum(axis=1) for side in (a, b))
    most, count = max(float(a.max()), float(b.max()), 1e-9), len(a)

    def outline(side: Values) -> str:
        return " ".join(
            f"{x:.1f},{20 - 18 * float(v) / most:.1f}"
            for i, v in enumerate(side)
            for x in (90 * i / count, 90 * (i + 1) / count)
        )

    return (
        '<svg viewBox="0 0 90 22" style="width:90px;height:22px" role="img" aria-label="both distributions">'
        f'<polygon points="0,20 {outline(a)} 90,20" fill="{THEN}" fill-opacity=".45"/>'
        f'<polyline points="{outline(b)}" fill="none" stroke="{NOW}" stroke-width="1.4"/></svg>'
    )


def _levels(layout: Layout, at: int, then: Profile, now: Profile) -> str:
    names, a, b = _shares(layout, at, then, now)
    order = np.argsort(-np.abs(a - b), kind="stable")[:LEVELS]
    by_size = layout.features[at].kind is FeatureKind.CATEGORY
    order = order[np.argsort(-np.maximum(a, b)[order], kind="stable")] if by_size else np.sort(order)
    order = order[(a[order] > 0) | (b[order] > 0)]
    return bars([names[i] for i in order], a[order].tolist(), b[order].tolist())


def _shares(layout: Layout, at: int, then: Profile, now: Profile) -> tuple[list[str], Values, Values]:
    """Names of the levels (or values), and their shares on both sides, missing included."""
    feature, part = layout.features[at], layout.part(at)
    sides = [profile.counts[part] / max(int(profile.counts[part].sum()), 1) for profile in (then, now)]
    if feature.kind is FeatureKind.CATEGORY:
        known = len(feature.levels)
        names = [*feature.levels, "other levels", "missing"]
        a, b = (np.concatenate([side[:known], [side[known:-1].sum()], side[-1:]]) for side in sides)
        return names, a, b
    values = [number(float(edge)) for edge in feature.edges[:-1]]
    names = [f"below {values[0]}", *values, f"above {values[-1]}", "missing"]
    return names, sides[0], sides[1]


def over_time(
    layout: Layout, at: int, then: tuple[BlockTable, float], now: tuple[BlockTable, float], since: float | None
) -> str:
    """Median and the range of nine tenths of the rows (or shares of levels), before and now; empty without times.

    Args:
        then, now: blocks and their length in seconds.
    """
    feature = layout.features[at]
    points = _points(then, now)
    before, after = course_of(layout, at, *then, points[0]), course_of(layout, at, *now, points[1])
    if not len(after.at):
        return ""
    low = float(min([*before.at, *after.at]))
    high = float(max([*before.at, *after.at]))
    gap = np.concatenate([before.missing, after.missing])
    emptied = len(gap) > 0 and float(gap.max() - gap.min()) > 0.02
    if feature.kind is FeatureKind.CATEGORY:
        return _share_lines(feature, before, after, (low, high), since)
    middle = np.concatenate([before.middle, after.middle])
    if emptied and (not np.isfinite(middle).any() or np.abs(after.missing - np.nanmean(before.missing)).max() > 0.1):
        axes = Axes(low, high, 0.0, min(max(float(gap.max()) * 1.05, 0.05), 1.0))
        drawn = [
            line(axes, side.at, side.missing, colour) for side, colour in ((before, THEN), (after, NOW)) if len(side.at)
        ]
        return _framed(axes, drawn, since, f"missing values of {feature.name}", percent=True, caption="share missing")
    everything = np.concatenate([before.low, before.high, after.low, after.high])
    everything = everything[np.isfinite(everything)]
    if not everything.size:
        return ""
    room = 0.05 * float(np.ptp(everything)) or 0.5
    axes = Axes(low, high, float(everything.min()) - room, float(everything.max()) + room)
    drawn = []
    for side, colour in ((before, THEN), (after, NOW)):
        kept = np.isfinite(side.middle)
        if kept.any():
            drawn.append(band(axes, side.at[kept], side.low[kept], side.high[kept], colour))
            drawn.append(line(axes, side.at[kept], side.middle[kept], colour))
    return _framed(axes, drawn, since, f"{feature.name} over time", percent=False, caption="median, 5 % to 95 %")


def _points(then: tuple[BlockTable, float], now: tuple[BlockTable, float]) -> tuple[int, int]:
    """Shared out by the room that each side takes in the picture."""
    spans = [float(np.ptp(table.starts)) + length if len(table) else 0.0 for table, length in (then, now)]
    share = spans[1] / max(sum(spans), 1e-300)
    own = int(np.clip(round(POINTS * share), 12, POINTS - 12))
    return POINTS - own, own


def _share_lines(
    feature: Feature, before: Course, after: Course, span: tuple[float, float], since: float | None
) -> str:
    was = before.shares.mean(axis=0) if len(before.shares) else np.zeros(after.shares.shape[1])
    order = np.argsort(-np.abs(after.shares.mean(axis=0) - was), kind="stable")[:LINES]
    names = [*feature.levels, "other levels"]
    shares = np.concatenate([before.shares[:, order].ravel(), after.shares[:, order].ravel()])
    axes = Axes(*span, 0.0, min(max(float(shares.max()) * 1.05, 0.01), 1.0))
    drawn, key = [], []
    for place, level in enumerate(order):
        colour = COLOURS[place]
        if len(before.at):
            drawn.append(f'<g opacity=".55">{line(axes, before.at, before.shares[:, level], colour, 1.2)}</g>')
        drawn.append(line(axes, after.at, after.shares[:, level], colour))
        key.append((names[int(level)], colour))
    legend = "".join(
        f'<tspan dx="{10 if place else 0}" style="fill:{colour}">{_escaped(name)}</tspan>'
        for place, (name, colour) in enumerate(key)
    )
    return _framed(axes, drawn, since, f"{feature.name} over time", percent=True, caption=legend)


def _escaped(name: str) -> str:
    from html import escape

    return escape(name if len(name) <= 16 else name[:15] + "…")


def _framed(axes: Axes, drawn: list[str], since: float | None, title: str, *, percent: bool, caption: str) -> str:
    marks = [upright(axes, since, "since here")] if since is not None and axes.x0 <= since <= axes.x1 else []
    middle = (axes.x0 + axes.x1) / 2
    below = [axes.columns(time_labels(axes.x0, axes.x1))]
    words = f'<text x="{axes.x(middle):.0f}" y="{axes.height + 12}" text-anchor="middle">{caption}</text>'
    tall = Axes(axes.x0, axes.x1, axes.y0, axes.y1, axes.width, axes.height + 18)
    return tall.svg([axes.rows(percent=percent), *drawn, *marks, *below, words], title)
