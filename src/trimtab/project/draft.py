"""Writes the text of a first ``trimtab.yaml``: what was found in the data, and why, as comments beside the settings."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from trimtab.core.domain.times import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trimtab.project.guess import Guess, Noted
    from trimtab.project.inspect import Look

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./*-]*")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan"})
COMMENT_AT = 34
WIDTH = 118


def scalar(value: Any) -> str:
    """A value as YAML: bare where that is safe, otherwise in double quotes.

    >>> scalar("carrier"), scalar("on"), scalar("a: b"), scalar(True), scalar(1)
    ('carrier', '"on"', '"a: b"', 'true', '1')
    """
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.casefold() not in _WORDS:
        return value
    return "".join(char if char.isprintable() else _escape(char) for char in json.dumps(value, ensure_ascii=False))


def _escape(char: str) -> str:
    """A character that YAML does not take, or takes for a line break, as its number."""
    return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"


def draft(name: str, files: str | tuple[str, ...], look: Look, found: Guess) -> str:
    """The whole file. It reads back without error as a project."""
    shown = files if isinstance(files, str) else ", ".join(files)
    sections = (_head(name, shown, look, found), _data(files, found), _features(found), _policy(found))
    return "\n".join(line for section in sections for line in section) + "\n"


def _line(setting: str, comment: str = "") -> str:
    """A setting with its comment at a common column."""
    comment = _one_line(comment)
    return f"{setting:<{COMMENT_AT - 2}}  # {comment}" if comment else setting


def _one_line(text: str) -> str:
    """A comment is one line, whatever a column is called: what is not printable is written as an escape."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _head(name: str, files: str, look: Look, found: Guess) -> list[str]:
    seen = f"{look.rows:,} rows, {len(look.columns)} columns"
    notes = [f"# Note: {_one_line(note)}" for note in found.notes]
    return [
        "# One endpoint: its model, its data, and how it is kept healthy.",
        f"# Written by 'trimtab init' after a look at {_one_line(files)} ({seen}).",
        "# Comments say what was found; change what is wrong. All settings with their reasons: trimtab settings",
        *notes,
        "",
        f"name: {name}",
        _line(f"task: {found.task}", f"{found.target.column}: {found.target.why}"),
        "",
    ]


def _data(files: str | tuple[str, ...], found: Guess) -> list[str]:
    listed = scalar(files) if isinstance(files, str) else f"[{', '.join(scalar(file) for file in files)}]"
    lines = ["data:", f"  files: {listed}"]
    lines.append(_line(f"  time: {scalar(found.time.column)}", found.time.why))
    lines.append(_line(f"  target: {scalar(found.target.column)}", "what is predicted"))
    if found.positive is not None:
        lines.append(_line(f"  positive: {scalar(found.positive)}", "the class that scores are about"))
    if found.label_time is not None:
        lines.append(_line(f"  label_time: {scalar(found.label_time.column)}", f"known {found.label_time.why}"))
    else:
        lines.append(
            _line("  label_delay: 0s", "how long after the event its label is known, e.g. 7d: set what is true")
        )
    for i, noted in enumerate(found.entities[:3]):
        why = "the same one is answered by the same version during a rollout" if i == 0 else ""
        lines.append(_line(f"  # entity: {scalar(noted.column)}", "; ".join(filter(None, (noted.why, why)))))
    if found.slices:
        names = ", ".join(scalar(noted.column) for noted in found.slices[:4])
        lines.append(_line(f"  # slices: [{names}]", "subgroups to watch one by one"))
    if found.ignore:
        lines.append(_line("  ignore:", "never features; delete a line to use its column"))
        lines += [_line(f"    - {scalar(noted.column)}", noted.why) for noted in found.ignore]
    return [*lines, ""]


def _features(found: Guess) -> list[str]:
    """All columns that are left, as a comment."""
    lines = [f"# Features ({len(found.features)}): all columns that are named nowhere above."]
    return [*lines, *_wrapped(found.features), ""]


def _wrapped(features: Iterable[Noted]) -> list[str]:
    lines: list[str] = []
    line = "#  "
    for noted in features:
        part = f" {_one_line(noted.column)} ({noted.why});"
        if len(line) + len(part) > WIDTH and line != "#  ":
            lines.append(line)
            line = "#  "
        line += part
    return [*lines, line.rstrip(";") + "."]


def _policy(found: Guess) -> list[str]:
    block = duration_text(found.block_s)
    return [
        "estimator:",
        _line(
            "  # function: model:build", "module:function that returns an unfitted scikit-learn estimator; without it:"
        ),
        _line("  parameters: {}", "gradient-boosted trees that take categories and missing values"),
        "",
        "retraining:",
        _line("  on: [drift]", "a diagnosis that training can mend; also: schedule (with 'every'), manual"),
        "",
        "rollout:",
        _line("  strategy: canary", "or blue-green, shadow, shadow-then-canary"),
        _line("  steps: [5, 10, 25, 50, 100]", "percent of the entities at each step"),
        _line("  bake: 1h", "least time at each step"),
        "",
        "monitoring:",
        _line(f"  block: {block}", f"what is compared at a time; {found.block_why}"),
        "",
        "response:",
        _line("  mode: approve", "observe, then approve, then automatic: as you come to trust it"),
    ]
