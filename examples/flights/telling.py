"""The demo's voice: one line per event, in plain words, with the figure that decided."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from results import deciding
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from trimtab.controller.queries import describe
from trimtab.core.domain.journal import Entry

QUIET = ("Alert", "FinishTraining", "Note")
"""Told with the other actions of their decision, or not worth a line."""

STYLES = {
    "Promote": "bold green", "DeployFirst": "bold green", "Abort": "bold red", "RollBack": "bold red",
    "OpenIncident": "bold yellow", "CloseIncident": "green", "StartTraining": "cyan",
}  # fmt: skip


def day(at: float) -> str:
    """``26 Feb`` in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%d %b")


class Teller:
    """Prints events as they happen, with a progress line under them where there is a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._minor: set[str] = set()
        """Incidents that were only noted: their end is not told."""

    def say(self, text: str, style: str = "") -> None:
        """A line of its own."""
        self._line(Text(text, style=style))

    def event(self, at: float, text: str, style: str = "") -> None:
        """A dated line."""
        self._line(Text.assemble((f"{day(at)}  ", "dim"), (text, style)))

    def _line(self, line: Text) -> None:
        """Wrapped by the terminal's width; in a file each event is one line."""
        self.console.print(line, soft_wrap=not self.console.is_terminal)

    def world(self, at: float, text: str) -> None:
        """Something that happens outside, which the loop is not told."""
        self.event(at, f"[outside] {text}", "magenta")

    def entry(self, entry: Entry) -> None:
        """A decision of the journal."""
        for action in entry.actions:
            style = STYLES.get(str(action["type"]), "")
            if action["type"] == "OpenIncident" and action["severity"] == "minor":
                self._minor.add(action["incident"])
                style = "dim"
            told = action["type"] not in QUIET and not self._closes_minor(action)
            if told:
                self.event(entry.at, sentence(action, entry), style)
        if entry.actions and all(action["type"] in ("Alert", "FinishTraining") for action in entry.actions):
            self.event(entry.at, describe(entry.actions[0]) + because(entry), "yellow")

    def _closes_minor(self, action: dict[str, Any]) -> bool:
        return action["type"] == "CloseIncident" and action["incident"] in self._minor

    @contextmanager
    def progress(self, first: float, last: float) -> Iterator[None]:
        """A bar over event time, live only on a terminal."""
        bar = Progress(
            TextColumn("{task.fields[day]}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn(),
            console=self.console, transient=True, disable=not self.console.is_terminal,
        )  # fmt: skip
        with bar:
            self._progress, self._task = bar, bar.add_task("", total=last - first, day=day(first), note="")
            try:
                yield
            finally:
                self._progress = None

    def at(self, done_s: float, now: float, note: str) -> None:
        """Move the bar."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done_s, day=day(now), note=note)

    def ending(self, summary: dict[str, Any], missed: list[str]) -> bool:
        """The summary on a page; whether all happened that the story promises."""
        self.say("")
        self.say("The year in figures", "bold")
        for name, value in figures(summary):
            self._line(Text.assemble((f"  {name:<24}", "dim"), value))
        for problem in summary["problems"]:
            self.say(f"  an effect had to be tried again: {problem}", "yellow")
        for what in missed:
            self.say(f"  did not happen: {what}", "bold red")
        self.say("")
        self.say("Look at demo/report.html. Then, in demo/:", "bold")
        for command, what in NEXT:
            self._line(Text.assemble((f"  {command:<34}", "cyan"), (what, "dim")))
        return not missed


NEXT = (
    ("../.venv/bin/trimtab versions", "all versions, and what their gates said"),
    ("../.venv/bin/trimtab history", "all decisions; `trimtab why ID` tells the story of one"),
    ("../.venv/bin/trimtab status", "what serves now"),
    ("../.venv/bin/trimtab rollback", "return to the version before, at once"),
)


def figures(s: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and values of the summary."""
    bad = s["bad_version"]
    harm = f": Brier {bad['brier']:.3f} against {bad['champion_brier']:.3f} on {bad['rows']:,} rows" if bad else ""
    rows = sum(each["rows"] for each in s["trained"])
    return [
        ("requests", f"{s['requests']:,} in {s['seconds']:.0f} s, {s['failed_requests']} failed"),
        ("labels", f"{s['labels']:,}"),
        ("versions", ", ".join(f"v{v['version']} {v['fate']}" for v in s["versions"])),
        ("quality with the loop", f"{s['quality_with_loop']:.4f}   (log loss {s['log_loss_with_loop']:.4f})"),
        ("version 1 for ever", f"{s['quality_without_loop']:.4f}   (log loss {s['log_loss_without_loop']:.4f})"),
        ("data fault", "recognised, alerted, closed" if s["data_fault_diagnosed"] else "not recognised"),
        ("trained on broken rows", f"{sum(each['quarantined'] + each['broken'] for each in s['trained'])} of {rows:,}"),
        ("the bad version", ("aborted in its canary" if s["bad_version_aborted"] else "was not aborted") + harm),
        ("decisions", f"{len(s['decisions'])} in the journal, each with its evidence"),
    ]


def sentence(action: dict[str, Any], entry: Entry) -> str:
    """An action of a decision in plain words."""
    kind = action["type"]
    if kind == "RecordVersion":
        return _recorded(action)
    if kind == "StartTraining":
        return f"training starts{because(entry)}"
    if kind == "EnterStep":
        if action["step"] == 0:
            return f"canary: the challenger answers {action['weight']} % of the aircraft"
        return f"canary: {action['weight']} %{because(entry)}"
    if kind == "StartRollout":
        return f"rollout of version {action['version']} against version {action['champion']}"
    if kind == "Promote":
        return f"version {action['version']} is promoted{because(entry)}"
    if kind == "Abort":
        return f"version {action['version']} is aborted, the champion answers everybody{because(entry)}"
    if kind == "OpenIncident":
        where = f" in {', '.join(action['features'])}" if action["features"] else ""
        return f"{action['kind'].replace('-', ' ')}{where} since {day(action['since'])}: {short(action['text'])}"
    if kind == "CloseIncident":
        return f"incident closed{because(entry)}"
    return describe(action) + because(entry)


def because(entry: Entry) -> str:
    """The figure that decided, after a colon."""
    text = deciding(entry)
    return f": {short(text)}" if text else ""


def short(text: str) -> str:
    """A figure without what stands behind the first ';' of its brackets, which `trimtab why` has.

    >>> short("loss difference -0.01 < 0.01 (728 labelled rows, paired; 97.5 % interval -0.02 to 0.01)")
    'loss difference -0.01 < 0.01 (728 labelled rows, paired)'
    """
    return re.sub(r"\(([^();]*);[^()]*\)", r"(\1)", text)


def _recorded(action: dict[str, Any]) -> str:
    record = action["record"]
    gate = next((g for g in record["gates"] if g["verdict"] != "successful"), record["gates"][0])
    passed = "passes its gates" if record["verdict"] == "successful" else f"does not pass ({record['verdict']})"
    return f"version {record['version']} {passed}: {short(gate['text'])}"
