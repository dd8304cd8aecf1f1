"""The shell of every page: style, tables, and writing it whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

COLOURS = ("#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2", "#be185d", "#4d7c0f", "#9a3412", "#475569")

_STYLE = """
:root { color-scheme: light dark;
  --ink: #1e293b; --faint: #64748b; --line: #e2e8f0; --paper: #ffffff; --card: #f8fafc;
  --then: #94a3b8; --now: #2563eb; --bad: #dc2626; --warn: #d97706; --good: #059669; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e2e8f0; --faint: #94a3b8; --line: #334155; --paper: #0f172a; --card: #1e293b;
    --then: #64748b; --now: #60a5fa; --bad: #f87171; --warn: #fbbf24; --good: #34d399; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 1000px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 0; } p { margin: .4rem 0; }
p.about, .faint { color: var(--faint); } p.about { margin: .3rem 0 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { font-weight: 500; color: var(--faint); }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child, td.text, th.text { text-align: left; }
td:first-child { overflow-wrap: anywhere; }
tr.best td { font-weight: 600; } .key { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px;
  margin-right: .5rem; vertical-align: -1px; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: .8rem 1rem;
  overflow-x: auto; }
details { border: 1px solid var(--line); border-radius: 6px; padding: .4rem .8rem; margin: .5rem 0; }
summary { cursor: pointer; } svg text { fill: var(--faint); font: 12px system-ui, sans-serif; }
svg .grid { stroke: var(--line); } svg { width: 100%; height: auto; display: block; }
.verdict { border: 1px solid var(--line); border-left: 5px solid var(--good); border-radius: 6px;
  background: var(--card); padding: .7rem 1rem; margin: 1.2rem 0; }
.verdict.minor { border-left-color: var(--then); } .verdict.moderate { border-left-color: var(--warn); }
.verdict.severe { border-left-color: var(--bad); } .verdict b { font-size: 1.1rem; }
.severe { color: var(--bad); } .moderate { color: var(--warn); }
.verdict.severe, .verdict.moderate { color: var(--ink); }
.card { border: 1px solid var(--line); border-radius: 8px; padding: .9rem 1rem; margin: 1rem 0; }
.card header { display: flex; flex-wrap: wrap; gap: .2rem 1rem; align-items: baseline; margin-bottom: .5rem; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1.2rem; }
@media (max-width: 760px) { .pair { grid-template-columns: 1fr; } }
.wide { overflow-x: auto; }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page of finished parts; empty ones are left out."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body></html>\n"
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], text: Iterable[int] = ()) -> str:
    """Cells are finished HTML; ``text`` are the columns that are no figures (the first never is one)."""
    words = set(text)

    def cell(tag: str, at: int, content: str) -> str:
        kind = ' class="text"' if at in words else ""
        return f"<{tag}{kind}>{content}</{tag}>"

    head = "".join(cell("th", at, escape(name)) for at, name in enumerate(heads))
    body = "".join("<tr>" + "".join(cell("td", at, each) for at, each in enumerate(row)) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def square(colour: str) -> str:
    """The colour of a line, for a legend."""
    return f'<span class="key" style="background:{colour}"></span>'


def notes(lines: Iterable[str]) -> str:
    """What a reader must know, at the end."""
    return "<h2>How to read this</h2><ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def write_text(path: Path, content: str) -> None:
    """Write aside and rename, so that nobody opens half of it.

    Raises:
        OSError: the folder is not there or not writable.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(content, encoding="utf-8")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
