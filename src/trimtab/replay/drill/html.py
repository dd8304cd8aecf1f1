"""A drill as one page: a table, and for each scenario a picture of what was lost and when something was done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from trimtab.core.domain.times import duration_text, iso
from trimtab.replay.drill.drill import Drill
from trimtab.replay.drill.judge import Event, Finding, Line
from trimtab.replay.drill.report import about, cost, decided, delay
from trimtab.reports.page import COLOURS, page, square

WIDTH, HEIGHT = 960, 250
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 30, 34
WITH, WITHOUT, UNBROKEN = COLOURS[0], COLOURS[3], COLOURS[9]
RIGHT_MARK, WRONG_MARK = COLOURS[2], COLOURS[3]
_MARKED = ("incident:", "training starts", "promoted", "aborted", "rolled back", "mended")


def to_html(done: Drill) -> str:
    """The whole page."""
    right = sum(found.right for found in done.findings)
    parts = [
        f"<h1>Drill of {escape(done.name)}: {right} of {len(done.findings)} answers right</h1>",
        f'<p class="about">{escape(about(done))}</p>',
        "<h2>What was noticed, when, and what was decided</h2>",
        _table(done),
        "<h2>Each scenario</h2>",
        f"<p>{done.loss} by block: {square(UNBROKEN)}unbroken &nbsp; {square(WITHOUT)}without the loop &nbsp; "
        f"{square(WITH)}with the loop</p>",
        *(_scenario(done, found) for found in done.findings),
        _notes(done),
    ]
    return page(f"Drill: {done.name}", parts)


def _table(done: Drill) -> str:
    heads = ("scenario", "what happened", "decided", "noticed", "without the loop", "with it", "what came of it", "")
    rows = []
    for found in done.findings:
        without, with_loop = cost(found)
        cells = (found.title, found.recipe, decided(found), delay(found), without, with_loop, found.outcome)
        kinds = ("", "text", "text", "text", "", "", "text")
        tds = "".join(
            f'<td class="{kind}">{escape(cell)}</td>' if kind else f"<td>{escape(cell)}</td>"
            for cell, kind in zip(cells, kinds, strict=True)
        )
        rows.append(f"<tr>{tds}<td>{_mark(found)}</td></tr>")
    text = {"what happened", "decided", "noticed", "what came of it"}
    head = "".join(f'<th class="text">{name}</th>' if name in text else f"<th>{name}</th>" for name in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _mark(found: Finding) -> str:
    colour, word = (RIGHT_MARK, "right") if found.right else (WRONG_MARK, "wrong")
    return f'<span style="color:{colour};font-weight:600">{word}</span>'


def _scenario(done: Drill, found: Finding) -> str:
    said = escape(decided(found)) + (f", {escape(delay(found))}" if found.noticed_s is not None else "")
    wrong = "".join(f"<li>{escape(each)}</li>" for each in found.wrong)
    rows = "".join(
        f'<tr><td>{iso(event.at)[:16].replace("T", " ")}</td><td class="text">{escape(event.what)}</td>'
        f'<td class="text">{escape(event.text)}</td></tr>'
        for event in found.events
    )
    table = f"<table><tbody>{rows}</tbody></table>" if rows else "<p>Nothing was decided.</p>"
    opened = "" if found.right else " open"
    return (
        f"<details{opened}><summary>{_mark(found)} <b>{escape(found.title)}</b>: {escape(found.recipe)} → {said}"
        f"</summary>{f'<ul>{wrong}</ul>' if wrong else ''}"
        f"{'' if found.line is None else _picture(done, found, found.line)}"
        f"{f'<p>{escape(found.reason)}</p>' if found.reason else ''}{table}</details>"
    )


def _picture(done: Drill, found: Finding, line: Line) -> str:
    curves = (line.unbroken, line.without, line.with_loop)
    values = [value for curve in curves for value in curve if value is not None]
    if not values:
        return ""
    high = max(values) * 1.05 or 1.0
    low = min(0.9 * min(values), high * 0.5)
    first, last = line.starts[0], line.starts[-1] + done.block_s

    def x(at: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (at - first) / (last - first)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    parts = [_axes(low, high, first, last, x, y)]
    parts += [
        _curve(line.starts, curve, colour, done.block_s, x, y)
        for curve, colour in zip(curves, (UNBROKEN, WITHOUT, WITH), strict=True)
    ]
    parts += _marks(found, x)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>'


def _axes(
    low: float, high: float, first: float, last: float, x: Callable[[float], float], y: Callable[[float], float]
) -> str:
    parts = []
    for step in range(4):
        value = low + (high - low) * step / 3
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    for step in range(6):
        at = first + (last - first) * step / 5
        anchor = ("start", *["middle"] * 4, "end")[step]
        parts.append(f'<text x="{x(at):.1f}" y="{HEIGHT - 12}" text-anchor="{anchor}">{iso(at)[:10]}</text>')
    return "".join(parts)


def _curve(
    starts: Sequence[float],
    curve: Sequence[float | None],
    colour: str,
    block_s: float,
    x: Callable[[float], float],
    y: Callable[[float], float],
) -> str:
    points = " ".join(
        f"{x(start + block_s / 2):.1f},{y(value):.1f}"
        for start, value in zip(starts, curve, strict=True)
        if value is not None
    )
    return f'<polyline fill="none" stroke="{colour}" stroke-width="1.8" points="{points}"/>'


def _marks(found: Finding, x: Callable[[float], float]) -> list[str]:
    """The onset, and what was done about it."""
    shown: list[Event] = [Event(found.onset_s, "it begins", found.recipe)]
    for event in found.events:
        new = all(event.what != other.what or abs(event.at - other.at) > 1.0 for other in shown)
        if event.what.startswith(_MARKED) and new:
            shown.append(event)
    out = []
    for place, event in enumerate(shown[:9]):
        at = x(event.at)
        anchor = "end" if at > WIDTH * 0.75 else "start"
        shift = -4 if anchor == "end" else 4
        out.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#94a3b8" '
            f'stroke-dasharray="3 3"><title>{escape(f"{event.what}: {event.text}")}</title></line>'
            f'<text x="{at + shift:.1f}" y="{12 + 13 * (place % 4):.1f}" text-anchor="{anchor}">'
            f"{escape(event.what)}</text>"
        )
    return out


def _notes(done: Drill) -> str:
    notes = [
        "without the loop, with it: mean loss since the onset against the same rows unbroken; an outcome that really "
        "changed is lost to every old model",
        f"a block is {duration_text(done.block_s)} (monitoring.block)",
        *done.notes,
        *(f"{name}: not played, {why}" for name, why in done.skipped),
    ]
    return "<h2>How to read this</h2><ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>"
