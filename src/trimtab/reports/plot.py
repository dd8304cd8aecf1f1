"""Small pictures as inline SVG: axes, lines, bands and bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from trimtab.core.domain.times import DAY_S, iso

Values = NDArray[np.float64]

LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 26
LEVEL_CHARS = 18


@dataclass(frozen=True, slots=True)
class Axes:
    """Where a value stands in the picture."""

    x0: float
    x1: float
    y0: float
    y1: float
    width: int = 460
    height: int = 220

    def x(self, value: float) -> float:
        inside = min(max(value, self.x0), self.x1)
        return LEFT + (self.width - LEFT - RIGHT) * (inside - self.x0) / ((self.x1 - self.x0) or 1.0)

    def y(self, value: float) -> float:
        inside = min(max(value, self.y0), self.y1)
        return TOP + (self.height - TOP - BOTTOM) * (self.y1 - inside) / ((self.y1 - self.y0) or 1.0)

    def points(self, xs: Values, ys: Values) -> str:
        """For ``points`` of an SVG polyline."""
        return " ".join(f"{self.x(float(a)):.1f},{self.y(float(b)):.1f}" for a, b in zip(xs, ys, strict=True))

    def svg(self, parts: Sequence[str], title: str) -> str:
        """The picture."""
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(title)}">'
            + "".join(parts)
            + "</svg>"
        )

    def rows(self, percent: bool = False) -> str:
        """Lines across with their values."""
        out = []
        for value in round_ticks(self.y0, self.y1):
            at = self.y(value)
            text = share_text(value, self.y1) if percent else number(value)
            out.append(f'<line class="grid" x1="{LEFT}" x2="{self.width - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
            out.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{text}</text>')
        return "".join(out)

    def columns(self, labels: Sequence[tuple[float, str]]) -> str:
        """Texts below; the outer ones keep inside."""
        out = []
        for place, (value, text) in enumerate(labels):
            near = (self.x(value) < LEFT + 24, self.x(value) > self.width - RIGHT - 24)
            anchor = "start" if near[0] and place == 0 else "end" if near[1] else "middle"
            out.append(
                f'<text x="{self.x(value):.1f}" y="{self.height - 8}" text-anchor="{anchor}">{escape(text)}</text>'
            )
        return "".join(out)


def number(value: float) -> str:
    """A figure on an axis or in a table.

    >>> number(1234567.0), number(0.0012), number(12.0)
    ('1.23M', '0.0012', '12')
    """
    if not np.isfinite(value):
        return "–"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.3g}{letter}"
    return f"{value:.4g}" if abs(value) >= 1000 else f"{value:.3g}"


def p_text(p: float) -> str:
    """A p-value; those too small for a float are not zero.

    >>> p_text(0.0), p_text(0.0123)
    ('< 1e-300', '0.012')
    """
    return "< 1e-300" if p < 1e-300 else f"{p:.2g}"


def share_text(value: float, most: float) -> str:
    """A share on an axis that ends at ``most``."""
    return f"{value:.0%}" if most >= 0.1 else f"{value:.1%}" if most >= 0.01 else f"{value:.2%}"


def round_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About ``count`` round figures between both ends.

    >>> round_ticks(0.0, 1.05)
    [0.0, 0.5, 1.0]
    """
    rough = (high - low) / count
    if not (rough > 0 and np.isfinite(rough)):
        return [low]
    size = 10.0 ** np.floor(np.log10(rough))
    step = float(min((unit * size for unit in (1, 2, 2.5, 5, 10) if unit * size >= rough), default=10 * size))
    first = np.ceil(low / step - 1e-9)
    return [float(step * at) + 0.0 for at in np.arange(first, np.floor(high / step + 1e-9) + 1)]


def number_labels(low: float, high: float) -> list[tuple[float, str]]:
    """Round figures along an axis."""
    return [(value, number(value)) for value in round_ticks(low, high, 5)]


def time_labels(low: float, high: float) -> list[tuple[float, str]]:
    """Four dates (times, where the span is short) along an axis."""
    return [(float(at), when(float(at), high - low)) for at in np.linspace(low, high, 4)]


def when(at: float, span: float) -> str:
    """A moment as precise as the span asks for; plain figures where the times are no dates."""
    if not 0 < at < 4e9 or at < 1e8:  # before 1973: a counter, not a date
        return number(at)
    text = iso(at)
    return text[:10] if span > 3 * DAY_S else text[5:16].replace("T", " ") if span > 600 else text[11:19]


def steps(axes: Axes, edges: Values, heights: Values, style: str) -> str:
    """The outline of a histogram, closed to the ground."""
    xs = np.concatenate([[edges[0]], np.repeat(edges[1:-1], 2), [edges[-1]]])
    ys = np.repeat(heights, 2)
    outline = axes.points(np.concatenate([[edges[0]], xs, [edges[-1]]]), np.concatenate([[0.0], ys, [0.0]]))
    return f'<polygon points="{outline}" {style}/>'


def band(axes: Axes, xs: Values, low: Values, high: Values, colour: str) -> str:
    """A filled band between two lines."""
    outline = axes.points(np.concatenate([xs, xs[::-1]]), np.concatenate([low, high[::-1]]))
    return f'<polygon points="{outline}" fill="{colour}" fill-opacity=".18" stroke="none"/>'


def line(axes: Axes, xs: Values, ys: Values, colour: str, width: float = 1.8) -> str:
    """A line; a single point is a dot."""
    if len(xs) == 1:
        return f'<circle cx="{axes.x(float(xs[0])):.1f}" cy="{axes.y(float(ys[0])):.1f}" r="3" fill="{colour}"/>'
    return f'<polyline fill="none" stroke="{colour}" stroke-width="{width}" points="{axes.points(xs, ys)}"/>'


def upright(axes: Axes, at: float, text: str, colour: str = "var(--bad)") -> str:
    """A dashed line at a moment, with a word."""
    x = axes.x(at)
    side, anchor = (-4, "end") if x > axes.width / 2 else (4, "start")
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{axes.height - BOTTOM}" stroke="{colour}" '
        f'stroke-dasharray="4 3"/><text x="{x + side:.1f}" y="{TOP + 10}" text-anchor="{anchor}" '
        f'style="fill:{colour}">{escape(text)}</text>'
    )


def bars(names: Sequence[str], then: Sequence[float], now: Sequence[float], width: int = 460) -> str:
    """Shares of levels, two bars each, the reference's above."""
    left, right, row = 150, 48, 26
    height = row * len(names) + 8
    most = max([*then, *now, 1e-9])
    room = width - left - right
    out = []
    for place, (name, a, b) in enumerate(zip(names, then, now, strict=True)):
        top = 6 + row * place
        shown = name if len(name) <= LEVEL_CHARS else name[: LEVEL_CHARS - 1] + "…"
        out.append(
            f'<text x="{left - 8}" y="{top + 13}" text-anchor="end">{escape(shown)}<title>{escape(name)}</title></text>'
            f'<rect x="{left}" y="{top}" width="{room * a / most:.1f}" height="8" fill="var(--then)"/>'
            f'<rect x="{left}" y="{top + 9}" width="{room * b / most:.1f}" height="8" fill="var(--now)"/>'
            f'<text x="{left + room * max(a, b) / most + 5:.1f}" y="{top + 13}">{a:.1%}→{b:.1%}</text>'
        )
    return f'<svg viewBox="0 0 {width + 60} {height}" role="img" aria-label="shares of levels">{"".join(out)}</svg>'
