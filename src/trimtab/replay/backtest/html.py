"""The comparison as one page that needs nothing else: pictures are inline, and there is no script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

import numpy as np

from trimtab.core.domain.times import DAY_S
from trimtab.core.policy.facts import Floats
from trimtab.replay.backtest.compare import Comparison, Outcome
from trimtab.replay.backtest.report import NEVER, ORACLE, recommended
from trimtab.replay.page import COLOURS, page, square

WIDTH, HEIGHT = 960, 340
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 14, 46
TICKS = 5


def to_html(done: Comparison) -> str:
    """The whole page."""
    drawn = [policy for policy in done.policies if policy.name != NEVER]
    colours = {policy.name: COLOURS[place % len(COLOURS)] for place, policy in enumerate(drawn)}
    parts = [
        f"<h1>What retraining would have cost: {escape(done.target)}</h1>",
        f'<p class="about">{escape(_about(done))}</p>',
        _advice(done),
        "<h2>Policies</h2>",
        _table(done, colours),
        "<h2>Loss over time, relative to never training again</h2>",
        _key(colours),
        _lines(done, drawn, colours),
        "<h2>What each run cost, and what it brought: cost so far, relative to never training again</h2>",
        _sums(done, drawn, colours),
        "<h2>Every decision</h2>",
        *(_decisions(done, policy, colours.get(policy.name, "#94a3b8")) for policy in done.policies if policy.actions),
        _notes(done),
    ]
    return page(f"Backtest: {done.target}", parts)


def _about(done: Comparison) -> str:
    return (
        f"{done.metric} on {done.rows - done.initial_rows:,} rows in {len(done.batches)} batches from "
        f"{done.batches[0][:10]} to {done.batches[-1][:10]}, after a first version trained on {done.initial_rows:,} "
        "rows. "
        f"A run costs {done.price:g} of a batch's loss. {done.fits} models in {done.seconds:.0f} s."
    )


def _advice(done: Comparison) -> str:
    advice = recommended(done)
    if advice is None:
        return ""
    return f"<h2>Recommended</h2><p>{escape(advice.text)}</p><pre>{escape(advice.yaml)}</pre>"


def _table(done: Comparison, colours: dict[str, str]) -> str:
    heads = ("policy", "cost", "regret", "runs", "rejected", "rolled back", "versions per request", "seconds")
    best = min((p.cost for p in done.policies if p.name != ORACLE), default=0.0)
    rows = []
    for policy in sorted(done.policies, key=lambda policy: policy.cost):
        regret = "" if policy.regret is None else f"{policy.regret:.2f}"
        cells = (
            f"{policy.cost:.3f}",
            regret,
            str(policy.retrains),
            str(policy.rejected),
            str(policy.rollbacks),
            f"{policy.versions:.1f}",
            f"{policy.seconds:.1f}",
        )
        mark = ' class="best"' if policy.cost == best and policy.name != ORACLE else ""
        name = f"{square(colours.get(policy.name, '#94a3b8'))}{escape(policy.name)}"
        rows.append(f"<tr{mark}><td>{name}</td>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{name}</th>" for name in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _key(colours: dict[str, str]) -> str:
    return "<p>" + " &nbsp; ".join(f"{square(c)}{escape(n)}" for n, c in colours.items()) + " &nbsp; ● a run</p>"


def _lines(done: Comparison, drawn: Sequence[Outcome], colours: dict[str, str]) -> str:
    never = np.array(done.never)
    curves = {policy.name: np.array(policy.loss) / never for policy in drawn}
    return _plot(done, drawn, colours, curves)


def _sums(done: Comparison, drawn: Sequence[Outcome], colours: dict[str, str]) -> str:
    never = np.array(done.never)
    charge = done.price * never.mean()
    curves = {}
    for policy in drawn:
        runs = np.zeros(len(never))
        for action in policy.actions:
            runs[action.batch] += charge * (action.action == "retrain")
        curves[policy.name] = np.cumsum(np.array(policy.loss) + runs) / np.cumsum(never)
    return _plot(done, drawn, colours, curves)


def _plot(done: Comparison, drawn: Sequence[Outcome], colours: dict[str, str], curves: dict[str, Floats]) -> str:
    values = np.concatenate([*curves.values(), np.array([1.0])]) if curves else np.array([1.0])
    low, high = min(float(values.min()), 0.95), max(float(np.quantile(values, 0.995)), 1.05)
    count = len(done.batches)

    def x(batch: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * batch / max(1, count - 1)

    def y(value: float) -> float:
        inside = min(max(value, low), high)
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - inside) / (high - low)

    parts = [_axes(done, low, high, x, y)]
    for policy in drawn:
        points = " ".join(f"{x(at):.1f},{y(float(value)):.1f}" for at, value in enumerate(curves[policy.name]))
        colour, dash = colours[policy.name], ' stroke-dasharray="4 3"' if policy.name == ORACLE else ""
        width = 2.6 if policy.name.startswith("trimtab") else 1.4
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="{width}"{dash} points="{points}"/>')
        parts += [
            f'<circle cx="{x(action.batch):.1f}" cy="{y(float(curves[policy.name][action.batch])):.1f}" r="3" '
            f'fill="{colour}"><title>{escape(f"{policy.name}: {action.action}: {action.reason}")}</title></circle>'
            for action in policy.actions
            if action.action == "retrain" and policy.retrains < count / 2
        ]
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>'


def _axes(done: Comparison, low: float, high: float, x: Callable[[int], float], y: Callable[[float], float]) -> str:
    parts = []
    for value in np.linspace(low, high, TICKS):
        at = y(float(value))
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{value:.2f}</text>')
    one = y(1.0)
    parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{one:.1f}" y2="{one:.1f}" stroke="#94a3b8"/>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{one - 5:.1f}" text-anchor="end">never</text>')
    long = done.batch_s * len(done.batches) > 3 * DAY_S
    for batch in np.unique(np.linspace(0, len(done.batches) - 1, 7).astype(int)):
        when = done.batches[int(batch)]
        shown = when[:10] if long else when[5:16].replace("T", " ")
        anchor = "start" if batch == 0 else "end" if batch == len(done.batches) - 1 else "middle"
        parts.append(f'<text x="{x(int(batch)):.1f}" y="{HEIGHT - 22}" text-anchor="{anchor}">{shown}</text>')
    return "".join(parts)


def _decisions(done: Comparison, policy: Outcome, colour: str) -> str:
    rows = "".join(
        f'<tr><td>{action.batch}</td><td class="text">{done.batches[action.batch][:16].replace("T", " ")}</td>'
        f'<td class="text">{escape(action.action)}</td><td class="text">{escape(action.strategy or "")}</td>'
        f'<td class="text">{escape(action.reason)}</td></tr>'
        for action in policy.actions
    )
    head = "<th>batch</th>" + "".join(f'<th class="text">{name}</th>' for name in ("from", "what", "on", "why"))
    is_open = " open" if policy.name == "trimtab" else ""
    return (
        f"<details{is_open}><summary>{square(colour)}{escape(policy.name)}: {policy.retrains} runs</summary>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></details>"
    )


def _notes(done: Comparison) -> str:
    notes = [
        "cost: the sum of the losses and of the price of all runs, divided by the losses of never training again",
        "regret: 0 is the oracle, which sees the future and serves one version at a time; 1 is never; a policy that "
        "lets several versions answer together can be below 0",
        "versions per request: how many versions scored each request, which is what blending costs in serving",
        *done.notes,
    ]
    return "<h2>How to read this</h2><ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>"
