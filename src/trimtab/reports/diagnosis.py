"""A diagnosis as a page: what is wrong, what to do, the evidence, and pictures of the loss and of the columns named."""

from __future__ import annotations

import functools
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from trimtab.core.diagnosis.result import Block, BlockView, PerformanceResult
from trimtab.core.domain.diagnosis import Diagnosis, Kind
from trimtab.core.domain.times import iso
from trimtab.core.drift.check import check
from trimtab.core.drift.result import FeatureDrift
from trimtab.core.profiles import Profile
from trimtab.core.profiles.blocks import BlockTable
from trimtab.core.profiles.timeline import Timeline
from trimtab.reports.course import ROWS_MIN
from trimtab.reports.drift import moved_cards
from trimtab.reports.page import notes, page, square, table
from trimtab.reports.plot import Axes, line, number, time_labels, upright

if TYPE_CHECKING:
    from trimtab.offline import Look

CARDS = 8
"""Columns that are drawn where the diagnosis names none."""
NOTES = (
    "the answer weighs causes in the order in which an earlier one explains what a later one would see: broken data "
    "and labels first, then a changed world; the weights of the other causes are what is left",
    "columns: the rows since the onset beside the reference; a column that moved is no reason to train again by itself",
    "loss: the model's loss on labelled rows by stretch of time; dashed is its loss out of sample before",
)


def diagnosis_page(look: Look, todo: str, reference: str = "the reference", current: str = "the current rows") -> str:
    """The whole page; ``todo`` says in words what the remedy means."""
    found = look.assessment
    rows = sum(block.profile.rows for block in look.blocks)
    parts = [
        f"<h1>Diagnosis of {escape(current)}</h1>",
        f'<p class="about">{rows:,} rows in {len(look.blocks)} stretches of time, against '
        f"{look.baseline.total.rows:,} of {escape(reference)}</p>",
        _verdict(found.diagnosis, todo),
        _evidence(found.diagnosis),
        _loss(found.blocks, found.performance, found.diagnosis.since),
        _columns(look),
        notes(NOTES),
    ]
    return page(f"Diagnosis: {current}", parts)


def _verdict(found: Diagnosis, todo: str) -> str:
    calm = found.kind is Kind.NONE
    head = "Nothing is wrong" if calm else f"{found.kind.value}, {found.severity.value}"
    since = "" if found.since is None else f" since <b>{iso(found.since).replace('T', ' ')[:16]}</b>"
    where = ", ".join([*found.features, *found.slices])
    lines = [f"in {escape(where)}"] if where else []
    lines.append(f"<b>{found.remedy.value}</b>: {escape(todo)}")
    others = ", ".join(f"{each.kind.value} ({each.weight:.0%})" for each in found.alternatives[:3])
    lines += [f'<span class="faint">otherwise {others}</span>'] if others else []
    body = "".join(f"<p>{each}</p>" for each in lines)
    return f'<div class="verdict {"good" if calm else found.severity.value}"><b>{head}</b>{since}{body}</div>'


def _evidence(found: Diagnosis) -> str:
    if not found.reasons:
        return ""
    rows = [
        (
            escape(reason.code),
            escape(reason.text),
            "" if reason.value is None else number(reason.value),
            "" if reason.limit is None else number(reason.limit),
        )
        for reason in found.reasons
    ]
    return "<h2>Evidence</h2>" + table(("code", "what was seen", "value", "limit"), rows, text=(1,))


def _loss(views: tuple[BlockView, ...], performance: PerformanceResult | None, since: float | None) -> str:
    labelled = [view for view in views if view.labelled >= ROWS_MIN and np.isfinite(view.loss)]
    if performance is None or not labelled:
        return "<h2>Loss</h2><p class='faint'>No labelled rows: nothing is known of the loss.</p>"
    at = np.array([(view.start_s + view.end_s) / 2 for view in labelled])
    loss = np.array([view.loss for view in labelled])
    level = performance.baseline_loss
    top = max(float(loss.max()), level) * 1.1 or 1.0
    axes = Axes(views[0].start_s, views[-1].end_s, 0.0, top, 940, 260)
    marks = [upright(axes, since, "since here")] if since is not None else []
    dots = "".join(
        f'<circle cx="{axes.x(float(x)):.1f}" cy="{axes.y(float(y)):.1f}" r="3.2" '
        f'fill="{"var(--bad)" if view.faulty else "var(--now)" if view.judged else "var(--paper)"}" '
        f'stroke="{"var(--bad)" if view.faulty else "var(--now)"}"><title>{escape(_told(view))}</title></circle>'
        for x, y, view in zip(at, loss, labelled, strict=True)
    )
    usual = axes.y(level)
    drawn = [
        axes.rows(),
        f'<line x1="{axes.x(axes.x0)}" x2="{axes.x(axes.x1)}" y1="{usual:.1f}" y2="{usual:.1f}" stroke="var(--then)" '
        'stroke-dasharray="6 3"/>',
        f'<text x="{axes.x(axes.x0) + 4}" y="{usual - 6:.1f}">before: {number(level)}</text>',
        line(axes, at, loss, "var(--now)"),
        dots,
        *marks,
        axes.columns(time_labels(axes.x0, axes.x1)),
    ]
    key = f"{square('var(--now)')}judged &nbsp; {square('var(--bad)')}data or labels broken &nbsp; hollow: not judged"
    words = f"<p>{escape(performance.text)}</p>" if performance.text else ""
    return f'<h2>Loss</h2>{words}{axes.svg(drawn, "loss over time")}<p class="faint">{key}</p>'


def _told(view: BlockView) -> str:
    return f"{iso(view.start_s)[:16].replace('T', ' ')}: loss {view.loss:.4g} on {view.labelled:,} labelled rows"


def _columns(look: Look) -> str:
    """The columns that the diagnosis names, else those that moved most, since the onset."""
    found = look.assessment.diagnosis
    newer = [block for block in look.blocks if found.since is None or block.end_s > found.since]
    total = functools.reduce(Profile.__add__, (block.profile for block in newer or look.blocks))
    drift = check(look.baseline, total)
    named = [drift.features[name] for name in found.features if name in drift.features]
    chosen: list[FeatureDrift] = named or [each for each in drift.features.values() if each.alarm][:CARDS]
    return moved_cards(look.baseline, total, _timeline(look.blocks), chosen, found.since)


def _timeline(blocks: tuple[Block, ...]) -> Timeline | None:
    if not blocks:
        return None
    profiles = [block.profile for block in blocks]
    table_of = BlockTable(
        np.array([block.start_s for block in blocks]),
        np.array([profile.rows for profile in profiles], dtype=np.int64),
        np.stack([profile.counts for profile in profiles]).astype(np.int32),
        np.stack([profile.stats for profile in profiles]),
        np.stack([profile.low for profile in profiles]),
        np.stack([profile.high for profile in profiles]),
    )
    return Timeline(blocks[0].end_s - blocks[0].start_s, table_of)
